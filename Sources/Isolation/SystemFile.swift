import CContainer
import CLinux
import System

/// Small files and folders of /proc, /sys and /dev.
enum SystemFile {
  /// What reading gave.
  enum Reading: Equatable {
    case bytes([UInt8])
    case failed(Errno)

    var bytes: [UInt8]? {
      if case .bytes(let bytes) = self { return bytes }
      return nil
    }
  }

  /// Whether this process has root's user.
  static var isRoot: Bool { geteuid() == 0 }

  /// Reads at most `limit` bytes of a regular file, without ever waiting for more of it.
  static func read(_ path: String, limit: Int = 1 << 16) -> Reading {
    do throws(SystemError) {
      let file = try FileDescriptor.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
      guard clinux_s_isreg(try file.status().st_mode) else { return .failed(.invalid) }
      var contents = [UInt8](repeating: 0, count: limit)
      var done = 0
      while done < limit {
        let start = done
        let number = file.rawValue
        // unsafe: start < limit, so the rest lies inside the array.
        let count = unsafe contents.withUnsafeMutableBytes {
          unsafe CLinux.read(number, $0.baseAddress?.advanced(by: start), limit - start)
        }
        if count < 0, Errno.current == .interrupted { continue }
        if count < 0 { return done > 0 ? .bytes(Array(contents[..<done])) : .failed(.current) }
        if count == 0 { break }
        done += count
      }
      return .bytes(Array(contents[..<done]))
    } catch {
      return .failed(error.errno)
    }
  }

  /// The file's first line, or an empty text.
  static func line(_ path: String) -> String {
    guard let bytes = read(path, limit: 4096).bytes else { return "" }
    return Text.string(bytes.prefix { $0 != UInt8(ascii: "\n") })
  }

  /// The names in a folder but "." and "..", in order; nil when it cannot be read.
  static func names(_ path: String, most: Int = 4096) -> [String]? { directoryNames(path, limit: most) }

  /// Where a symbolic link leads, or an empty text.
  static func link(_ path: String) -> String {
    var target = [UInt8](repeating: 0, count: 4096)
    // unsafe: readlink writes at most the array's count.
    let count = unsafe target.withUnsafeMutableBytes {
      unsafe cisolation_readlink(path, $0.baseAddress, 4096)
    }
    return count > 0 ? Text.string(target[..<count]) : ""
  }

  /// Whether the file could be opened for writing; nothing is written. nil: it could.
  static func obstacleToWriting(_ path: String) -> Errno? {
    do throws(SystemError) {
      _ = try FileDescriptor.open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY)
      return nil
    } catch {
      return error.errno
    }
  }

  /// The type of what lies at `path`: "c", "b", "d", "l", "-" or "?".
  static func kind(_ path: String) -> String {
    var status = stat()
    // unsafe: lstat fills the one struct it is given.
    guard unsafe lstat(path, &status) == 0 else { return "?" }
    if clinux_s_ischr(status.st_mode) { return "c" }
    if clinux_s_isblk(status.st_mode) { return "b" }
    if clinux_s_isdir(status.st_mode) { return "d" }
    return clinux_s_islnk(status.st_mode) ? "l" : "-"
  }
}
