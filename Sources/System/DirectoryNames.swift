import CLinux

/// The names in directory `path` in the order of their bytes, without "." and ".."; nil when it cannot be read.
/// - Parameter limit: names at most; the rest is left out.
public func directoryNames(_ path: String, limit: Int = 100_000) -> [String]? {
  // unsafe: the path is NUL-terminated for the call, and the stream is closed on every way out.
  guard let stream = unsafe opendir(path) else { return nil }
  defer { _ = unsafe closedir(stream) }
  var names: [String] = []
  while names.count < limit, let entry = unsafe readdir(stream) {
    // unsafe: an entry is valid until the next readdir, and its name is NUL-terminated.
    guard let text = unsafe clinux_dirent_name(entry) else { continue }
    let name = unsafe String(cString: text)
    if name != ".", name != ".." { names.append(name) }
  }
  names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  return names
}
