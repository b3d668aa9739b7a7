/// Help for a slip.
extension ArgumentParser {
  static let options = [
    "--kernel", "--backend", "--initrd", "--append", "--cpus", "--memory", "--timeout", "--boot", "--kernel-pages", "--console",
    "--disk", "--rootfs", "--env",
    "--workdir", "--hostname", "--user", "--tty", "--container", "--isolation", "--pids", "--volume", "--net",
    "--read-only", "--keep-changes", "--name", "--timings", "--verbose", "--quiet", "--help", "--version",
  ]

  /// ": did you mean --x?" when exactly one option is near.
  static func suggestion(for name: String) -> String {
    for option in options where isNear(Array(name.utf8), Array(option.utf8)) { return ": did you mean \(option)?" }
    return ""
  }

  /// Whether one insertion, deletion, change or swap makes one word the other, or one begins with the other.
  static func isNear(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    if left.count >= 5, right.starts(with: left) { return true }
    guard left.count + 1 >= right.count, right.count + 1 >= left.count else { return false }
    var same = 0
    while same < left.count, same < right.count, left[same] == right[same] { same += 1 }
    let (a, b) = (left[same...], right[same...])
    if a.count == b.count {
      if a.dropFirst().elementsEqual(b.dropFirst()) { return true }
      return a.count >= 2 && a.first == b.dropFirst().first && b.first == a.dropFirst().first
        && a.dropFirst(2).elementsEqual(b.dropFirst(2))
    }
    return a.count > b.count ? a.dropFirst().elementsEqual(b) : a.elementsEqual(b.dropFirst())
  }
}
