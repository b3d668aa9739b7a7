import CLibvirt
import Foundation
import Glibc
import System
import Testing

@testable import Libvirt

/// A run's folder, and who removes it.
@Suite(.serialized) struct StagingTests {
  private let base: String

  init() {
    base = "/tmp/vmrun-test-\(getpid())-\(UInt32.random(in: 0...9999))"
    try? FileManager.default.removeItem(atPath: base)
  }

  private func make(_ path: String) { #expect(FileManager.default.createFile(atPath: path, contents: Data())) }
  private func names() -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: base).sorted()) ?? [] }
  private func done() { try? FileManager.default.removeItem(atPath: base) }

  private func mode(_ path: String) -> mode_t {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
  }

  @Test func itIsMadeAndRemoved() throws {
    defer { done() }
    let staging = try Staging(bases: [base], size: 1000, isShared: false)
    #expect(mode(base) == 0o700 && mode(staging.path) == 0o700)
    let file = try staging.create("initrd", isShared: false)
    try file.descriptor.writeFully([1, 2, 3])
    #expect(FileManager.default.contents(atPath: staging.path(of: "initrd")) == Data([1, 2, 3]))
    #expect(staging.name.hasPrefix("vmrun-\(getpid())-"))
    staging.remove()
    #expect(names() == [])
    staging.finish()
  }

  @Test func itIsReachableByNameAlone() throws {
    defer { done() }
    let staging = try Staging(bases: [base], size: 0, isShared: true)
    _ = try staging.create("kernel", isShared: true)
    #expect(mode(base) == 0o711 && mode(staging.path) == 0o711 && mode(staging.path(of: "kernel")) == 0o644)
    #expect(mode(staging.path(of: "lock")) == 0o600)
    staging.finish()
  }

  @Test func deadOnesAreSweptAndLivingOnesStay() throws {
    defer { done() }
    let living = try Staging(bases: [base], size: 0, isShared: false)
    for (name, files) in [("0123456789abcdef", ["lock", "kernel"]), ("fedcba9876543210", ["console"])] {
      mkdir(base + "/" + name, 0o700)
      for file in files { make(base + "/\(name)/\(file)") }
    }
    mkdir(base + "/session", 0o700)
    let next = try Staging(bases: [base], size: 0, isShared: false)
    #expect(Set(names()) == Set([living.path, next.path].map { String($0.dropFirst(base.count + 1)) } + ["session"]))
    living.finish()
    next.finish()
    #expect(names() == ["session"])
  }

  @Test func strangersFoldersAreRefused() throws {
    defer { done() }
    mkdir(base, 0o777)
    chmod(base, 0o777)
    #expect(throws: LibvirtError("\(base) is not a folder of this user's alone: remove it")) {
      try Staging(bases: [base], size: 0, isShared: false)
    }
    done()
    symlink("/tmp", base)
    #expect(throws: LibvirtError.self) { try Staging(bases: [base], size: 0, isShared: false) }
    unlink(base)
  }

  @Test func whatDoesNotFitGoesElsewhere() throws {
    defer { done() }
    #expect(throws: LibvirtError.self) { try Staging(bases: [base], size: 1 << 62, isShared: false) }
    #expect(names() == [])
    let long = "/tmp/" + String(repeating: "x", count: 90)
    let staging = try Staging(bases: [long, base], size: 0, isShared: false)
    #expect(staging.path.hasPrefix(base))
    staging.finish()
    #expect(access(long, F_OK) != 0)
  }

  @Test func theGuardCleansUpAfterAKill() throws {
    defer { done() }
    mkdir(base, 0o700)
    let (folder, log) = (base + "/folder", base + "/log")
    mkdir(folder, 0o700)
    for file in [folder + "/a", folder + "/lock", log] {
      make(file)
    }
    var child: pid_t = 0
    let descriptor = clibvirt_guard(folder, log, "guest=nobody-\(getpid())", &child)
    #expect(descriptor >= 0 && child > 0)
    usleep(100_000)
    #expect(access(folder, F_OK) == 0)
    close(descriptor)
    waitpid(child, nil, 0)
    #expect(access(folder, F_OK) != 0 && access(log, F_OK) != 0)
  }

  @Test func aDismissedGuardLeavesEverything() throws {
    defer { done() }
    mkdir(base, 0o700)
    var child: pid_t = 0
    let descriptor = clibvirt_guard(base, base + "/log", "nobody", &child)
    clibvirt_dismiss(descriptor, child)
    #expect(access(base, F_OK) == 0 && kill(child, 0) != 0)
  }

  @Test func placesByUser() {
    #expect(Staging.bases(user: 0, runtimeFolder: "/run/user/1") == ["/run/vmrun-libvirt", "/var/tmp/vmrun-libvirt-0"])
    #expect(Staging.bases(user: 7, runtimeFolder: "/run/user/7").first == "/run/user/7/vmrun-libvirt")
    #expect(Staging.bases(user: 7, runtimeFolder: "relative").first == "/tmp/vmrun-libvirt-7")
    #expect(Staging.bases(user: 7, runtimeFolder: nil).first == "/tmp/vmrun-libvirt-7")
  }
}
