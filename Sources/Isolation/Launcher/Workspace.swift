import CContainer
import CLinux
import System

/// A temporary folder of this run's own: the root of the sandboxes, and the canary's file beside it.
final class Workspace {
  let path: String
  var root: String { "\(path)/root" }
  var canary: String { "\(path)/canary" }
  private static let folders = ["proc", "sys", "dev", "tmp", "etc", "run"]

  /// Makes the folder, and copies this program into the root: nothing else is in it but empty folders.
  init() throws(IsolationError) {
    // unsafe: getenv's text is copied at once.
    let parent = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/vmrun-isolation.XXXXXX".utf8) + [0]
    // unsafe: the template ends in NUL, and is changed in place.
    let made = unsafe template.withUnsafeMutableBytes { unsafe cisolation_make_folder($0.baseAddress) }
    guard made == 0 else { throw IsolationError("cannot make a folder in \(parent): \(Errno(rawValue: made))") }
    path = String(decoding: template.dropLast(), as: UTF8.self)
    do throws(SystemError) {
      try Self.makeFolder(root)
      for name in Self.folders { try Self.makeFolder("\(root)/\(name)") }
      try copyProgram()
    } catch {
      remove()
      throw IsolationError("the sandboxes' root: \(error.description)")
    }
  }

  deinit { remove() }

  private static func makeFolder(_ path: String) throws(SystemError) {
    // unsafe: the path outlives the call.
    guard unsafe mkdir(path, 0o755) == 0 else { throw SystemError("mkdir", path, .current) }
  }

  /// A copy: a link would be the very file that runs on the host.
  private func copyProgram() throws(SystemError) {
    let source = try FileDescriptor.open("/proc/self/exe", O_RDONLY)
    let target = try FileDescriptor.open("\(root)/vmrun", O_WRONLY | O_CREAT | O_EXCL, mode: 0o755)
    guard fchmod(target.rawValue, 0o755) == 0 else { throw SystemError("chmod", "\(root)/vmrun", .current) }
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    var offset: Int64 = 0
    while true {
      let (number, place) = (source.rawValue, offset)
      // unsafe: pread fills the array at most.
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe pread(number, $0.baseAddress, $0.count, off_t(place)) }
      if count < 0 { throw SystemError("read", "/proc/self/exe", .current) }
      if count == 0 { return }
      try target.writeFully(Array(buffer[..<count]))
      offset += Int64(count)
    }
  }

  private func remove() {
    // unsafe: the paths outlive the calls, here and below.
    unsafe _ = unlink("\(root)/vmrun")
    for name in Self.folders { unsafe _ = rmdir("\(root)/\(name)") }
    unsafe _ = rmdir(root)
    unsafe _ = unlink(canary)
    unsafe _ = rmdir(path)
  }
}
