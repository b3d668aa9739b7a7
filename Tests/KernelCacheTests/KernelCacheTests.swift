import Boot
import CLinux
import System
import TestSupport
import Testing

@testable import KernelCache

/// What guest memory holds after a kernel was loaded by its plan, from `start` on. Whole pages are taken from the file, as a
/// mapping takes them.
func loaded(_ kernel: borrowing PreparedKernel) throws -> [UInt8] {
  var memory = [UInt8](repeating: 0, count: Int(kernel.plan.end - kernel.plan.start))
  for segment in kernel.plan.segments where segment.fileSize > 0 {
    let start = segment.fileOffset & ~4095
    let end = (segment.fileOffset + segment.fileSize + 4095) & ~4095
    var bytes = [UInt8](repeating: 0, count: Int(end - start))
    let count = try bytes.withUnsafeMutableBytes { try kernel.file.readFully(into: $0, at: Int64(start)) }
    try #require(count == bytes.count, "the file ends inside a page")
    // Where the first mapped byte lies relative to the kernel's start: not before it, unless both share a page.
    let place = Int(segment.address) - Int(segment.fileOffset - start) - Int(kernel.plan.start)
    let inside = max(0, -place)..<min(bytes.count, memory.count - place)
    memory.replaceSubrange(place + inside.lowerBound..<place + inside.upperBound, with: bytes[inside])
    let outside = bytes[..<inside.lowerBound] + bytes[inside.upperBound...]
    #expect(outside == ArraySlice(repeating: 0, count: outside.count))
  }
  return memory
}

