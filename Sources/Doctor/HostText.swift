import Kernels

/// Files of /proc and /sys.
enum HostText {
  /// The first line of `path`; nil when it cannot be read.
  static func line(_ path: String) -> String? { TextFile.line(path) }

  /// The lines of `path`; none when it cannot be read.
  static func lines(_ path: String) -> [String] { Text.lines(TextFile.read(path) ?? []) }
}
