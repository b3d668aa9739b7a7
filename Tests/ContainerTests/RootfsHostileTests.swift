import CLinux
import Glibc
import OCI
import Synchronization
import System
import Testing

@testable import Container

/// Images that try to have the host's tree mounted over, written to, or shown.
@Suite("Root file system, hostile images", .enabled(if: geteuid() == 0))
struct RootfsHostileTests {
  private static let proc = Spec.Mount(destination: "/proc", type: "proc", source: "proc")

  @Test(
    "A destination that is a link lands inside, whatever it points to",
    arguments: ["absolute", "relative", "up and up", "through a folder", "dangling", "dangling up", "chain"])
  func linkedDestination(kind: String) throws {
    let fixture = try RootfsFixture()
    var destination = "/trap"
    switch kind {
    case "absolute": try fixture.link("rootfs/trap", to: fixture.host)
    case "relative": try fixture.link("rootfs/trap", to: "../host")
    case "up and up": try fixture.link("rootfs/trap", to: "../../../../../../../../\(fixture.host)")
    case "through a folder":
      try fixture.link("rootfs/way", to: fixture.path)
      destination = "/way/host"
    case "dangling": try fixture.link("rootfs/trap", to: "\(fixture.host)/made/by/mistake")
    case "dangling up": try fixture.link("rootfs/trap", to: "../../host/../host/made")
    default:
      try fixture.link("rootfs/a", to: "/b")
      try fixture.link("rootfs/b", to: "etc/../../c")
      try fixture.link("rootfs/c", to: "\(fixture.host)/folder")
      destination = "/a"
    }
    let mark = "\(fixture.path)/mark"
    try fixture.folder("mark")
    try fixture.write("mark/here", "mark")
    for mount in [
      Spec.Mount(destination: destination, type: "bind", source: mark, options: ["rbind"]),
      Spec.Mount(destination: destination, type: "tmpfs", source: "t"),
    ] {
      let target = destination
      let seen = try fixture.enter(.plain([Self.proc, mount])) {
        (text("\(target)/here"), writeError("\(target)/new", create: true), mountLines().map(\.0))
      }
      #expect(seen.0 == (mount.type == "bind" ? "mark" : nil))
      #expect(seen.1 == 0)
      #expect(seen.2.count == 3, "\(seen.2)")
      #expect(fixture.changesOnHost() == [])
      unlink("\(mark)/new")
    }
    #expect(names(mark) == ["here"])
  }

  @Test("A file is bound through a dangling link to where it leads inside")
  func danglingFile() throws {
    let fixture = try RootfsFixture()
    try fixture.link("rootfs/etc/resolv.conf", to: "../run/resolvconf/resolv.conf")
    let spec = Spec.plain([
      .init(destination: "/etc/resolv.conf", type: "bind", source: "\(fixture.host)/secret", options: ["rbind", "ro"])
    ])
    let seen = try fixture.enter(spec) { [text("/etc/resolv.conf"), text("/run/resolvconf/resolv.conf")] }
    #expect(seen == ["secret", "secret"])
    #expect(fixture.changesOnHost() == [])
  }

  @Test("Links that lead nowhere for ever are an error", arguments: ["/loop", "/loop/x"])
  func loops(destination: String) throws {
    let fixture = try RootfsFixture()
    try fixture.link("rootfs/loop", to: "loop2")
    try fixture.link("rootfs/loop2", to: "/loop")
    let message = try fixture.failure(.plain([.init(destination: destination, type: "tmpfs", source: "t")]))
    #expect(message?.contains("symbolic links") == true, "\(message ?? "")")
  }

  @Test("A link or a file in the place of /proc or /sys is refused", arguments: ["proc", "sys"])
  func linkedKernelViews(name: String) throws {
    let fixture = try RootfsFixture()
    let mount = Spec.Mount(destination: "/\(name)", type: name == "sys" ? "sysfs" : "proc", source: name)
    try fixture.link("rootfs/\(name)", to: "etc")
    let message = try fixture.failure(.plain([mount]))
    #expect(message?.contains("no folder") == true, "\(message ?? "")")
    unlink("\(fixture.rootfs)/\(name)")
    try fixture.write("rootfs/\(name)", "")
    #expect(try fixture.failure(.plain([mount]))?.contains("no folder") == true)
    unlink("\(fixture.rootfs)/\(name)")
    try fixture.link("rootfs/\(name)", to: "nowhere")
    #expect(try fixture.failure(.plain([mount]))?.contains("no folder") == true)
    #expect(!exists("\(fixture.rootfs)/nowhere"))
  }

