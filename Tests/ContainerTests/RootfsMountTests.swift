import CContainer
import CLinux
import Glibc
import OCI
import System
import Testing

@testable import Container

@Suite("Root file system, kinds of mounts", .enabled(if: geteuid() == 0))
struct RootfsMountTests {
  private static let proc = Spec.Mount(destination: "/proc", type: "proc", source: "proc")

  /// What `body` sees inside, with a host namespace where `before` was done first.
  private func look<Value: Sendable>(
    _ fixture: RootfsFixture, _ spec: Spec, cgroups: CgroupView = .none,
    before: @escaping @Sendable () throws -> Void, _ body: @escaping @Sendable () throws -> Value
  ) throws -> Value {
    try inMountNamespace {
      guard mount("", "/", "", UInt(MS_PRIVATE | MS_REC), nil) == 0 else { throw SystemError("mount", "/", .current) }
      try before()
      return try fixture.enter(spec, cgroups: cgroups, body)
    }
  }

  /// A tmpfs with flags at host/folder, and another below it.
  private func mountHost(_ fixture: RootfsFixture, _ flags: Int = MS_NOSUID | MS_NOEXEC, kind: Int = MS_PRIVATE) throws
  {
    let folder = "\(fixture.host)/folder"
    guard mount("t", folder, "tmpfs", UInt(flags), nil) == 0, mkdir("\(folder)/sub", 0o755) == 0,
      mount("s", "\(folder)/sub", "tmpfs", UInt(flags), nil) == 0,
      mount("", folder, "", UInt(kind | MS_REC), nil) == 0
    else { throw SystemError("mount", folder, .current) }
  }

  @Test("bind and rbind: what is below, which flags stay, which change")
  func bindFlags() throws {
    let fixture = try RootfsFixture()
    func bind(_ options: [String]) throws -> [String] {
      let spec = Spec.plain([
        Self.proc, .init(destination: "/v", type: "none", source: "\(fixture.host)/folder", options: options),
      ])
      return try look(fixture, spec, before: { try mountHost(fixture) }) {
        ["/v", "/v/sub"].map { mountLine($0)?.options.sorted().joined(separator: ",") ?? "none" }
      }
    }
    #expect(try bind(["rbind"]) == ["noexec,nosuid,relatime,rw", "noexec,nosuid,relatime,rw"])
    #expect(try bind(["bind"]) == ["noexec,nosuid,relatime,rw", "none"])
    #expect(try bind(["rbind", "ro"]) == ["relatime,ro", "noexec,nosuid,relatime,rw"])
    #expect(try bind(["rbind", "exec"]) == ["relatime,rw", "noexec,nosuid,relatime,rw"])
    #expect(try bind(["rbind", "rro"]) == ["noexec,nosuid,relatime,ro", "noexec,nosuid,relatime,ro"])
    #expect(try bind(["rbind", "rexec", "rnoatime"]) == ["noatime,nosuid,rw", "noatime,nosuid,rw"])
    #expect(try bind(["rbind", "ro", "nodev", "noatime"]) == ["noatime,nodev,ro", "noexec,nosuid,relatime,rw"])
    #expect(try bind(["rbind", "nosymfollow"]) == ["nosymfollow,relatime,rw", "noexec,nosuid,relatime,rw"])
  }

  @Test("Propagation of a bind mount, and of the root")
  func propagation() throws {
    let fixture = try RootfsFixture()
    func optional(_ options: [String], root: Linux.Propagation? = nil) throws -> [String] {
      var spec = Spec.plain([
        Self.proc, .init(destination: "/v", type: "none", source: "\(fixture.host)/folder", options: options),
      ])
      spec.linux.rootfsPropagation = root
      return try look(fixture, spec, before: { try mountHost(fixture, kind: MS_SHARED) }) {
        ["/", "/v", "/v/sub"].map { point in
          // Group numbers vary: only the kind counts.
          (mountLine(point)?.optional ?? ["none"]).map { String($0.prefix { $0 != ":" }) }.joined(separator: " ")
        }
      }
    }
    #expect(try optional(["rbind"]) == ["", "master", "master"])
    #expect(try optional(["rbind", "rprivate"]) == ["", "", ""])
    #expect(try optional(["rbind", "private"]) == ["", "", "master"])
    #expect(try optional(["rbind", "rslave"]) == ["", "master", "master"])
    #expect(try optional(["rbind", "rshared"]) == ["", "shared master", "shared master"])
    #expect(try optional(["bind", "unbindable"]) == ["", "unbindable", "none"])
    #expect(try optional(["rbind"], root: .private) == ["", "", ""])
    #expect(try optional(["rbind"], root: .shared) == ["shared", "shared", "shared"])
    #expect(try optional(["rbind", "rslave"], root: .shared) == ["shared", "master", "master"])
    #expect(try optional(["rbind", "rslave"], root: .slave) == ["", "master", "master"])
    #expect(try optional(["rbind", "rprivate"], root: .unbindable) == ["unbindable", "", ""])
  }

