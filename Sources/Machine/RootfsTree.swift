import CLinux
import System

/// What lies in a directory of the host, read once: names and metadata, no contents.
///
/// Every file is reached from the directory's own descriptor, following no symbolic link, so that a tree that changes
/// meanwhile cannot lead outside.
final class RootfsTree {
  /// One file, directory, link or node.
  struct Entry {
    /// The path below the directory, without a leading slash, ending in NUL. Bytes, since names need not be UTF-8.
    let path: [UInt8]
    let status: stat
    /// Where a symbolic link points.
    let target: [UInt8]
  }

  /// Parents come before their children.
  private(set) var entries: [Entry] = []

  private let root: SharedFile
  private let rootPath: String

  /// How deep directories may be nested, so that descriptors and stack stay bounded.
  static let deepest = 256

  /// Reads the tree of `path`.
  /// - Throws: `MachineError` that names what could not be read.
  init(path: String) throws(MachineError) {
    root = SharedFile(try Self.openRoot(path))
    rootPath = path
    try scan([], depth: 0)
  }

  private static let hint = " (run vmrun as the owner of the tree, or as root)"

  private static func openRoot(_ path: String) throws(MachineError) -> FileDescriptor {
    do { return try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY) } catch {
      switch error.errno.rawValue {
      case ENOENT: throw MachineError("--rootfs \(path): no such directory")
      case ENOTDIR: throw MachineError("--rootfs \(path) is not a directory; unpack an image or archive into one first")
      case EACCES: throw MachineError("--rootfs \(path): \(error.errno)\(hint)")
      default: throw MachineError("--rootfs \(path): \(error.errno)")
      }
    }
  }

  /// The directory's own metadata.
  func rootStatus() throws(MachineError) -> stat {
    try naming("--rootfs \(rootPath)") { () throws(SystemError) in try root.descriptor.status() }
  }

  private func failure(_ path: [UInt8]) -> MachineError {
    let errno = Errno.current
    let name = String(decoding: path.dropLast(), as: UTF8.self)
    return MachineError("cannot read \(rootPath)/\(name): \(errno)\(errno == .accessDenied ? Self.hint : "")")
  }

  /// Opens the file of `path` (ending in NUL) below the root.
  private func open(_ path: [UInt8], _ flags: Int32) throws(MachineError) -> FileDescriptor {
    // unsafe: path ends in NUL, and outlives the call.
    let raw = unsafe path.withUnsafeBytes {
      unsafe clinux_open_beneath(root.descriptor.rawValue, $0.baseAddress, flags | O_CLOEXEC)
    }
    guard raw >= 0 else { throw failure(path) }
    return FileDescriptor(owning: raw)
  }

  /// The content of regular file `entry`, opened anew.
  func open(_ entry: Entry) throws(MachineError) -> FileDescriptor { try open(entry.path, O_RDONLY | O_NOFOLLOW) }

  private func scan(_ prefix: [UInt8], depth: Int) throws(MachineError) {
    guard depth < RootfsTree.deepest else {
      throw MachineError("\(rootPath) is nested more than \(RootfsTree.deepest) directories deep")
    }
    let folder = try open(prefix.isEmpty ? [UInt8(ascii: "."), 0] : prefix + [0], O_RDONLY | O_DIRECTORY)
    // fdopendir takes its descriptor over, so it gets one of its own.
    let stream = unsafe fdopendir(clinux_fcntl(folder.rawValue, F_DUPFD_CLOEXEC, 0))
    // unsafe: the stream is closed once, below.
    guard let stream = unsafe stream else { throw failure(prefix + [0]) }
    defer { unsafe closedir(stream) }
    var folders: [[UInt8]] = []
    clinux_set_errno(0)
    while let found = unsafe readdir(stream) {
      // unsafe: the entry is valid until the next readdir.
      let name = unsafe Self.name(of: found)
      if name == [UInt8(ascii: ".")] || name == [UInt8(ascii: "."), UInt8(ascii: ".")] { continue }
      let path = prefix.isEmpty ? name : prefix + [UInt8(ascii: "/")] + name
      if try add(path, name: name + [0], in: folder) { folders.append(path) }
      clinux_set_errno(0)
    }
    guard clinux_errno() == 0 else { throw failure(prefix + [0]) }
    for folder in folders { try scan(folder, depth: depth + 1) }
  }

  private static func name(of entry: UnsafeMutablePointer<dirent>) -> [UInt8] {
    // unsafe: d_name is NUL-terminated and valid until the next readdir.
    guard let text = unsafe clinux_dirent_name(entry) else { return [] }
    let count = unsafe strlen(text)
    return unsafe text.withMemoryRebound(to: UInt8.self, capacity: count) {
      unsafe [UInt8](UnsafeBufferPointer(start: $0, count: count))
    }
  }

  /// Notes one file; true when it is a directory.
  private func add(_ path: [UInt8], name: [UInt8], in folder: borrowing FileDescriptor) throws(MachineError) -> Bool {
    var status = stat()
    // unsafe: the name ends in NUL; fstatat fills the one struct it is given.
    let result = unsafe name.withUnsafeBytes { unsafe clinux_lstatat(folder.rawValue, $0.baseAddress, &status) }
    guard result == 0 else { throw failure(path + [0]) }
    var target: [UInt8] = []
    if clinux_s_islnk(status.st_mode) {
      target = [UInt8](repeating: 0, count: 4096)
      // unsafe: readlinkat writes at most the array's count.
      let length = unsafe name.withUnsafeBytes { name in
        unsafe target.withUnsafeMutableBytes {
          unsafe clinux_readlinkat(folder.rawValue, name.baseAddress, $0.baseAddress, 4096)
        }
      }
      guard length >= 0, length < 4096 else { throw failure(path + [0]) }
      // A copy of its own size: the buffer's other bytes would stay with it.
      target = Array(target[..<length])
    }
    entries.append(Entry(path: path + [0], status: status, target: target))
    return clinux_s_isdir(status.st_mode)
  }
}
