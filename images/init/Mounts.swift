import CLinux
import System

/// One file system to mount.
private struct Mount {
  let type: String
  let target: String
  let flags: Int
  let options: String

  init(_ type: String, _ target: String, _ flags: Int, _ options: String = "") {
    self.type = type
    self.target = target
    self.flags = flags
    self.options = options
  }

  /// Mounts it, after creating the folder where it is missing.
  func perform() throws(SystemError) {
    // unsafe: here and below, the strings live during the calls.
    _ = unsafe mkdir(target, 0o755)
    guard unsafe mount(type, target, type, UInt(flags), options) == 0 else {
      throw SystemError("mount \(type) on", target, .current)
    }
  }
}

/// The tree of files that a command finds.
public enum RootFileSystem {
  /// Makes the folder `path` the root of this process and of all that it starts. The initial file system of Linux cannot be
  /// pivoted away, so the folder is mounted over it.
  public static func enter(_ path: String) throws(Failure) {
    // unsafe: the strings live during the calls.
    guard unsafe mount(path, path, "", UInt(MS_BIND | MS_REC), nil) == 0 else {
      throw Failure(SystemError("bind mount", path, .current))
    }
    guard unsafe chdir(path) == 0 else { throw Failure(SystemError("chdir", path, .current)) }
    guard unsafe mount(".", "/", "", UInt(MS_MOVE), nil) == 0 else {
      throw Failure(SystemError("move mount", path, .current))
    }
    guard unsafe chroot(".") == 0 else { throw Failure(SystemError("chroot", path, .current)) }
    guard unsafe chdir("/") == 0 else { throw Failure(SystemError("chdir", "/", .current)) }
  }

  /// Mounts what programs expect of Linux into the root.
  /// - Parameter usesDevtmpfs: whether /dev shows the kernel's devices; otherwise, and where the kernel has no devtmpfs, it
  ///   holds the standard nodes.
  public static func populate(usesDevtmpfs: Bool = true) throws(Failure) {
    let quiet = Int(MS_NOSUID | MS_NODEV | MS_NOEXEC)
    do throws(SystemError) {
      try Mount("proc", "/proc", quiet).perform()
      try Mount("sysfs", "/sys", quiet).perform()
      try populateDevices(usesDevtmpfs)
      try Mount("devpts", "/dev/pts", Int(MS_NOSUID | MS_NOEXEC), "gid=5,mode=620,ptmxmode=666").perform()
      try Mount("tmpfs", "/dev/shm", Int(MS_NOSUID | MS_NODEV), "mode=1777").perform()
      try Mount("tmpfs", "/tmp", Int(MS_NOSUID | MS_NODEV), "mode=1777").perform()
      try Mount("tmpfs", "/run", Int(MS_NOSUID | MS_NODEV), "mode=755").perform()
    } catch {
      throw Failure(error)
    }
  }

  private static func populateDevices(_ usesDevtmpfs: Bool) throws(SystemError) {
    if usesDevtmpfs {
      do throws(SystemError) {
        try Mount("devtmpfs", "/dev", Int(MS_NOSUID), "mode=755").perform()
      } catch {
        // ENODEV: the kernel was built without it.
        guard error.errno.rawValue == ENODEV else { throw error }
        try createDevices()
      }
    } else {
      try createDevices()
    }
    link("/dev/fd", to: "/proc/self/fd")
    link("/dev/stdin", to: "/proc/self/fd/0")
    link("/dev/stdout", to: "/proc/self/fd/1")
    link("/dev/stderr", to: "/proc/self/fd/2")
    // Where the kernel's own node is missing, the one of the mounted devpts serves.
    link("/dev/ptmx", to: "pts/ptmx")
  }

  /// Creates a symbolic link unless there is something already.
  private static func link(_ path: String, to target: String) {
    // unsafe: the strings live during the call.
    _ = unsafe symlink(target, path)
  }

  /// The nodes that every Linux has (Documentation/admin-guide/devices.txt), and those that init needs itself.
  private static func createDevices() throws(SystemError) {
    try Mount("tmpfs", "/dev", Int(MS_NOSUID), "mode=755").perform()
    let nodes: [(name: String, major: UInt32, minor: UInt32, mode: UInt32)] = [
      ("/dev/null", 1, 3, 0o666), ("/dev/zero", 1, 5, 0o666), ("/dev/full", 1, 7, 0o666),
      ("/dev/random", 1, 8, 0o666), ("/dev/urandom", 1, 9, 0o666), ("/dev/mem", 1, 1, 0o600),
      ("/dev/tty", 5, 0, 0o666), ("/dev/console", 5, 1, 0o600),
      ("/dev/ttyS0", 4, 64, 0o600), ("/dev/ttyS1", 4, 65, 0o600),
    ]
    let mask = umask(0)
    defer { _ = umask(mask) }
    for node in nodes {
      // unsafe: the string lives during the call.
      guard unsafe mknod(node.name, mode_t(S_IFCHR) | node.mode, clinux_makedev(node.major, node.minor)) == 0 else {
        throw SystemError("mknod", node.name, .current)
      }
    }
  }
}

/// Block devices that a command has mounted.
enum MountedDisks {
  /// The folders on which devices of /dev are mounted, the last one mounted first.
  static func targets() -> [[UInt8]] {
    guard let table = try? readFile("/proc/self/mounts", limit: 1 << 20) else { return [] }
    return targets(in: table)
  }

  /// The same, from the table's contents (proc_pid_mounts(5)).
  static func targets(in table: [UInt8]) -> [[UInt8]] {
    var result: [[UInt8]] = []
    for line in table.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 2)
      if fields.count == 3, fields[0].starts(with: "/dev/".utf8) { result.append(unescaped(fields[1])) }
    }
    return result.reversed()
  }

  /// Unmounts them, or makes read-only what is in use, so that their file systems are found clean the next time.
  static func release() {
    for target in targets() {
      let path = CStrings([target])
      guard let start = unsafe path.first else { continue }
      // unsafe: the string lives until the end of the round.
      if unsafe umount2(start, 0) != 0 { _ = unsafe mount(nil, start, nil, UInt(MS_REMOUNT | MS_RDONLY), nil) }
    }
  }

  /// Blanks and a few others stand as a backslash and three octal digits.
  private static func unescaped(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    var index = text.startIndex
    while index < text.endIndex {
      if text[index] == UInt8(ascii: "\\"), text.endIndex - index >= 4 {
        var value: UInt8 = 0
        for digit in text[(index + 1)..<(index + 4)] { value = value &* 8 &+ (digit &- UInt8(ascii: "0")) }
        result.append(value)
        index += 4
      } else {
        result.append(text[index])
        index += 1
      }
    }
    return result
  }
}
