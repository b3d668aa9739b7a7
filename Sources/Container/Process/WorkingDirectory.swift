import CContainer
import CLinux
import System

/// `process.cwd`: where the program starts.
///
/// The path is the configuration's, and what lies under it the image's. It is opened without magic links, and where it leads
/// is asked of the kernel afterwards: a folder of the host that some descriptor of vmrun refers to must not be reached
/// (CVE-2024-21626).
struct WorkingDirectory {
  private let path: [UInt8]

  /// An absolute path of the container.
  init(_ path: String) { self.path = Array(path.utf8) }

  /// Goes there, making what is missing with mode 0755. Returns false when the caller's user may not go there and the
  /// container's perhaps may.
  func enter() throws(ContainerError) -> Bool {
    var folder = Self.open(path)
    if folder < 0 && Errno.current == .notFound {
      try create()
      folder = Self.open(path)
    }
    if folder < 0 && Errno.current == .accessDenied { return false }
    guard folder >= 0 else { throw refusal(.current) }
    let owner = FileDescriptor(owning: folder)
    guard fchdir(owner.rawValue) == 0 else {
      if Errno.current == .accessDenied { return false }
      throw refusal(.current)
    }
    try verify()
    return true
  }

  /// As `enter`, as the container's user, for whom a refusal is final.
  func enterAsUser() throws(ContainerError) {
    guard try enter() else { throw refusal(.accessDenied) }
  }

  private func refusal(_ errno: Errno) -> ContainerError {
    ContainerError(.system, "process.cwd: chdir to '\(String(decoding: path, as: UTF8.self))': \(errno)")
  }

  private static func open(_ path: [UInt8]) -> Int32 {
    // unsafe: the path lives for the call.
    unsafe StringVector.withTerminated(path) { unsafe ccontainer_open_unmagical(AT_FDCWD, $0, O_PATH | O_DIRECTORY) }
  }

  /// Makes every folder of the path that is not there.
  private func create() throws(ContainerError) {
    for end in path.indices where end > 0 && (end == path.count - 1 || path[end + 1] == UInt8(ascii: "/")) {
      // `end` is the last byte of a component, or of slashes that follow one.
      guard path[end] != UInt8(ascii: "/"), let slash = path[...end].lastIndex(of: UInt8(ascii: "/")) else { continue }
      let name = Array(path[(slash + 1)...end])
      let parent = Self.open(Array(path[...slash]))
      guard parent >= 0 else { throw refusal(.current) }
      let owner = FileDescriptor(owning: parent)
      // unsafe: the name lives for the call.
      let result = unsafe StringVector.withTerminated(name) { unsafe mkdirat(owner.rawValue, $0, 0o755) }
      if result != 0 && Errno.current != .exists { throw refusal(.current) }
    }
  }

  /// getcwd(2) answers "(unreachable)..." for a folder that is not below the root.
  private func verify() throws(ContainerError) {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    // unsafe: the kernel writes at most the buffer's size.
    let length = unsafe buffer.withUnsafeMutableBytes { unsafe ccontainer_getcwd($0.baseAddress, $0.count) }
    guard length > 0 else { throw refusal(.current) }
    guard buffer[0] == UInt8(ascii: "/") else {
      throw ContainerError(
        .invalid, "process.cwd: '\(String(decoding: path, as: UTF8.self))' leads out of the container's root")
    }
  }
}