  @Test("A linked /dev stays inside, devices and links with it")
  func linkedDev() throws {
    let fixture = try RootfsFixture()
    try fixture.link("rootfs/dev", to: fixture.host)
    _ = try fixture.enter(.docker()) { 0 }
    #expect(fixture.changesOnHost() == [])
    // The same without a mount on /dev: the nodes go to the image.
    var spec = Spec.docker()
    spec.mounts.removeAll { $0.destination.hasPrefix("/dev") }
    spec.linux.devices = [Linux.Device(path: "/dev/deep/device", type: .character, major: 1, minor: 3)]
    _ = try fixture.enter(spec) { 0 }
    #expect(fixture.changesOnHost() == [])
  }

  @Test("A magic link of the container's /proc is no way out")
  func magicLinks() throws {
    let fixture = try RootfsFixture()
    try fixture.link("rootfs/trap", to: "/proc/self/root\(fixture.host)")
    try fixture.link("rootfs/trap2", to: "/proc/self/cwd/host")
    for destination in ["/trap", "/trap2", "/proc/self/root\(fixture.host)", "/proc/thread-self/fd/0"] {
      let message = try fixture.failure(
        .plain([Self.proc, .init(destination: destination, type: "tmpfs", source: "t")]))
      #expect(message != nil, "\(destination)")
      #expect(fixture.changesOnHost() == [])
    }
  }

  @Test("Masks and read-only paths that are links hide what they lead to inside, and nothing of the host")
  func linkedMasks() throws {
    let fixture = try RootfsFixture()
    try fixture.link("rootfs/secret", to: "\(fixture.host)/secret")
    try fixture.link("rootfs/folder", to: "../../../../../../../../../\(fixture.host)/folder")
    try fixture.link("rootfs/known", to: "../etc/passwd")
    try fixture.folder("rootfs/hidden")
    try fixture.write("rootfs/hidden/x", "x")
    try fixture.link("rootfs/door", to: "/hidden")
    var spec = Spec.plain([Self.proc])
    spec.linux.maskedPaths = ["/secret", "/folder", "/known", "/door", "/../../etc", "/missing/path", "/etc/passwd/x"]
    spec.linux.readonlyPaths = ["/secret", "/folder", "/tmp", "/missing"]
    let seen = try fixture.enter(spec) {
      [
        "\(names("/hidden"))", "\(names("/etc"))", "\(writeError("/tmp/x", create: true))",
        "\(mountLines().map(\.0).count)",
      ]
    }
    // Root, proc, /tmp, /etc/passwd, /hidden, /etc.
    #expect(seen == ["[]", "[]", "\(EROFS)", "6"])
    #expect(fixture.changesOnHost() == [])
    #expect(text("\(fixture.host)/secret") == "secret" && writeError("\(fixture.host)/folder/file") == 0)
  }

