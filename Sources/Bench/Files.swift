import CContainer
import CLinux
import System

/// What the room needs of files.
enum Files {
  /// The bytes of the file at `path`, at most `limit`; nil when it cannot be read.
  static func read(_ path: String, limit: Int = 1 << 20) -> [UInt8]? {
    guard let file = try? FileDescriptor.open(path, O_RDONLY) else { return nil }
    return try? file.rest(limit: limit)
  }

  /// The first line of the file at `path`; nil when it cannot be read.
  static func line(_ path: String) -> String? {
    guard let bytes = read(path, limit: 64 << 10) else { return nil }
    return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
  }

  /// Whether `path` is there and no folder.
  static func isFile(_ path: String) -> Bool {
    guard let status = status(path) else { return false }
    return !clinux_s_isdir(status.st_mode)
  }

  /// Whether this user may execute the file at `path`.
  static func isExecutable(_ path: String) -> Bool {
    guard isFile(path) else { return false }
    // unsafe: the path is NUL-terminated for the call.
    return unsafe access(path, X_OK) == 0
  }

  static func status(_ path: String) -> stat? {
    var status = stat()
    // unsafe: stat fills the one struct it is given.
    return unsafe stat(path, &status) == 0 ? status : nil
  }

  /// Writes `bytes` to a new file at `path`.
  static func write(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o644) throws(BenchError) {
    try naming("") { () throws(SystemError) in
      let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
      try file.writeFully(bytes)
    }
  }

  /// Copies the file at `source` to a new one at `target`, with pages of its own.
  static func copy(_ source: String, to target: String, mode: UInt32) throws(BenchError) {
    try naming("") { () throws(SystemError) in
      let input = try FileDescriptor.open(source, O_RDONLY)
      let output = try FileDescriptor.open(target, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
      while true {
        let chunk = try input.rest(limit: 1 << 20)
        if chunk.isEmpty { break }
        try output.writeFully(chunk)
      }
      _ = fsync(output.rawValue)
    }
  }

  static func makeFolder(_ path: String, mode: UInt32 = 0o755) throws(BenchError) {
    // unsafe: the path is NUL-terminated for the call.
    guard unsafe mkdir(path, mode) == 0 || Errno.current == .exists else {
      throw BenchError("mkdir \(path): \(Errno.current)")
    }
  }

  /// The names in `folder` without "." and "..", sorted; empty when it cannot be read.
  static func names(in folder: String) -> [String] { directoryNames(folder) ?? [] }

  /// Removes `folder` and all that is in it, following no link and entering no mount but by its own path; mounts below are taken away
  /// first. Deeper than 64 folders it gives up.
  static func removeTree(_ folder: String) {
    for point in mountPoints(below: folder) {
      // unsafe: the path is NUL-terminated for the call.
      _ = unsafe cbench_unmount(point)
    }
    remove(folder, depth: 0)
  }

  private static func remove(_ path: String, depth: Int) {
    var status = stat()
    // unsafe: lstat fills the one struct it is given; the paths are NUL-terminated for the calls.
    guard unsafe lstat(path, &status) == 0, depth < 64 else { return }
    guard clinux_s_isdir(status.st_mode) else {
      _ = unsafe unlink(path)
      return
    }
    for name in names(in: path) { remove("\(path)/\(name)", depth: depth + 1) }
    _ = unsafe rmdir(path)
  }

  /// The mount points below `folder`, the deepest first.
  private static func mountPoints(below folder: String) -> [String] {
    let prefix = Array("\(folder)/".utf8)
    var points: [String] = []
    for line in (read("/proc/self/mountinfo", limit: 4 << 20) ?? []).split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: " "))
      guard fields.count > 4, fields[4].starts(with: prefix) else { continue }
      points.append(String(decoding: fields[4], as: UTF8.self))
    }
    return points.reversed()
  }

  /// The program `name` on the PATH, by its absolute path; nil when there is none.
  static func program(_ name: String) -> String? {
    let standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    // unsafe: getenv returns a NUL-terminated string that stays valid, since vmrun never changes its environment.
    let path = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? standard
    for folder in path.split(separator: ":") {
      let candidate = "\(folder)/\(name)"
      if candidate.utf8.first == UInt8(ascii: "/"), isExecutable(candidate) { return candidate }
    }
    return nil
  }
}
