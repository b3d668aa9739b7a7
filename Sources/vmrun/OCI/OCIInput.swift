import CLinux
import Container
import JSON
import OCI
import System

/// Files that callers hand to the runtime.
enum OCIInput {
  /// The whole of file `path`, or of standard input for "-", as JSON text may be at most.
  static func read(_ path: String) throws(ContainerError) -> [UInt8] {
    do throws(SystemError) {
      if path == "-" { return try read(FileDescriptor.duplicate(of: 0)) }
      return try read(FileDescriptor.open(path, O_RDONLY))
    } catch {
      throw ContainerError(error.errno == .notFound ? .notFound : .system, error.description)
    }
  }

  private static func read(_ file: consuming FileDescriptor) throws(SystemError) -> [UInt8] {
    // A configuration fits the first piece.
    var bytes = [UInt8](repeating: 0, count: 128 << 10)
    var count = 0
    while true {
      if count == bytes.count {
        // One byte more than JSON.parse takes, so that it can tell of what is too long.
        guard count <= JSON.mostBytes else { break }
        bytes += [UInt8](repeating: 0, count: min(bytes.count, JSON.mostBytes + 1 - count))
      }
      let end = count
      let got = unsafe try bytes.withUnsafeMutableBytes { (buffer) throws(SystemError) in
        // unsafe: end is at most the buffer's count.
        try unsafe file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[end...]))
      }
      if got == 0 { break }
      count += got
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  /// What `decode` makes of the JSON in file `path`.
  static func decode<Value>(
    _ path: String, _ bytes: [UInt8], _ decode: (JSON) throws(SpecError) -> Value
  ) throws(ContainerError) -> Value {
    let json: JSON
    do throws(JSONError) { json = try JSON.parse(bytes) } catch { throw ContainerError(.invalid, "\(path): \(error)") }
    do throws(SpecError) { return try decode(json) } catch {
      throw ContainerError(error.isUnsupported ? .notSupported : .invalid, "\(path): \(error)")
    }
  }

  /// `path` as an absolute one.
  static func absolute(_ path: String) throws(ContainerError) -> String {
    if path.utf8.first == UInt8(ascii: "/") { return path }
    // unsafe: without a buffer, getcwd makes one that the caller frees.
    guard let folder = unsafe getcwd(nil, 0) else {
      throw ContainerError("", SystemError("getcwd", "", .current))
    }
    // unsafe: getcwd's result is NUL-terminated, and freed once.
    defer { unsafe free(folder) }
    let current = unsafe String(cString: folder)
    if path.isEmpty || path == "." { return current }
    return current == "/" ? "/\(path)" : "\(current)/\(path)"
  }
}
