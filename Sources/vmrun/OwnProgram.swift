import CLinux

/// This program's own file.
enum OwnProgram {
  /// Its path; nil where /proc does not tell.
  static func path() -> String? {
    var target = [UInt8](repeating: 0, count: 4096)
    // unsafe: readlink writes at most the array.
    let count = unsafe clinux_readlinkat(AT_FDCWD, "/proc/self/exe", &target, 4096)
    return count > 0 ? String(decoding: target[..<count], as: UTF8.self) : nil
  }
}
