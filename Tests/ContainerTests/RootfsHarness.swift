import CLinux
import Foundation
import Glibc
import OCI
import System

@testable import Container

private final class ThreadResult<Value: Sendable>: @unchecked Sendable { var result: Result<Value, any Error>? }

/// Runs `body` on a thread of its own, with a mount namespace, root, working directory and mask of its own: whatever it mounts
/// and wherever it pivots is gone with the thread, and no other thread sees any of it.
func inMountNamespace<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
  let box = ThreadResult<Value>()
  let thread = try System.Thread(stackSize: 4 << 20) {
    box.result = Result {
      guard unshare(CLONE_NEWNS | CLONE_FS) == 0 else { throw SystemError("unshare", "", .current) }
      return try body()
    }
  }
  thread.join()
  guard let result = box.result else { throw SystemError("thread", "", .ioError) }
  return try result.get()
}

/// A bundle with a root file system, and beside it a folder that stands for the host: `check` says whether it was touched.
final class RootfsFixture: Sendable {
  let path: String
  var rootfs: String { "\(path)/rootfs" }
  var host: String { "\(path)/host" }

  init() throws {
    let parent = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp"
    path = "\(parent)/vmrun-rootfs-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    for folder in ["", "/rootfs", "/rootfs/etc", "/rootfs/usr", "/rootfs/tmp", "/host", "/host/folder"] {
      guard mkdir(path + folder, 0o755) == 0 else { throw SystemError("mkdir", folder, .current) }
    }
    try write("rootfs/etc/passwd", "root:x:0:0::/:/bin/sh\n")
    try write("host/secret", "secret")
    try write("host/folder/file", "file")
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ name: String, _ text: String) throws {
    try text.write(toFile: "\(path)/\(name)", atomically: false, encoding: .utf8)
  }

  func folder(_ name: String) throws {
    try FileManager.default.createDirectory(atPath: "\(path)/\(name)", withIntermediateDirectories: true)
  }

  func link(_ name: String, to target: String) throws {
    guard symlink(target, "\(path)/\(name)") == 0 else { throw SystemError("symlink", name, .current) }
  }

  /// What differs from the host's folder as it was made; empty when nothing does.
  func changesOnHost() -> [String] {
    let names = Set((try? FileManager.default.subpathsOfDirectory(atPath: host)) ?? ["unreadable"])
    var changes = names.symmetricDifference(["secret", "folder", "folder/file"]).sorted()
    if text("\(host)/secret") != "secret" { changes.append("secret: \(text("\(host)/secret") ?? "gone")") }
    if text("\(host)/folder/file") != "file" { changes.append("folder/file") }
    return changes
  }
}

// MARK: - Looking around

func text(_ path: String) -> String? {
  let raw = clinux_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0)
  guard raw >= 0 else { return nil }
  let file = FileDescriptor(owning: raw)
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4096)
  while let count = try? buffer.withUnsafeMutableBytes({ try file.read(into: $0) }), count > 0 {
    bytes += buffer[..<count]
  }
  return String(decoding: bytes, as: UTF8.self)
}

/// errno of writing one byte to `path`; 0 when it worked.
func writeError(_ path: String, create: Bool = false) -> Int32 {
  let raw = clinux_open(path, O_WRONLY | O_CLOEXEC | (create ? O_CREAT : 0), 0o644)
  guard raw >= 0 else { return errno }
  defer { close(raw) }
  return Glibc.write(raw, "x", 1) == 1 ? 0 : errno
}

func status(_ path: String) -> stat? {
  var status = stat()
  return lstat(path, &status) == 0 ? status : nil
}

func exists(_ path: String) -> Bool { status(path) != nil }

func linkTarget(_ path: String) -> String? {
  var buffer = [UInt8](repeating: 0, count: 4096)
  let count = readlink(path, &buffer, buffer.count)
  return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
}

func names(_ path: String) -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

func octal(_ mode: mode_t) -> String { String(mode & 0o7777, radix: 8) }

/// What one mount of the calling thread's namespace is.
struct MountLine: Sendable, Equatable {
  var options: Set<String>
  var optional: [String]
  var type: String
  var source: String
  var data: Set<String>
}

/// The topmost mount at `point`, from a /proc that shows this thread's mounts.
func mountLine(_ point: String, proc: String = "/proc") -> MountLine? {
  mountLines(proc: proc).last { $0.0 == point }?.1
}

func mountLines(proc: String = "/proc") -> [(String, MountLine)] {
  (text("\(proc)/thread-self/mountinfo") ?? "").split(separator: "\n").compactMap { line in
    let fields = line.split(separator: " ").map(String.init)
    guard let separator = fields.firstIndex(of: "-"), separator + 3 < fields.count + 0 else { return nil }
    return (
      fields[4],
      MountLine(
        options: Set(fields[5].split(separator: ",").map(String.init)), optional: Array(fields[6..<separator]),
        type: fields[separator + 1], source: fields[separator + 2],
        data: Set(fields[separator + 3].split(separator: ",").map(String.init)))
    )
  }
}

// MARK: - Configurations

extension Spec {
  /// What docker asks for, without the parts that are not about files.
  static func docker() -> Spec {
    var spec = Spec()
    spec.root = Spec.Root(path: "rootfs")
    spec.linux.namespaces = [.init(.mount)]
    spec.mounts = [
      Mount(destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]),
      Mount(
        destination: "/dev", type: "tmpfs", source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      Mount(
        destination: "/dev/pts", type: "devpts", source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
      Mount(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"]),
      Mount(destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"]),
      Mount(
        destination: "/dev/shm", type: "tmpfs", source: "shm",
        options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ]
    spec.linux.maskedPaths = [
      "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
      "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
      "/sys/devices/virtual/powercap",
    ]
    spec.linux.readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    return spec
  }

  /// Nothing but a mount namespace and `mounts`.
  static func plain(_ mounts: [Mount]) -> Spec {
    var spec = Spec()
    spec.root = Spec.Root(path: "rootfs")
    spec.linux.namespaces = [.init(.mount)]
    spec.mounts = mounts
    return spec
  }
}

extension RootfsFixture {
  func plan(_ spec: Spec, source: RootSource? = nil, cgroups: CgroupView = .none, userNamespace: Bool = false) throws
    -> RootfsPlan
  {
    try RootfsPlan.prepare(
      spec: spec, bundle: path, source: source ?? .directory(rootfs), userNamespace: userNamespace, cgroups: cgroups)
  }

  /// Builds, pivots, seals and looks around with `body`, inside.
  func enter<Value: Sendable>(
    _ spec: Spec, source: RootSource? = nil, cgroups: CgroupView = .none, keepOldRoot: Bool = false,
    _ body: @escaping @Sendable () throws -> Value
  ) throws -> Value {
    try inMountNamespace {
      let plan = try self.plan(spec, source: source, cgroups: cgroups)
      var rootfs = try plan.build(console: nil)
      try rootfs.pivot(keepOldRoot: keepOldRoot)
      try rootfs.seal(spec: spec)
      return try body()
    }
  }

  /// The message that building `spec` ends with; nil when it works.
  func failure(_ spec: Spec, cgroups: CgroupView = .none) throws -> String? {
    try inMountNamespace {
      do {
        let plan = try self.plan(spec, cgroups: cgroups)
        var rootfs = try plan.build(console: nil)
        try rootfs.pivot(keepOldRoot: false)
        try rootfs.seal(spec: spec)
        return nil
      } catch let error as ContainerError { return error.description }
    }
  }
}
