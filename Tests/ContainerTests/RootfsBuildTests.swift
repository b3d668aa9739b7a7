import CLinux
import Glibc
import OCI
import Testing

@testable import Container

@Suite("Root file system", .enabled(if: geteuid() == 0))
struct RootfsBuildTests {
  @Test("docker's default set: mounts, devices, links, masks, read-only paths")
  func dockerDefaults() throws {
    let fixture = try RootfsFixture()
    var spec = Spec.docker()
    spec.root?.isReadOnly = true
    let masked = spec.linux.maskedPaths
    let problems = try fixture.enter(spec) { () -> [String] in
      var problems: [String] = []
      func check(_ condition: Bool, _ what: String) { if !condition { problems.append(what) } }
      check(text("/etc/passwd") == "root:x:0:0::/:/bin/sh\n", "the image is the root")
      check(!exists(fixture.host), "the host is out of reach")
      check(names("/") == ["dev", "etc", "proc", "sys", "tmp", "usr"], "\(names("/"))")
      check(mountLine("/proc")?.type == "proc", "proc")
      check(mountLine("/proc")?.options == ["rw", "nosuid", "nodev", "noexec", "relatime"], "proc's flags")
      check(mountLine("/dev")?.options == ["rw", "nosuid"], "dev's flags \(String(describing: mountLine("/dev")))")
      check(mountLine("/dev")?.data.isSuperset(of: ["size=65536k", "mode=755"]) == true, "dev's data")
      check(mountLine("/dev/pts")?.type == "devpts", "devpts")
      check(mountLine("/dev/pts")?.data.isSuperset(of: ["gid=5", "mode=620", "ptmxmode=666"]) == true, "devpts's data")
      check(mountLine("/sys")?.options == ["ro", "nosuid", "nodev", "noexec", "relatime"], "sysfs")
      check(mountLine("/dev/mqueue")?.type == "mqueue", "mqueue")
      check(mountLine("/dev/shm")?.source == "shm", "shm")
      check(octal(status("/dev/shm")?.st_mode ?? 0) == "1777", "shm's mode")
      check(mountLine("/")?.options.contains("ro") == true, "root is read-only")
      for (name, major, minor) in [
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
      ] as [(String, UInt32, UInt32)] {
        let node = status("/dev/\(name)")
        check(node?.st_rdev == clinux_makedev(major, minor) && node?.st_mode == 0o020666, name)
      }
      check(writeError("/dev/null") == 0, "/dev/null takes writes")
      for (name, target) in [
        ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"),
      ] { check(linkTarget("/dev/\(name)") == target, name) }
      for path in ["/proc/sys", "/proc/irq", "/proc/sysrq-trigger"] where exists(path) {
        check(mountLine(path)?.options == ["ro", "nosuid", "nodev", "noexec", "relatime"], "\(path) keeps its flags")
      }
      check(writeError("/proc/sys/kernel/hostname") == EROFS, "/proc/sys")
      for path in masked {
        guard let node = status(path) else { continue }
        if node.st_mode & S_IFMT == S_IFDIR {
          check(names(path).isEmpty && mountLine(path)?.options.contains("ro") == true, path)
        } else {
          check(node.st_rdev == clinux_makedev(1, 3), path)
          // The node under the mask is the host's own: its mode must be out of reach.
          check(chmod(path, 0o600) == -1 && errno == EROFS, "\(path) can be changed")
        }
      }
      check(status("/proc/interrupts")?.st_rdev == clinux_makedev(1, 3), "interrupts are masked")
      check(writeError("/new", create: true) == EROFS, "the root takes a file")
      check(writeError("/dev/shm/new", create: true) == 0, "shm takes no file")
      return problems
    }
    #expect(problems == [])
    #expect(fixture.changesOnHost() == [])
    // Nothing of it is seen from outside.
    #expect(names("\(fixture.rootfs)/dev").isEmpty && names("\(fixture.rootfs)/proc").isEmpty)
  }

