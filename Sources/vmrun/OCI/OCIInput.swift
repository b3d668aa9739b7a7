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
      if path == "-" { return try read(FileDescriptor.duplicate(of: 0), "standard input") }
      return try read(FileDescriptor.open(path, O_RDONLY), path)
    } catch {
      throw ContainerError(error.errno == .notFound ? .notFound : .system, error.description)
    }
  }

  /// The whole of a bundle's `path`, which must be a regular file: others may never end, or never begin.
  static func configuration(_ path: String) throws(ContainerError) -> [UInt8] {
    do throws(SystemError) {
      let file = try FileDescriptor.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
      guard try clinux_s_isreg(file.status().st_mode) else {
        throw SystemError("read", path, Errno(rawValue: EINVAL))
      }
      return try read(file, path)
    } catch {
      if error.operation == "read", error.errno == .invalid {
        throw ContainerError(.invalid, "\(path): is no regular file; give a folder with a config.json by --bundle")
      }
      throw ContainerError(error.errno == .notFound ? .notFound : .system, error.description)
    }
  }

  private static func read(_ file: consuming FileDescriptor, _ path: String) throws(SystemError) -> [UInt8] {
    // A configuration fits the first piece.
    // A regular file fits the first piece, with one byte to find its end by; of others the size is not known.
    let size = Int(clamping: (try? file.status().st_size) ?? 0)
    var bytes = [UInt8](repeating: 0, count: (1...JSON.mostBytes).contains(size) ? size + 1 : 16 << 10)
    var count = 0
    while true {
      if count == bytes.count {
        // One byte more than JSON.parse takes, so that it can tell of what is too long.
        guard count <= JSON.mostBytes else { break }
        bytes += [UInt8](repeating: 0, count: min(bytes.count, JSON.mostBytes + 1 - count))
      }
      // unsafe: count is below the array's own, so that the rest lies inside it.
      let got = unsafe bytes.withUnsafeMutableBytes {
        unsafe CLinux.read(file.rawValue, $0.baseAddress?.advanced(by: count), $0.count - count)
      }
      if got < 0 {
        if Errno.current == .interrupted { continue }
        throw SystemError("read", path, .current)
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
