import CLinux
import System

/// What is in folders.
enum Listing {
  /// Names that are looked at in one folder.
  static let limit = 4096

  /// The names in `folder` without "." and "..", sorted; empty when it cannot be read.
  static func names(in folder: String) -> [String] { directoryNames(folder, limit: limit) ?? [] }

  /// Whether `path` is there and no folder.
  static func isFile(_ path: String) -> Bool {
    guard let status = status(path) else { return false }
    return !clinux_s_isdir(status.st_mode)
  }

  /// Whether `path` is a folder.
  static func isFolder(_ path: String) -> Bool {
    guard let status = status(path) else { return false }
    return clinux_s_isdir(status.st_mode)
  }

  /// Bytes of the regular file at `path`; nil when there is none.
  static func fileSize(_ path: String) -> UInt64? {
    guard let status = status(path), clinux_s_isreg(status.st_mode) else { return nil }
    return UInt64(max(0, status.st_size))
  }

  /// Whether this user may read `path`.
  static func isReadable(_ path: String) -> Bool {
    // unsafe: the path is NUL-terminated for the call.
    unsafe access(path, R_OK) == 0
  }

  private static func status(_ path: String) -> stat? {
    var status = stat()
    // unsafe: stat fills the one struct it is given.
    return unsafe stat(path, &status) == 0 ? status : nil
  }
}
