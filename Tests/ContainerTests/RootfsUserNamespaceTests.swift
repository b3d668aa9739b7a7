import CContainer
import CLinux
import Foundation
import Glibc
import OCI
import System
import Testing

@testable import Container

@_silgen_name("fork") private func forkProcess() -> Int32

/// Containers in a user namespace need a process of their own: threads cannot have one each.
@Suite("Root file system in a user namespace", .enabled(if: geteuid() == 0), .serialized)
struct RootfsUserNamespaceTests {
  private static let base: UInt32 = 100_000

  /// What `body` returns in a child with new namespaces whose IDs begin at `base`; the plan was made by this process, as root.
  private func enter(
    _ fixture: RootfsFixture, _ spec: Spec, source: RootSource? = nil, planInChild: Bool = false,
    network: Int32 = CLONE_NEWNET,
    _ body: () throws -> [String]
  ) throws -> [String] {
    var ready: [Int32] = [0, 0]
    var mapped: [Int32] = [0, 0]
    var result: [Int32] = [0, 0]
    guard pipe(&ready) == 0, pipe(&mapped) == 0, pipe(&result) == 0 else { throw SystemError("pipe", "", .current) }
    let plan = planInChild ? nil : try fixture.plan(spec, source: source, userNamespace: true)
    let child = forkProcess()
    guard child >= 0 else { throw SystemError("fork", "", .current) }
    if child == 0 {
      // Threads of the tests may block it.
      var alarmSignal = sigset_t()
      sigemptyset(&alarmSignal)
      sigaddset(&alarmSignal, SIGALRM)
      sigprocmask(SIG_UNBLOCK, &alarmSignal, nil)
      alarm(20)
      var lines: [String]
      do {
        guard unshare(CLONE_NEWUSER | CLONE_NEWNS | network | CLONE_NEWIPC | CLONE_NEWPID) == 0 else {
          throw SystemError("unshare", "", .current)
        }
        var byte: UInt8 = 0
        _ = Glibc.write(ready[1], &byte, 1)
        _ = read(mapped[0], &byte, 1)
        // The first child is in the new process ID namespace, which its /proc needs.
        let inner = forkProcess()
        if inner > 0 {
          var status: Int32 = 0
          waitpid(inner, &status, 0)
          _exit(0)
        }
        alarm(20)
        guard setresgid(0, 0, 0) == 0, setresuid(0, 0, 0) == 0 else { throw SystemError("setuid", "", .current) }
        var rootfs: Rootfs
        if let plan {
          rootfs = try plan.build(console: nil)
        } else {
          let own = try fixture.plan(spec, source: source, userNamespace: true)
          rootfs = try own.build(console: nil)
        }
        try rootfs.pivot(keepOldRoot: false)
        try rootfs.seal(spec: spec)
        lines = try body()
      } catch { lines = ["error: \(error)"] }
      let text = Array(lines.joined(separator: "\n").utf8)
      _ = Glibc.write(result[1], text, text.count)
      _exit(0)
    }
    close(ready[1])
    close(mapped[0])
    close(result[1])
    var byte: UInt8 = 0
    _ = read(ready[0], &byte, 1)
    for name in ["uid_map", "gid_map"] {
      try "0 \(Self.base) 65536".write(toFile: "/proc/\(child)/\(name)", atomically: false, encoding: .utf8)
    }
    _ = Glibc.write(mapped[1], &byte, 1)
    close(mapped[1])
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case let count = read(result[0], &buffer, 4096), count > 0 { bytes += buffer[..<count] }
    close(ready[0])
    close(result[0])
    var status: Int32 = 0
    waitpid(child, &status, 0)
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).map(
      String.init)
  }

  private func fixture() throws -> RootfsFixture {
    let fixture = try RootfsFixture()
    for name in ["", "/etc", "/usr", "/tmp", "/etc/passwd"] {
      chown(fixture.rootfs + name, Self.base, Self.base)
    }
    return fixture
  }

  private func spec() -> Spec {
    var spec = Spec.docker()
    spec.linux.namespaces = [.init(.mount), .init(.user), .init(.pid), .init(.network), .init(.ipc)]
    spec.linux.uidMappings = [IDMapping(containerID: 0, hostID: Self.base, size: 65536)]
    spec.linux.gidMappings = spec.linux.uidMappings
    return spec
  }

  private func observe() -> [String] {
    [
      mountLine("/proc")?.type ?? "no proc", mountLine("/sys")?.type ?? "no sys", text("/etc/passwd") ?? "no passwd",
      "\(status("/dev/null")?.st_rdev == clinux_makedev(1, 3))", "\(writeError("/dev/null"))",
      "\(writeError("/etc/new", create: true))", "\(mountLine("/proc/sys")?.options.contains("ro") == true)",
      "\(status("/proc/interrupts")?.st_rdev == clinux_makedev(1, 3))", "\(mountLines().count)",
    ]
  }

  private let wanted = ["proc", "sysfs", "root:x:0:0::/:/bin/sh", "", "true", "0", "0", "true", "true"]

  @Test("docker's default set, with devices bound from the host")
  func dockerDefaults() throws {
    let fixture = try fixture()
    let seen = try enter(fixture, spec()) { observe() }
    #expect(Array(seen.dropLast()) == wanted, "\(seen)")
    #expect(fixture.changesOnHost() == [])
  }

  @Test("A rootfs and volumes behind a folder that only the host's root may enter")
  func hiddenSources() throws {
    let fixture = try fixture()
    chmod(fixture.path, 0o700)
    var spec = spec()
    spec.mounts += [
      .init(destination: "/v", type: "bind", source: fixture.host, options: ["rbind", "ro"]),
      .init(destination: "/f", type: "bind", source: "\(fixture.host)/secret", options: ["bind"]),
    ]
    let seen = try enter(fixture, spec) {
      observe() + [text("/v/secret") ?? "no secret", text("/f") ?? "no file", "\(writeError("/v/x", create: true))"]
    }
    #expect(Array(seen.prefix(wanted.count)) == wanted, "\(seen)")
    #expect(Array(seen.suffix(3)) == ["secret", "secret", "\(EROFS)"])
  }

  @Test("Without privileges at the time of the plan, the child makes everything itself")
  func rootless() throws {
    let fixture = try fixture()
    var spec = spec()
    spec.mounts.append(
      .init(destination: "/v", type: "bind", source: fixture.host, options: ["rbind", "nosuid", "ro"]))
    let seen = try enter(fixture, spec, planInChild: true) { observe() + [text("/v/secret") ?? "no secret"] }
    #expect(Array(seen.prefix(wanted.count)) == wanted, "\(seen)")
    #expect(seen.last == "secret")
  }

  @Test("With the host's network its /sys is shown, since a new one is not allowed")
  func hostNetwork() throws {
    let fixture = try fixture()
    var spec = spec()
    spec.linux.namespaces.removeAll { $0.type == .network }
    let seen = try enter(fixture, spec, network: 0) {
      observe() + ["\(mountLine("/sys")?.options.contains("ro") == true)", "\(names("/sys").contains("class"))"]
    }
    #expect(Array(seen.prefix(wanted.count)) == wanted, "\(seen)")
    #expect(Array(seen.suffix(2)) == ["true", "true"])
    // With a new network there is no such excuse.
    spec.linux.namespaces.append(.init(.network))
    let refused = try enter(fixture, spec, network: 0) { [] }
    #expect(refused.first?.contains("mount sysfs on /sys") == true, "\(refused)")
  }

  @Test("Flags that the host's mounts are locked with stay, unless the configuration asks for the contrary")
  func lockedFlags() throws {
    let fixture = try fixture()
    try fixture.folder("rootfs/v")
    func bind(_ options: [String]) throws -> [String] {
      var spec = spec()
      spec.mounts.append(.init(destination: "/v", type: "bind", source: "\(fixture.host)/folder", options: options))
      let final = spec
      return try inMountNamespace {
        let folder = "\(fixture.host)/folder"
        guard mount("", "/", "", UInt(MS_PRIVATE | MS_REC), nil) == 0,
          mount("t", folder, "tmpfs", UInt(MS_NOSUID | MS_NOEXEC | MS_NOATIME), nil) == 0
        else { throw SystemError("mount", "", .current) }
        return try enter(fixture, final, planInChild: true) {
          [mountLine("/v")?.options.sorted().joined(separator: ",") ?? "none"]
        }
      }
    }
    #expect(try bind(["rbind"]) == ["noatime,noexec,nosuid,rw"])
    #expect(try bind(["rbind", "ro"]) == ["noatime,noexec,nosuid,ro"])
    #expect(try bind(["rbind", "nodev", "relatime"]) == ["noatime,nodev,noexec,nosuid,rw"])
    let refused = try bind(["rbind", "exec"])
    #expect(refused.first?.contains("exec: locked") == true, "\(refused)")
  }

  @Test("An ID-mapped volume belongs to the container's root")
  func idMapped() throws {
    let fixture = try fixture()
    var spec = spec()
    spec.mounts.append(.init(destination: "/v", type: "bind", source: fixture.host, options: ["rbind", "idmap"]))
    // Files of the host's root belong to root inside, and what is made inside belongs to root outside.
    let seen = try enter(fixture, spec) {
      ["\(status("/v/secret")?.st_uid ?? 1)", "\(writeError("/v/new", create: true))"]
    }
    #expect(seen == ["0", "0"])
    #expect(status("\(fixture.host)/new")?.st_uid == 0)
  }

  @Test("An overlay that the parent mounts, and one that the child mounts")
  func overlay() throws {
    for planInChild in [false, true] {
      let fixture = try fixture()
      for name in ["upper", "work"] {
        try fixture.folder(name)
        chown("\(fixture.path)/\(name)", Self.base, Self.base)
      }
      let source = RootSource.overlay(
        lower: fixture.rootfs, upper: "\(fixture.path)/upper", work: "\(fixture.path)/work")
      let seen = try enter(fixture, spec(), source: source, planInChild: planInChild) {
        [text("/etc/passwd") ?? "none", "\(writeError("/etc/passwd"))", "\(unlink("/etc/passwd"))"]
      }
      #expect(seen == ["root:x:0:0::/:/bin/sh", "", "0", "0"], "child: \(planInChild)")
      #expect(text("\(fixture.rootfs)/etc/passwd") == "root:x:0:0::/:/bin/sh\n")
    }
  }
}