  @Test("Nodes that the image put in /dev are not taken for the devices")
  func forgedDevices() throws {
    let fixture = try RootfsFixture()
    try fixture.folder("rootfs/dev/full")
    try fixture.link("rootfs/dev/null", to: "\(fixture.host)/secret")
    try fixture.write("rootfs/dev/zero", "no zeros")
    try fixture.link("rootfs/dev/ptmx", to: "\(fixture.host)/secret")
    mknod("\(fixture.rootfs)/dev/random", S_IFCHR | 0o666, clinux_makedev(1, 1))
    mknod("\(fixture.rootfs)/dev/tty", S_IFCHR | 0o600, clinux_makedev(5, 0))
    let seen = try fixture.enter(.plain([])) {
      ["null", "zero", "full", "random", "tty"].map { status("/dev/\($0)")?.st_rdev ?? 0 }
    }
    #expect(
      seen == [
        clinux_makedev(1, 3), clinux_makedev(1, 5), clinux_makedev(1, 7), clinux_makedev(1, 8), clinux_makedev(5, 0),
      ])
    #expect(fixture.changesOnHost() == [])
    #expect(linkTarget("\(fixture.rootfs)/dev/ptmx") == "pts/ptmx")
  }

  @Test("Only proc goes on /proc, and into it only files that show resources")
  func overProc() throws {
    let fixture = try RootfsFixture()
    try fixture.write("cpuinfo", "processor: none\n")
    func message(_ mount: Spec.Mount, withProc: Bool = true) throws -> String? {
      try fixture.failure(.plain(withProc ? [Self.proc, mount] : [mount]))
    }
    let file = "\(fixture.path)/cpuinfo"
    #expect(try message(.init(destination: "/proc", type: "tmpfs", source: "t")) != nil)
    #expect(try message(.init(destination: "/proc", type: "tmpfs", source: "t"), withProc: false) != nil)
    #expect(
      try message(.init(destination: "/proc/../proc/.", type: "bind", source: fixture.host, options: ["bind"])) != nil)
    #expect(try message(.init(destination: "/proc/self", type: "tmpfs", source: "t")) != nil)
    #expect(try message(.init(destination: "/proc/sys", type: "bind", source: fixture.host, options: ["bind"])) != nil)
    #expect(try message(.init(destination: "/proc/version", type: "bind", source: file, options: ["bind"])) != nil)
    #expect(
      try message(.init(destination: "/proc/self/attr/exec", type: "bind", source: file, options: ["bind"])) != nil)
    try fixture.link("rootfs/other", to: "/proc/sys")
    #expect(try message(.init(destination: "/other", type: "tmpfs", source: "t")) != nil)
    #expect(try message(.init(destination: "/proc/cpuinfo", type: "bind", source: file, options: ["bind"])) == nil)
    #expect(try message(.init(destination: "/proc", type: "bind", source: "/proc", options: ["rbind"])) == nil)
  }

  @Test("A folder that is swapped for a link to the host all the while never lets a mount or a node out")
  func race() throws {
    let fixture = try RootfsFixture()
    try fixture.folder("rootfs/a/b")
    try fixture.folder("rootfs/spare")
    try fixture.link("rootfs/evil", to: fixture.host)
    let (rootfs, evil) = ("\(fixture.rootfs)/a", "\(fixture.rootfs)/evil")
    let spec = Spec.plain([
      .init(destination: "/a/b/folder", type: "tmpfs", source: "t"),
      .init(destination: "/a/folder", type: "tmpfs", source: "t"),
      .init(destination: "/a/secret", type: "bind", source: "\(fixture.rootfs)/etc/passwd", options: ["bind"]),
      .init(destination: "/a/folder/deep/er", type: "tmpfs", source: "t"),
      .init(destination: "/a/file", type: "bind", source: "\(fixture.rootfs)/etc/passwd", options: ["bind"]),
    ])
    var devices = spec
    devices.linux.devices = [Linux.Device(path: "/a/b/c/device", type: .character, major: 1, minor: 3)]
    devices.linux.maskedPaths = ["/a/secret", "/a/folder"]
    devices.linux.readonlyPaths = ["/a/folder", "/a/b"]
    let final = devices
    // The swapping thread works on the host's side, as a second container that shares the volume would.
    let swapper = Swapper(rootfs, evil)
    let thread = try Thread { swapper.run() }
    var built = 0
    for _ in 0..<400 {
      // A name may vanish under a look-up: an error is fine, a mount on the host is not.
      let outside = try inMountNamespace { () -> [String]? in
        do {
          var rootfs = try fixture.plan(final).build(console: nil)
          let outside = mountLines().map(\.0).filter { $0.hasPrefix(fixture.host) }
          try rootfs.pivot(keepOldRoot: false)
          try rootfs.seal(spec: final)
          return outside
        } catch is ContainerError { return nil }
      }
      if let outside {
        built += 1
        #expect(outside == [])
      }
      #expect(fixture.changesOnHost() == [])
    }
    swapper.stop()
    thread.join()
    #expect(built > 0, "no build got through at all")
    #expect(swapper.count > 400)
  }
}

/// Exchanges two names for as long as it is let.
private final class Swapper: Sendable {
  private let stopped = Atomic(false)
  private let swaps = Atomic(0)
  private let one: String
  private let other: String

  init(_ one: String, _ other: String) { (self.one, self.other) = (one, other) }

  var count: Int { swaps.load(ordering: .relaxed) }
  func stop() { stopped.store(true, ordering: .relaxed) }

  func run() {
    while !stopped.load(ordering: .relaxed) {
      if renameat2(AT_FDCWD, one, AT_FDCWD, other, UInt32(RENAME_EXCHANGE)) == 0 { swaps.add(1, ordering: .relaxed) }
    }
    // An odd number of swaps leaves the link where the folder was; the fixture goes anyway.
  }
}