  @Test("The root is on the rootfs folder before the pivot, where hooks look for it")
  func beforePivot() throws {
    let fixture = try RootfsFixture()
    let seen = try inMountNamespace {
      let rootfs = try fixture.plan(.docker()).build(console: nil)
      let seen = [
        mountLine("\(fixture.rootfs)/proc")?.type, mountLine(fixture.rootfs) == nil ? nil : "root",
        exists("\(fixture.rootfs)/dev/null") ? "null" : nil,
      ]
      _ = consume rootfs
      return seen
    }
    #expect(seen == ["proc", "root", "null"])
  }

  @Test("An overlay leaves the lower folder as it is")
  func overlay() throws {
    let fixture = try RootfsFixture()
    // Characters that would have to be escaped in overlay's own options.
    let upper = "\(fixture.path)/up,per:1"
    try fixture.folder("up,per:1")
    try fixture.folder("work")
    let source = RootSource.overlay(lower: fixture.rootfs, upper: upper, work: "\(fixture.path)/work")
    // overlay cannot be stacked upon every file system: a tmpfs takes it.
    let results = try fixture.enter(.docker(), source: source) {
      [writeError("/etc/passwd"), writeError("/new", create: true), unlink("/etc/passwd")]
    }
    #expect(results == [0, 0, 0])
    #expect(text("\(fixture.rootfs)/etc/passwd") == "root:x:0:0::/:/bin/sh\n")
    #expect(!exists("\(fixture.rootfs)/new") && text("\(upper)/new") == "x")
  }

  @Test("--no-pivot: the root is entered, and the host's proc and sysfs are gone")
  func withoutPivot() throws {
    let fixture = try RootfsFixture()
    let seen = try fixture.enter(.docker(), keepOldRoot: true) {
      [
        text("/etc/passwd") != nil, exists(fixture.host), exists("/proc/self"),
        mountLines().contains { $0.0 != "/proc" && $0.1.type == "proc" && !$0.0.hasPrefix("/proc/") },
      ]
    }
    #expect(seen == [true, false, true, false])
    var shared = Spec.docker()
    shared.linux.rootfsPropagation = .shared
    let final = shared
    #expect(throws: ContainerError.self) { try fixture.enter(final, keepOldRoot: true) { 0 } }
  }

  @Test("tmpfs takes the mode of the folder below it, unless one is given; ro comes last")
  func temporary() throws {
    let fixture = try RootfsFixture()
    chmod("\(fixture.rootfs)/tmp", 0o1733)
    let spec = Spec.plain([
      .init(destination: "/proc", type: "proc", source: "proc"),
      .init(destination: "/tmp", type: "tmpfs", source: "a"),
      .init(destination: "/usr", type: "tmpfs", source: "b", options: ["mode=700", "ro"]),
      .init(destination: "/usr/below", type: "tmpfs", source: "c"),
      .init(destination: "/new/folder", type: "tmpfs", source: "d", options: ["size=1m", "noatime", "nodiratime"]),
    ])
    let seen = try fixture.enter(spec) {
      ["/tmp", "/usr", "/new/folder"].map { octal(status($0)?.st_mode ?? 0) }
        + [
          mountLine("/usr")?.options.sorted().joined(separator: ",") ?? "",
          mountLine("/new/folder")?.options.sorted().joined(separator: ",") ?? "",
          "\(writeError("/usr/x", create: true))", "\(writeError("/usr/below/x", create: true))",
        ]
    }
    #expect(seen == ["1733", "700", "1777", "relatime,ro", "noatime,nodiratime,rw", "\(EROFS)", "0"])
  }

