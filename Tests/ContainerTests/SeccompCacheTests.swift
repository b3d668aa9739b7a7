import CContainer
import CLinux
import Foundation
import OCI
import Testing

@testable import Container

@Suite struct SeccompCacheTests {
  private func entry(_ scratch: ProcessScratch) throws -> String {
    let folder = "\(scratch.path)/~seccomp"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    try #require(names.count == 1)
    return "\(folder)/\(names[0])"
  }

  @Test func aKeptFilterIsTheCompiledOne() throws {
    let scratch = ProcessScratch()
    let profile = SeccompFilterTests.docker
    let compiled = try SeccompCompiler.compile(profile)
    #expect(SeccompCache(in: scratch.path).find(SeccompKey(profile)) == nil)
    #expect(try SeccompProgram.compiled(profile, cache: scratch.path) == compiled)
    #expect(SeccompCache(in: scratch.path).find(SeccompKey(profile)) == compiled)
    #expect(try SeccompProgram.compiled(profile, cache: "\(scratch.path)/no/such/folder") == compiled)
  }

  @Test func everyPartOfAProfileIsInItsKey() {
    var generator = SplitMix(state: 11)
    var base = SeccompFilterTests.randomProfile(&generator)
    base.syscalls[0].args = [.init(index: 1, value: 2, valueTwo: 3, comparison: .maskedEqual)]
    base.syscalls[0].names = ["ab", "c"]
    var variants = [base]
    func vary(_ change: (inout Seccomp) -> Void) {
      var copy = base
      change(&copy)
      variants.append(copy)
    }
    vary { $0.defaultErrno = ($0.defaultErrno ?? 0) + 1 }
    vary { $0.defaultAction = $0.defaultAction == .log ? .allow : .log }
    vary { $0.architectures.append("SCMP_ARCH_PPC") }
    vary { $0.flags.append("SECCOMP_FILTER_FLAG_LOG") }
    vary { $0.syscalls[0].names = ["a", "bc"] }
    vary { $0.syscalls[0].errno = 399 }
    vary { $0.syscalls[0].action = $0.syscalls[0].action == .trap ? .log : .trap }
    vary { $0.syscalls[0].args[0].index = 2 }
    vary { $0.syscalls[0].args[0].value = 9 }
    vary { $0.syscalls[0].args[0].valueTwo = 9 }
    vary { $0.syscalls[0].args[0].comparison = .equal }
    vary { $0.syscalls[0].args = [] }
    vary { $0.syscalls.removeLast() }
    let keys = variants.map { SeccompKey($0).bytes }
    #expect(Set(keys).count == variants.count)
    #expect(Set(variants.map { SeccompKey($0).fileName }).count == variants.count)
  }

  @Test func nothingForeignOrBrokenIsTrusted() throws {
    let scratch = ProcessScratch()
    let profile = SeccompFilterTests.docker
    let key = SeccompKey(profile)
    let compiled = try SeccompProgram.compiled(profile, cache: scratch.path)
    let cache = SeccompCache(in: scratch.path)
    let path = try entry(scratch)
    let good = try Data(contentsOf: URL(fileURLWithPath: path))
    func put(_ bytes: Data) {
      _ = FileManager.default.createFile(atPath: path, contents: bytes)
      chmod(path, 0o600)
    }
    // Cut off anywhere: nothing, or, where whole instructions are missing, a program that the kernel will refuse.
    for length in Array(0..<60) + [good.count - 1, good.count - 7] {
      put(good.prefix(length))
      #expect(cache.find(key) == nil, "\(length)")
    }
    // Any byte of the head or the key changed.
    for index in stride(from: 0, to: 20 + key.bytes.count, by: 97) {
      var bad = good
      bad[index] ^= 1
      put(bad)
      #expect(cache.find(key) == nil, "\(index)")
    }
    put(good)
    #expect(cache.find(key) == compiled)
    chmod(path, 0o620)
    #expect(cache.find(key) == nil)
    chmod(path, 0o600)
    chown(path, 1234, 0)
    #expect(cache.find(key) == nil)
    chown(path, 0, 0)
    #expect(cache.find(key) == compiled)
    let folder = "\(scratch.path)/~seccomp"
    chmod(folder, 0o770)
    #expect(cache.find(key) == nil)
    chmod(folder, 0o700)
    chown(folder, 1234, 0)
    #expect(cache.find(key) == nil)
    chown(folder, 0, 0)
    // A link in the entry's place is not followed.
    rename(path, "\(scratch.path)/elsewhere")
    symlink("\(scratch.path)/elsewhere", path)
    #expect(cache.find(key) == nil)
    // It is replaced by the next who compiles.
    #expect(try SeccompProgram.compiled(profile, cache: scratch.path) == compiled)
    #expect(cache.find(key) == compiled)
  }

  @Test func theFolderStaysSmall() throws {
    let scratch = ProcessScratch()
    for number in 0..<150 {
      var profile = Seccomp(defaultAction: .allow)
      profile.syscalls = [Seccomp.Rule(names: ["getppid"], action: .errno)]
      profile.syscalls[0].errno = UInt32(number)
      _ = try SeccompProgram.compiled(profile, cache: scratch.path)
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: "\(scratch.path)/~seccomp")
    #expect(names.count <= 64 && !names.isEmpty)
  }
}