  @Test(
    "With a shared root a volume's mounts reach the host, the container's own do not, and the host keeps its mounts")
  func sharedRoot() throws {
    let fixture = try RootfsFixture()
    try fixture.folder("outside")
    let outside = "\(fixture.path)/outside"
    var spec = Spec.plain([
      Self.proc, .init(destination: "/v", type: "none", source: outside, options: ["rbind", "rshared"]),
    ])
    spec.linux.rootfsPropagation = .shared
    let final = spec
    let seen = try inMountNamespace {
      // This namespace is the host, with shared mounts as systemd leaves them.
      guard mount("", "/", "", UInt(MS_PRIVATE | MS_REC), nil) == 0, mount("t", outside, "tmpfs", 0, nil) == 0,
        mkdir("\(outside)/made", 0o755) == 0, mount("", "/", "", UInt(MS_SHARED | MS_REC), nil) == 0
      else { throw SystemError("mount", "", .current) }
      let before = mountLines().map(\.0)
      let box = try inMountNamespace { () -> String in
        var rootfs = try fixture.plan(final).build(console: nil)
        try rootfs.pivot(keepOldRoot: false)
        try rootfs.seal(spec: final)
        guard mount("inner", "/v/made", "tmpfs", 0, nil) == 0, mount("own", "/tmp", "tmpfs", 0, nil) == 0 else {
          throw SystemError("mount", "", .current)
        }
        return mountLine("/v/made")?.source ?? "none"
      }
      let after = mountLines().map(\.0)
      return (box, after.filter { !before.contains($0) }, before.filter { !after.contains($0) })
    }
    #expect(seen.0 == "inner")
    #expect(seen.1 == ["\(outside)/made"])
    #expect(seen.2 == [])
  }

  @Test("A mount on / is the root from then on")
  func overRoot() throws {
    let fixture = try RootfsFixture()
    try fixture.folder("other/proc")
    try fixture.write("other/mark", "other")
    let spec = Spec.plain([
      .init(destination: "/tmp", type: "tmpfs", source: "t"),
      .init(destination: "/", type: "none", source: "\(fixture.path)/other", options: ["rbind"]), Self.proc,
    ])
    let seen = try fixture.enter(spec) {
      [text("/mark"), mountLine("/")?.type == nil ? nil : "mounted", text("/etc/passwd")]
    }
    #expect(seen == ["other", "mounted", nil])
  }

  @Test("Kinds that do not fit are told apart, and sources that are missing named")
  func mismatches() throws {
    let fixture = try RootfsFixture()
    func message(_ destination: String, _ source: String) throws -> String {
      try fixture.failure(.plain([.init(destination: destination, type: "bind", source: source, options: ["rbind"])]))
        ?? ""
    }
    #expect(try message("/etc", "\(fixture.host)/secret").contains("the source is a file and the destination a folder"))
    #expect(try message("/etc/passwd", fixture.host).contains("the source is a folder and the destination a file"))
    let missing = try message("/x", "\(fixture.host)/nothing")
    #expect(missing.contains("nothing") && missing.contains("No such file"), "\(missing)")
    #expect(!exists("\(fixture.rootfs)/x"))
    #expect(try message("/etc/passwd/x", fixture.host).contains("Not a directory"))
  }

  @Test("Links as sources: followed, bound, or made anew; a destination that is a link is kept")
  func links() throws {
    let fixture = try RootfsFixture()
    try fixture.link("to-secret", to: "\(fixture.host)/secret")
    try fixture.link("rootfs/kept", to: "etc/passwd")
    let link = "\(fixture.path)/to-secret"
    let spec = Spec.plain([
      .init(destination: "/followed", type: "bind", source: link, options: ["bind"]),
      .init(destination: "/copied", type: "bind", source: link, options: ["bind", "copy-symlink"]),
      .init(destination: "/plain", type: "bind", source: "\(fixture.host)/secret", options: ["bind", "copy-symlink"]),
      .init(destination: "/bound", type: "bind", source: link, options: ["bind", "src-nofollow"]),
      .init(destination: "/kept", type: "bind", source: link, options: ["bind", "src-nofollow", "dest-nofollow"]),
    ])
    let target = "\(fixture.host)/secret"
    let seen = try fixture.enter(spec) {
      [
        text("/followed"), linkTarget("/copied"), text("/plain"), linkTarget("/bound"), linkTarget("/kept"),
        text("/etc/passwd").map { _ in "untouched" },
      ]
    }
    #expect(seen == ["secret", target, "secret", target, target, "untouched"])
  }

