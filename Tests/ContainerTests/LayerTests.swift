import CContainer
import CLinux
import Foundation
import Glibc
import OCI
import System
import Testing

@testable import Container

@Suite("Upper layers", .enabled(if: geteuid() == 0))
struct LayerTests {
  @Test("A scratch layer holds changes and generated files, and the lower folder stays as it is")
  func scratch() throws {
    let fixture = try RootfsFixture()
    try fixture.write("rootfs/etc/hosts", "theirs")
    #expect(chmod("\(fixture.rootfs)/etc", 0o711) == 0 && chown("\(fixture.rootfs)/etc", 7, 8) == 0)
    #expect(chmod(fixture.rootfs, 0o751) == 0)
    let source = RootSource.scratch(
      lower: fixture.rootfs,
      files: [
        GeneratedFile(folder: "etc", name: "hosts", content: Array("ours".utf8)),
        GeneratedFile(folder: "new", name: "file", content: []),
      ])
    let seen = try fixture.enter(.docker(), source: source) {
      let etc = status("/etc")
      return [
        text("/etc/hosts") ?? "none", text("/etc/passwd") ?? "none", text("/new/file") ?? "none",
        octal(status("/etc/hosts")?.st_mode ?? 0), octal(etc?.st_mode ?? 0), "\(etc?.st_uid ?? 0):\(etc?.st_gid ?? 0)",
        octal(status("/")?.st_mode ?? 0), "\(writeError("/etc/passwd"))", "\(unlink("/etc/hosts"))",
        "\(exists("/etc/hosts"))", mountLine("/")?.type ?? "none", names("/").joined(separator: " "),
      ]
    }
    #expect(
      seen == [
        "ours", "root:x:0:0::/:/bin/sh\n", "", "644", "711", "7:8", "751", "0", "0", "false", "overlay",
        "dev etc new proc sys tmp usr",
      ])
    #expect(names(fixture.rootfs) == ["etc", "tmp", "usr"] && text("\(fixture.rootfs)/etc/hosts") == "theirs")
    #expect(fixture.changesOnHost() == [])
  }

  @Test("A link in the lower folder leads no generated file astray")
  func linkedFolder() throws {
    let fixture = try RootfsFixture()
    #expect(rmdir("\(fixture.rootfs)/tmp") == 0)
    try fixture.link("rootfs/tmp", to: fixture.host)
    let source = RootSource.scratch(
      lower: fixture.rootfs, files: [GeneratedFile(folder: "tmp", name: "secret", content: Array("x".utf8))])
    #expect(try fixture.enter(.plain([]), source: source) { text("/tmp/secret") } == "x")
    #expect(fixture.changesOnHost() == [])
  }

  /// overlay cannot be stacked upon every file system: a tmpfs takes it.
  private func onMemory<Value: Sendable>(
    _ fixture: RootfsFixture, _ body: @escaping @Sendable () throws -> Value
  ) throws -> Value {
    try inMountNamespace {
      guard mount("", "/", "", UInt(MS_PRIVATE | MS_REC), nil) == 0, mkdir("\(fixture.path)/m", 0o755) == 0,
        mount("m", "\(fixture.path)/m", "tmpfs", 0, nil) == 0
      else { throw SystemError("mount", "", .current) }
      return try body()
    }
  }

  @Test("A kept layer is left as a directory, without overlay's own folder")
  func kept() throws {
    let fixture = try RootfsFixture()
    #expect(chmod(fixture.rootfs, 0o751) == 0)
    try onMemory(fixture) {
      let path = "\(fixture.path)/m/kept"
      let layer = try KeptLayer(
        path, over: fixture.rootfs, files: [GeneratedFile(folder: "etc", name: "hosts", content: Array("h".utf8))])
      #expect(layer.path == path && octal(status(path)?.st_mode ?? 0) == "751")
      let source = layer.source(over: fixture.rootfs)
      // In a namespace of its own, since it pivots.
      _ = try inMountNamespace {
        let plan = try fixture.plan(.plain([]), source: source)
        var rootfs = try plan.build(console: nil)
        try rootfs.pivot(keepOldRoot: false)
        #expect(text("/etc/hosts") == "h" && writeError("/made", create: true) == 0 && unlink("/etc/passwd") == 0)
      }
      try layer.finish()
      #expect(names("\(fixture.path)/m") == ["kept"] && names(path) == ["dev", "etc", "made"])
      // The whiteout of what was removed.
      let whiteout = status("\(path)/etc/passwd")
      #expect(whiteout?.st_rdev == 0 && whiteout.map { $0.st_mode & S_IFMT == S_IFCHR } == true)
      #expect(exists("\(fixture.rootfs)/etc/passwd"))
    }
  }

  @Test("A folder that holds something, is in use or is none is refused")
  func refusals() throws {
    let fixture = try RootfsFixture()
    func refusal(_ path: String) -> String? {
      do {
        let layer = try KeptLayer(path, over: fixture.rootfs, files: [])
        try layer.finish()
        return nil
      } catch { return error.description }
    }
    #expect(refusal(fixture.host)?.contains("is not empty") == true && fixture.changesOnHost() == [])
    #expect(refusal("\(fixture.host)/secret")?.contains("--keep-changes") == true)
    #expect(refusal("\(fixture.path)/none/below")?.contains("mkdir") == true)
    let path = "\(fixture.path)/kept"
    let layer = try KeptLayer(path, over: fixture.rootfs, files: [])
    #expect(refusal(path)?.contains("another container uses it") == true)
    try layer.finish()
    #expect(refusal(path) == nil)
  }

  @Test("What a killed container left of overlay's folder is no obstacle")
  func leftovers() throws {
    let fixture = try RootfsFixture()
    try fixture.folder("kept.work/work/deep")
    try fixture.write("kept.work/work/deep/file", "x")
    let layer = try KeptLayer("\(fixture.path)/kept", over: fixture.rootfs, files: [])
    #expect(names("\(fixture.path)/kept.work") == [])
    try layer.finish()
    #expect(!exists("\(fixture.path)/kept.work") && exists("\(fixture.path)/kept"))
  }
}