/// The same for an ELF file, by an independent reading of it.
func expected(_ elf: [UInt8]) -> [UInt8] {
  func integer(_ offset: Int) -> Int {
    Int(elf[offset..<offset + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
  }
  let count = Int(elf[56])
  let headers = (0..<count).map { 64 + 56 * $0 }
  let start = headers.map { integer($0 + 24) }.min() ?? 0
  let end = headers.map { integer($0 + 24) + integer($0 + 40) }.max() ?? 0
  var memory = [UInt8](repeating: 0, count: end - start)
  for header in headers {
    let place = integer(header + 24) - start
    memory.replaceSubrange(
      place..<place + integer(header + 32), with: elf[integer(header + 8)..<integer(header + 8) + integer(header + 32)])
  }
  return memory
}

/// A kernel file, a cache beside it, and what the kernel looks like in memory.
struct Bench {
  let folder: TemporaryFolder
  let elf: [UInt8]
  let kernel: String
  var cache: KernelCache

  private static let kernels = [UInt64(1), 2].map { SyntheticKernel.vmlinux(seed: $0) }
  private static let bzImages = Result {
    try kernels.map {
      SyntheticKernel.bzImage(payload: try SyntheticKernel.payload($0, SyntheticKernel.compressors[0]))
    }
  }

  /// A bench whose kernel, one of two, is packed with gzip.
  init(seed: Int = 1) throws {
    folder = try TemporaryFolder()
    elf = Bench.kernels[seed - 1]
    kernel = try folder.write("kernel", try Bench.bzImages.get()[seed - 1])
    cache = KernelCache(folder: folder.path + "/cache/kernels")
  }

  /// A bench whose kernel is packed with `compressor`, or not at all.
  init(_ compressor: SyntheticKernel.Compressor?) throws {
    folder = try TemporaryFolder()
    elf = Bench.kernels[0]
    if let compressor {
      try #require(compressor.isInstalled, "\(compressor.tool) is not installed")
      kernel = try folder.write(
        "kernel", SyntheticKernel.bzImage(payload: try SyntheticKernel.payload(elf, compressor)))
    } else {
      kernel = try folder.write("kernel", elf)
    }
    cache = KernelCache(folder: folder.path + "/cache/kernels")
  }

  func names() -> [String] { folder.names(in: "cache/kernels") }
  func entries() -> [String] { names().filter { $0.hasSuffix(".vmlinux") } }
  func entryPath() throws -> String { folder.path + "/cache/kernels/" + (try #require(entries().first)) }

  /// Prepares the kernel, checks what would be in guest memory, and returns where it came from and the warning.
  @discardableResult
  func prepare(_ mode: BootMode = .auto) throws -> (origin: PreparedKernel.Origin, warning: String?) {
    let kernel = try cache.prepare(kernel, mode: mode)
    #expect(try loaded(kernel) == expected(elf))
    #expect(kernel.plan.entry == 0x100_0000)
    #expect(kernel.isMappable == true)
    return (kernel.origin, kernel.warning)
  }

  /// Rewrites the index record, as if it had been made `seconds` later than it was.
  func age(by seconds: Int64, entryIdentity: FileIdentity? = nil) throws {
    let name = try #require(names().first { $0.hasSuffix(".stat") })
    let record = try #require(IndexRecord(try folder.read("cache/kernels/" + name)))
    let aged = IndexRecord(
      kernel: record.kernel, entry: entryIdentity ?? record.entry, recordedAt: record.recordedAt + seconds,
      key: record.key)
    #expect(Shell.run("rm '\(folder.path)/cache/kernels/\(name)'") == 0)
    _ = try folder.write("cache/kernels/" + name, aged.bytes())
  }
}

@Suite struct KernelCacheTests {
  @Test(arguments: SyntheticKernel.compressors)
  func coldThenWarm(_ compressor: SyntheticKernel.Compressor) throws {
    let bench = try Bench(compressor)
    #expect(try bench.prepare() == (.fresh, nil))
    #expect(bench.entries().count == 1)
    #expect(bench.names().count == 2)
    #expect(try bench.prepare(.direct) == (.cache, nil))
    let again = try bench.cache.prepare(bench.kernel)
    #expect(again.codec == compressor.name)
    #expect(again.kernelVersion == "6.1.0-test (someone@somewhere) #1 SMP")
    #expect(again.header.has64BitEntry && again.header.commandLineSize == 2047)
    #expect(again.plan.segments.count == 1)
    // The entry is a plain ELF file of this user's alone.
    let status = try FileDescriptor.open(bench.entryPath(), O_RDONLY).status()
    #expect(status.st_mode & 0o7777 == 0o400)
    let folder = try FileDescriptor.open(bench.folder.path + "/cache/kernels", O_RDONLY).status()
    #expect(folder.st_mode & 0o7777 == 0o700)
  }

  @Test func uncompressedKernel() throws {
    let bench = try Bench(nil)
    #expect(try bench.prepare() == (.fresh, nil))
    #expect(try bench.prepare() == (.cache, nil))
    #expect(throws: KernelError.self) { _ = try bench.cache.prepare(bench.kernel, mode: .decompress) }
    // Another file with the same segments is the same kernel: what lies behind them, as symbols do, is not loaded.
    let other = try bench.folder.write("other", bench.elf + Array("symbols".utf8))
    let kernel = try bench.cache.prepare(other)
    #expect(kernel.origin == .cache)
    #expect(bench.entries().count == 1)
  }

  @Test func withoutACache() throws {
    var bench = try Bench()
    bench.cache = KernelCache(folder: nil)
    #expect(try bench.prepare() == (.uncached, nil))
  }

  @Test func sameContentUnderAnotherName() throws {
    let bench = try Bench()
    try bench.prepare()
    #expect(Shell.run("cp '\(bench.kernel)' '\(bench.kernel)2'") == 0)
    let kernel = try bench.cache.prepare(bench.kernel + "2")
    #expect(kernel.origin == .cache)
    #expect(bench.entries().count == 1)
    #expect(bench.names().count == 3)
  }

  @Test func aHitReadsOnlyTheRecordAndTheEntrysEnds() throws {
    let bench = try Bench()
    try bench.prepare()
    // Damage in the middle, and a record that knows the damaged file: only a full check would see it.
    let path = try bench.entryPath()
    #expect(Shell.run("printf X | dd of='\(path)' bs=1 seek=9000 conv=notrunc status=none") == 0)
    let status = try FileDescriptor.open(path, O_RDONLY).status()
    try bench.age(by: 10, entryIdentity: FileIdentity(status))
    let kernel = try bench.cache.prepare(bench.kernel)
    #expect(kernel.origin == .cache)
    #expect(try loaded(kernel) != expected(bench.elf))
    // A record as young as the kernel's last change proves nothing about the kernel, but the entry is still known.
    try bench.age(by: -10)
    let racy = try bench.cache.prepare(bench.kernel)
    #expect(racy.origin == .cache)
  }

  @Test func recordThatMayBeRacyIsNotTrusted() throws {
    let bench = try Bench(seed: 1)
    let other = try Bench(seed: 2)
    try bench.prepare()
    // The kernel is replaced; the record claims the new file's identity, as it would had the change been in the same tick.
    #expect(Shell.run("cat '\(other.kernel)' > '\(bench.kernel)'") == 0)
    let name = try #require(bench.names().first { $0.hasSuffix(".stat") })
    let record = try #require(IndexRecord(try bench.folder.read("cache/kernels/" + name)))
    let identity = FileIdentity(try FileDescriptor.open(bench.kernel, O_RDONLY).status())
    func claim(recordedAt: Int64) throws {
      let lie = IndexRecord(kernel: identity, entry: record.entry, recordedAt: recordedAt, key: record.key)
      _ = try bench.folder.write("cache/kernels/" + name, lie.bytes())
    }
    for age in [-1000, -1, 0, 1, IndexRecord.racySeconds] as [Int64] {
      try claim(recordedAt: identity.lastChange + age)
      let kernel = try bench.cache.prepare(bench.kernel)
      #expect(try loaded(kernel) == expected(other.elf))
    }
    try claim(recordedAt: identity.lastChange + IndexRecord.racySeconds + 1)
    let deceived = try bench.cache.prepare(bench.kernel)
    #expect(try loaded(deceived) == expected(bench.elf))
  }

  @Test func changedKernelIsSeen() throws {
    let bench = try Bench(seed: 1)
    let other = try Bench(seed: 2)
    try bench.prepare()
    try bench.age(by: 10)
    #expect(Shell.run("cat '\(other.kernel)' > '\(bench.kernel)'") == 0)
    let kernel = try bench.cache.prepare(bench.kernel)
    #expect(kernel.origin == .fresh)
    #expect(try loaded(kernel) == expected(other.elf))
    #expect(bench.entries().count == 2)
  }

  /// What is done to a good entry, `$E`, in sh(1).
  static let damages = [
    "printf X | dd of=$E bs=1 seek=0 conv=notrunc status=none",
    "printf X | dd of=$E bs=1 seek=40 conv=notrunc status=none",
    "printf X | dd of=$E bs=1 seek=5000 conv=notrunc status=none",
    "printf X | dd of=$E bs=1 seek=$(($(stat -c %s $E) - 4096)) conv=notrunc status=none",
    "printf X | dd of=$E bs=1 seek=$(($(stat -c %s $E) - 4000)) conv=notrunc status=none",
    "printf X | dd of=$E bs=1 seek=$(($(stat -c %s $E) - 1)) conv=notrunc status=none",
    "truncate -s -1 $E", "truncate -s -4096 $E", "truncate -s 4096 $E", "truncate -s 0 $E", "truncate -s +4096 $E",
    "cp $E $E.x; rm $E; ln -s $E.x $E", "chmod 622 $E", "rm $E", "head -c 200000 /dev/urandom > $E",
  ]

  @Test(arguments: damages, [0, 10] as [Int64])
  func damagedEntryIsRebuilt(_ damage: String, age: Int64) throws {
    let bench = try Bench()
    try bench.prepare()
    try bench.age(by: age)
    #expect(Shell.run("E='\(try bench.entryPath())'; chmod u+w $E; \(damage)") == 0)
    #expect(try bench.prepare() == (.fresh, nil))
    #expect(try bench.prepare() == (.cache, nil))
  }

  @Test func entryOfAnotherKernelUnderThisName() throws {
    let bench = try Bench(seed: 1)
    let other = try Bench(seed: 2)
    try bench.prepare()
    try other.prepare()
    #expect(Shell.run("cp '\(try other.entryPath())' '\(try bench.entryPath())'") == 0)
    #expect(try bench.prepare() == (.fresh, nil))
  }

  @Test(arguments: ["chmod 777 $C", "chmod 720 $C", "rm -r $C; touch $C", "rm -r $C; ln -s /proc/nowhere $C"])
  func unusableFolderCostsOnlyAWarning(_ damage: String) throws {
    let bench = try Bench()
    try bench.prepare()
    #expect(Shell.run("C='\(bench.folder.path)/cache/kernels'; \(damage)") == 0)
    let result = try bench.prepare()
    #expect(result.origin == .uncached)
    #expect(result.warning?.contains("cache/kernels") == true)
  }

  static let canMount = geteuid() == 0 && Shell.run("unshare -m true 2> /dev/null") == 0

  /// A file system of 64 KiB, less than the kernel; the mount goes with the folder.
  @Test(.enabled(if: canMount, "mounting a small file system needs root"))
  func fullDiskCostsOnlyAWarning() throws {
    let bench = try Bench()
    let folder = bench.folder.path + "/cache/kernels"
    #expect(Shell.run("mkdir -p '\(folder)' && mount -t tmpfs -o size=64k,mode=700 none '\(folder)'") == 0)
    defer { _ = Shell.run("umount '\(folder)'") }
    let result = try bench.prepare()
    #expect(result.origin == .uncached)
    #expect(result.warning?.contains("No space left") == true)
    #expect(bench.names() == [])
  }

  @Test(.enabled(if: canMount, "mounting read-only needs root"))
  func readOnlyCacheStillServes() throws {
    let bench = try Bench()
    try bench.prepare()
    let folder = bench.folder.path + "/cache/kernels"
    #expect(Shell.run("mount --bind '\(folder)' '\(folder)' && mount -o remount,bind,ro '\(folder)'") == 0)
    defer { _ = Shell.run("umount '\(folder)'") }
    #expect(try bench.prepare() == (.cache, nil))
    let other = SyntheticKernel.vmlinux(seed: 7)
    let kernel = try bench.cache.prepare(try bench.folder.write("other", other))
    #expect(kernel.origin == .uncached)
    #expect(kernel.warning?.contains("Read-only") == true)
    #expect(try loaded(kernel) == expected(other))
  }

  @Test func launchesAtOnce() async throws {
    let bench = try Bench()
    let cache = bench.cache
    let path = bench.kernel
    let memory = expected(bench.elf)
    for round in 0..<4 {
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for _ in 0..<8 {
          group.addTask {
            let kernel = try cache.prepare(path)
            return try loaded(kernel) == memory && kernel.warning == nil
          }
        }
        for try await isRight in group { #expect(isRight) }
      }
      #expect(bench.names().count == 2, "\(bench.names())")
      if round == 1 { #expect(Shell.run("rm '\(try bench.entryPath())'") == 0) }
      if round == 2 { #expect(Shell.run("truncate -s 5000 '\(try bench.entryPath())'") == 0) }
    }
  }

  @Test func publicationCanWait() throws {
    let bench = try Bench()
    do {
      let kernel = try bench.cache.prepare(bench.kernel, publishLater: true)
      #expect(kernel.origin == .fresh)
      #expect(try loaded(kernel) == expected(bench.elf))
      #expect(bench.entries() == [])
      #expect(bench.names().count == 1)
    }
    // Never published: nothing is left.
    #expect(bench.names() == [])
    let kernel = try bench.cache.prepare(bench.kernel, publishLater: true)
    let pending = kernel.publication
    let publication = try #require(pending)
    try publication.publish()
    try publication.publish()
    #expect(bench.names().count == 2)
    #expect(try loaded(kernel) == expected(bench.elf))
    #expect(try bench.prepare() == (.cache, nil))
  }

  @Test func publicationIntoALostFolderFails() throws {
    let bench = try Bench()
    let kernel = try bench.cache.prepare(bench.kernel, publishLater: true)
    #expect(Shell.run("rm -r '\(bench.folder.path)/cache'") == 0)
    let publication = kernel.publication
    #expect(throws: SystemError.self) { try publication?.publish() }
    #expect(try loaded(kernel) == expected(bench.elf))
  }

  @Test func leastRecentlyUsedIsEvicted() throws {
    var bench = try Bench(nil)
    bench.cache.limits.entries = 3
    bench.cache.limits.records = 4
    for seed: UInt64 in 1...3 {
      let kernel = try bench.folder.write("k\(seed)", SyntheticKernel.vmlinux(seed: seed))
      _ = try bench.cache.prepare(kernel)
    }
    // The first was made first but used last.
    let ages = bench.entries()
    for name in ages { #expect(Shell.run("touch -d '2 days ago' '\(bench.folder.path)/cache/kernels/\(name)'") == 0) }
    let kept = try #require(ages.last)
    #expect(Shell.run("touch -a -d '1 day ago' '\(bench.folder.path)/cache/kernels/\(kept)'") == 0)
    for seed: UInt64 in 4...5 {
      let kernel = try bench.folder.write("k\(seed)", SyntheticKernel.vmlinux(seed: seed))
      _ = try bench.cache.prepare(kernel)
    }
    #expect(bench.entries().count == 3)
    #expect(bench.entries().contains(kept))
    #expect(bench.names().filter { $0.hasSuffix(".stat") }.count == 4)
  }

  @Test func sizeIsBounded() throws {
    var bench = try Bench(nil)
    bench.cache.limits.bytes = 250_000
    for seed: UInt64 in 1...4 {
      let elf = SyntheticKernel.elf([
        .init(address: 0x100_0000, bytes: [UInt8](repeating: UInt8(seed), count: 100_000))
      ])
      _ = try bench.cache.prepare(try bench.folder.write("k\(seed)", elf))
      #expect(bench.entries().count <= 2)
    }
    // An entry larger than all the room still serves its own start, and the next.
    bench.cache.limits.bytes = 1000
    try bench.prepare()
    #expect(try bench.prepare() == (.cache, nil))
    #expect(bench.entries().count == 1)
  }

  @Test func leftoversOfACrashAreSwept() throws {
    let bench = try Bench(nil)
    try bench.prepare()
    let old = try bench.folder.write("cache/kernels/.new-0", [1])
    let young = try bench.folder.write("cache/kernels/.new-1", [1])
    #expect(Shell.run("touch -d '2 hours ago' '\(old)'") == 0)
    _ = try bench.cache.prepare(try bench.folder.write("other", SyntheticKernel.vmlinux(seed: 9)))
    #expect(!bench.names().contains(".new-0"))
    #expect(bench.names().contains(".new-1"))
    _ = young
  }

  @Test func guestDecompresses() throws {
    let bench = try Bench()
    let kernel = try bench.cache.prepare(bench.kernel, mode: .decompress)
    #expect(kernel.origin == .guest)
    #expect(kernel.isMappable == false)
    #expect(kernel.plan.entry == 0x100_0200)
    #expect(bench.names() == [])
    let bytes = try bench.folder.read("kernel")
    let plan = kernel.plan
    let segment = try #require(plan.segments.first)
    #expect(
      segment.fileOffset == 2560 && segment.fileSize == UInt64(bytes.count - 2560) && segment.memorySize == 0x80_0000)
    #expect(try kernel.file.readBytes(bytes.count, at: 2560) == Array(bytes[2560...]))
  }

  @Test func compressionWithoutALibrary() throws {
    try #require(SyntheticKernel.lzo.isInstalled, "lzop is not installed")
    let folder = try TemporaryFolder()
    let payload = try SyntheticKernel.payload(SyntheticKernel.vmlinux(), SyntheticKernel.lzo)
    let path = try folder.write("kernel", SyntheticKernel.bzImage(payload: payload))
    let cache = KernelCache(folder: folder.path + "/cache")
    let kernel = try cache.prepare(path)
    #expect(kernel.origin == .guest)
    #expect(refusal(cache, path, .direct).contains("--boot decompress"))
    // Without a 64-bit entry the guest cannot.
    let old = try folder.write("old", SyntheticKernel.bzImage(payload: payload, version: 0x020B, xloadflags: 0))
    #expect(refusal(cache, old).contains("lzo"))
  }

  func refusal(_ cache: KernelCache, _ path: String, _ mode: BootMode = .auto) -> String {
    do throws(KernelError) {
      _ = try cache.prepare(path, mode: mode)
      return ""
    } catch {
      return error.description
    }
  }

  @Test func refusedFiles() throws {
    let folder = try TemporaryFolder()
    let cache = KernelCache(folder: folder.path + "/cache")
    func refusal(_ path: String) -> String { self.refusal(cache, path) }
    let empty = try folder.write("empty", [])
    #expect(Shell.run("mkfifo '\(folder.path)/fifo'") == 0)
    #expect(refusal(empty).hasPrefix(empty + ": the file is empty"))
    #expect(refusal(folder.path).contains("is a directory"))
    #expect(refusal(folder.path + "/fifo").contains("no regular file"))
    #expect(refusal("/dev/null").contains("no regular file"))
    #expect(refusal(folder.path + "/missing").contains("No such file"))
    let good = SyntheticKernel.bzImage(
      payload: try SyntheticKernel.payload(SyntheticKernel.vmlinux(), SyntheticKernel.compressors[0]))
    #expect(refusal(try folder.write("short", Array(good.dropLast(1000)))).contains("1000 bytes are missing"))
    #expect(refusal(try folder.write("text", Array("hello\n".utf8))).contains("a text file"))
    var damaged = good
    damaged[6000] ^= 0xFF
    #expect(refusal(try folder.write("damaged", damaged)).contains("its gzip data"))
    let notELF = SyntheticKernel.bzImage(
      payload: try SyntheticKernel.payload([UInt8](repeating: 1, count: 99), SyntheticKernel.compressors[0]))
    #expect(refusal(try folder.write("notELF", notELF)).contains("not a kernel"))
    var elf32 = SyntheticKernel.elf([.init(address: 0x100_0000, bytes: [1])], machine: 3)
    elf32[4] = 1
    let kernel32 = SyntheticKernel.bzImage(
      payload: try SyntheticKernel.payload(elf32, SyntheticKernel.compressors[0]), version: 0x020A, xloadflags: 0)
    #expect(refusal(try folder.write("kernel32", kernel32)).contains("32-bit x86 kernel"))
    #expect(folder.names(in: "cache").isEmpty)
  }

  @Test func defaultFolder() {
    #expect(KernelCache.defaultFolder(xdgCacheHome: "/c", home: "/h") == "/c/vmrun/kernels")
    #expect(KernelCache.defaultFolder(xdgCacheHome: "relative", home: "/h") == "/h/.cache/vmrun/kernels")
    #expect(KernelCache.defaultFolder(xdgCacheHome: "", home: "/h") == "/h/.cache/vmrun/kernels")
    #expect(KernelCache.defaultFolder(xdgCacheHome: nil, home: nil) == nil)
  }
}