  @Test("tmpcopyup takes everything along: files, links, folders, modes, owners, times")
  func copyUp() throws {
    let fixture = try RootfsFixture()
    try fixture.folder("rootfs/data/deep/er")
    try fixture.write("rootfs/data/file", String(repeating: "0123456789", count: 30_000))
    try fixture.write("rootfs/data/deep/er/x", "x")
    try fixture.link("rootfs/data/link", to: "/etc/passwd")
    try fixture.link("rootfs/data/out", to: "\(fixture.host)/secret")
    mknod("\(fixture.rootfs)/data/pipe", S_IFIFO | 0o620, 0)
    chmod("\(fixture.rootfs)/data/file", 0o4751)
    chown("\(fixture.rootfs)/data/deep", 7, 8)
    chmod("\(fixture.rootfs)/data", 0o750)
    let spec = Spec.plain([
      .init(destination: "/proc", type: "proc", source: "proc"),
      .init(destination: "/data", type: "tmpfs", source: "t", options: ["tmpcopyup"]),
    ])
    let seen = try fixture.enter(spec) {
      [
        mountLine("/data")?.type ?? "", "\(text("/data/file")?.count ?? 0)", octal(status("/data/file")?.st_mode ?? 0),
        text("/data/deep/er/x") ?? "", linkTarget("/data/link") ?? "", linkTarget("/data/out") ?? "",
        "\(status("/data/deep")?.st_uid ?? 0) \(status("/data/deep")?.st_gid ?? 0)",
        "\((status("/data/pipe")?.st_mode ?? 0) & S_IFMT == S_IFIFO)", octal(status("/data")?.st_mode ?? 0),
        "\(writeError("/data/new", create: true))",
      ]
    }
    #expect(
      seen == [
        "tmpfs", "300000", "4751", "x", "/etc/passwd", "\(fixture.host)/secret", "7 8", "true", "750", "0",
      ])
    #expect(!exists("\(fixture.rootfs)/data/new"))
  }

  @Test("Options of a driver: wrong ones are told with the kernel's words, long ones pass")
  func driverOptions() throws {
    let fixture = try RootfsFixture()
    let wrong = try fixture.failure(
      .plain([.init(destination: "/tmp", type: "tmpfs", source: "t", options: ["size=house"])]))
    #expect(wrong?.contains("mount t on /tmp") == true && wrong?.contains("size=house") == true, "\(wrong ?? "")")
    let unknown = try fixture.failure(.plain([.init(destination: "/tmp", type: "nosuchfs", source: "t")]))
    #expect(unknown?.contains("nosuchfs") == true, "\(unknown ?? "")")
    // More than 255 bytes of lower folders, which fsconfig(2) does not take.
    var lower: [String] = []
    for index in 0..<12 {
      let name = "layer\(index)-\(String(repeating: "x", count: 30))"
      try fixture.folder(name)
      lower.append("\(fixture.path)/\(name)")
    }
    try fixture.write("layer7-\(String(repeating: "x", count: 30))/seven", "7")
    let spec = Spec.plain([
      .init(destination: "/proc", type: "proc", source: "proc"),
      .init(
        destination: "/layers", type: "overlay", source: "overlay",
        options: ["lowerdir=\(lower.joined(separator: ":"))", "nosuid", "rprivate"]),
    ])
    let seen = try fixture.enter(spec) { [text("/layers/seven"), mountLine("/layers")?.type] }
    #expect(seen == ["7", "overlay"])
  }

  @Test("remount changes what is there")
  func remount() throws {
    let fixture = try RootfsFixture()
    let spec = Spec.plain([
      .init(destination: "/proc", type: "proc", source: "proc"),
      .init(destination: "/tmp", type: "tmpfs", source: "t", options: ["size=1m"]),
      .init(destination: "/tmp", type: "", source: "", options: ["remount", "nosuid", "size=2m"]),
      .init(destination: "/usr", type: "bind", source: fixture.host, options: ["rbind"]),
      .init(destination: "/usr", type: "none", source: "x", options: ["remount", "bind", "ro"]),
    ])
    let seen = try fixture.enter(spec) {
      [
        mountLine("/tmp")?.data.contains("size=2048k"), mountLine("/tmp")?.options.contains("nosuid"),
        mountLine("/usr")?.options.contains("ro"),
      ]
    }
    #expect(seen == [true, true, true])
    #expect(writeError("\(fixture.host)/secret2", create: true) == 0)
  }

  @Test("A mount label needs SELinux")
  func label() throws {
    let fixture = try RootfsFixture()
    var spec = Spec.docker()
    spec.linux.mountLabel = "system_u:object_r:container_file_t:s0"
    if SecurityLabels.areEnabled { return }
    let message = try fixture.failure(spec)
    #expect(message?.contains("mountLabel") == true && message?.contains("SELinux") == true, "\(message ?? "")")
  }

  @Test("A container without a mount namespace is refused")
  func namespace() throws {
    let fixture = try RootfsFixture()
    var spec = Spec.docker()
    spec.linux.namespaces = []
    #expect(try fixture.failure(spec)?.contains("mount namespace") == true)
  }
}