  @Test("ID-mapped mounts show other owners, recursively when asked")
  func idMapped() throws {
    let fixture = try RootfsFixture()
    chown("\(fixture.host)/folder/file", 1000, 1001)
    var mount = Spec.Mount(destination: "/v", type: "none", source: "\(fixture.host)/folder", options: ["bind"])
    mount.uidMappings = [IDMapping(containerID: 1000, hostID: 70_000, size: 10)]
    mount.gidMappings = [IDMapping(containerID: 1000, hostID: 80_000, size: 10)]
    let seen = try fixture.enter(.plain([mount])) { [status("/v/file")?.st_uid, status("/v/file")?.st_gid] }
    #expect(seen == [70_000, 80_001])
    let byOption = Spec.Mount(
      destination: "/v", type: "none", source: "\(fixture.host)/folder",
      options: ["rbind", "ridmap=uids=1000-5-1;gids=1001-6-1"])
    #expect(
      try fixture.enter(.plain([byOption])) { [status("/v/file")?.st_uid, status("/v/file")?.st_gid] } == [5, 6])
    let without = try fixture.failure(
      .plain([.init(destination: "/v", type: "none", source: fixture.host, options: ["bind", "idmap"])]))
    #expect(without?.contains("user namespace") == true, "\(without ?? "")")
    // procfs cannot be mapped.
    let proc = try fixture.failure(
      .plain([
        .init(destination: "/v", type: "none", source: "/proc", options: ["rbind", "idmap=uids=0-5-1;gids=0-6-1"])
      ]))
    #expect(proc?.contains("ID-mapped") == true, "\(proc ?? "")")
  }

  @Test("A terminal comes from the container's devpts and stands at /dev/console")
  func terminal() throws {
    let fixture = try RootfsFixture()
    let seen = try inMountNamespace { () -> [String?] in
      var rootfs = try fixture.plan(.docker()).build(console: nil)
      let terminal = try rootfs.openTerminal()
      try rootfs.pivot(keepOldRoot: false)
      try rootfs.seal(spec: .docker())
      guard Glibc.write(terminal.slave.rawValue, "hello", 5) == 5 else { throw SystemError("write", "", .current) }
      var buffer = [UInt8](repeating: 0, count: 16)
      let count = read(terminal.master.rawValue, &buffer, 16)
      return [
        String(decoding: buffer[..<max(0, count)], as: UTF8.self),
        ttyname(terminal.slave.rawValue).map { String(cString: $0) }, mountLine("/dev/console")?.type,
        status("/dev/console")?.st_rdev == status("/dev/pts/0")?.st_rdev ? "same" : "different",
      ]
    }
    #expect(seen == ["hello", "/dev/pts/0", "devpts", "same"])
    // A link that the image left at /dev/console leads nowhere, without a tmpfs on /dev too.
    var spec = Spec.docker()
    spec.mounts.removeAll { $0.destination == "/dev" }
    try fixture.folder("rootfs/dev")
    try fixture.link("rootfs/dev/console", to: "\(fixture.host)/secret")
    let final = spec
    let message = try inMountNamespace { () -> String in
      var rootfs = try fixture.plan(final).build(console: nil)
      do { _ = try rootfs.openTerminal() } catch { return "\(error)" }
      return ""
    }
    #expect(fixture.changesOnHost() == [], "\(message)")
  }

  @Test("A terminal of the host is found by its number when it is given")
  func hostTerminal() throws {
    let fixture = try RootfsFixture()
    let seen = try inMountNamespace { () -> Bool in
      let master = posix_openpt(O_RDWR | O_NOCTTY)
      guard master >= 0, grantpt(master) == 0, unlockpt(master) == 0, let name = ptsname(master) else {
        throw SystemError("openpt", "", .current)
      }
      defer { close(master) }
      let slave = open(name, O_RDWR | O_NOCTTY)
      defer { close(slave) }
      var wanted = stat()
      fstat(slave, &wanted)
      let device = wanted.st_rdev
      // The slave's mount is this namespace's: the child's is a copy of it.
      return try inMountNamespace {
        var rootfs = try fixture.plan(.docker()).build(console: slave)
        try rootfs.pivot(keepOldRoot: false)
        return status("/dev/console")?.st_rdev == device
      }
    }
    #expect(seen)
  }

  @Test("cgroup v1: a folder for each hierarchy, links for shared ones, read-only when asked")
  func cgroupHierarchies() throws {
    let fixture = try RootfsFixture()
    let base = "\(fixture.path)/cgroup"
    for name in ["cpu,cpuacct", "memory", "systemd"] { try fixture.folder("cgroup/\(name)/box/1") }
    try fixture.folder("unified")
    try fixture.write("cgroup/memory/box/1/limit", "7")
    let view = CgroupView.hierarchies(
      [
        .init(names: "cpu,cpuacct", mountPoint: "\(base)/cpu,cpuacct", path: "/box/1"),
        .init(names: "memory", mountPoint: "\(base)/memory", path: "/box/1"),
        .init(names: "name=systemd", mountPoint: "\(base)/systemd", path: "/"),
      ], unified: nil)
    let spec = Spec.plain([
      Self.proc, .init(destination: "/sys", type: "sysfs", source: "sysfs"),
      .init(
        destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup",
        options: ["ro", "nosuid", "noexec", "nodev"]),
    ])
    let seen = try fixture.enter(spec, cgroups: view) {
      [
        "\(names("/sys/fs/cgroup"))", text("/sys/fs/cgroup/memory/limit") ?? "", linkTarget("/sys/fs/cgroup/cpu") ?? "",
        "\(names("/sys/fs/cgroup/systemd"))", "\(writeError("/sys/fs/cgroup/x", create: true))",
        "\(writeError("/sys/fs/cgroup/memory/limit"))",
        mountLine("/sys/fs/cgroup/memory")?.options.sorted().joined(separator: ",") ?? "",
      ]
    }
    #expect(
      seen == [
        "[\"cpu\", \"cpu,cpuacct\", \"cpuacct\", \"memory\", \"systemd\"]", "7", "cpu,cpuacct", "[\"box\"]",
        "\(EROFS)", "\(EROFS)", "nodev,noexec,nosuid,relatime,ro",
      ])
  }

  @Test("cgroup v2, and v1 in a cgroup namespace, as this host has them")
  func cgroupNamespaces() throws {
    let fixture = try RootfsFixture()
    let hierarchies = mountLines().filter { $0.1.type == "cgroup" }.map { point, line in
      let name = point.split(separator: "/").last.map(String.init) ?? ""
      return CgroupHierarchy(
        names: line.data.first { $0.hasPrefix("name=") } ?? name, mountPoint: point, path: "/")
    }
    guard !hierarchies.isEmpty else { return }
    var spec = Spec.plain([
      Self.proc, .init(destination: "/cg", type: "cgroup", source: "cgroup", options: ["nosuid", "ro"]),
    ])
    spec.linux.namespaces.append(.init(.cgroup))
    let final = spec
    let seen = try inMountNamespace { () -> [String] in
      guard unshare(CLONE_NEWCGROUP) == 0 else { throw SystemError("unshare", "", .current) }
      var rootfs = try fixture.plan(final, cgroups: .hierarchies(hierarchies, unified: "/sys/fs/cgroup/unified")).build(
        console: nil)
      try rootfs.pivot(keepOldRoot: false)
      return mountLines().filter { $0.0.hasPrefix("/cg/") }.map {
        "\($0.0) \($0.1.type) \($0.1.options.contains("ro"))"
      }
    }
    let wanted = hierarchies.map { "/cg/\($0.mountPoint.split(separator: "/").last ?? "") cgroup true" }
    #expect(Set(seen) == Set(wanted + ["/cg/unified cgroup2 true"]))
    let unified = try fixture.enter(spec, cgroups: .unified(path: "/sys/fs/cgroup/unified")) { mountLine("/cg")?.type }
    #expect(unified == "cgroup2")
  }

  @Test("Without a cgroup namespace the container's own cgroup is bound, or the host's when it has none")
  func boundCgroup() throws {
    let fixture = try RootfsFixture()
    let spec = Spec.plain([
      Self.proc, .init(destination: "/cg", type: "cgroup", source: "cgroup", options: ["nosuid", "ro"]),
    ])
    let seen = try fixture.enter(spec, cgroups: .unified(path: "\(fixture.host)/folder")) {
      [names("/cg").joined(), "\(mountLine("/cg")?.options.contains("ro") == true)"]
    }
    #expect(seen == ["file", "true"])
    let host = names("/sys/fs/cgroup")
    #expect(try fixture.enter(spec, cgroups: .none) { names("/cg") } == host)
  }
}
