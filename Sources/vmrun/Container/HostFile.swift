import CLinux
import System

/// Small files.
enum HostFile {
  /// Reads a regular file of at most `limit` bytes; a longer one is cut off there.
  static func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
    // A FIFO would wait for a writer.
    try read(FileDescriptor.open(path, O_RDONLY | O_NONBLOCK), path, limit: limit)
  }

  private static func read(_ file: consuming FileDescriptor, _ path: String, limit: Int) throws(SystemError) -> [UInt8]
  {
    guard clinux_s_isreg(try file.status().st_mode) else { throw SystemError("read", path, .invalid) }
    var contents = [UInt8](repeating: 0, count: limit)
    var done = 0
    while done < limit {
      let number = file.rawValue
      let start = done
      // unsafe: start < limit, so the rest lies inside the array.
      let count = unsafe contents.withUnsafeMutableBytes {
        unsafe CLinux.read(number, $0.baseAddress?.advanced(by: start), limit - start)
      }
      if count < 0, Errno.current == .interrupted { continue }
      guard count >= 0 else { throw SystemError("read", path, .current) }
      if count == 0 { break }
      done += count
    }
    contents.removeLast(limit - done)
    return contents
  }
}
