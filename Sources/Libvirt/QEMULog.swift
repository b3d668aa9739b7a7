import CLinux
import System

/// What libvirt keeps of QEMU's standard error.
enum QEMULog {
  private static let size = 16 << 10

  /// The last lines of the log in `file` that are QEMU's own words; empty for none.
  static func reason(in file: borrowing FileDescriptor) -> String {
    guard let status = try? file.status() else { return "" }
    let start = max(0, Int64(status.st_size) - Int64(size))
    var bytes = [UInt8](repeating: 0, count: size)
    // unsafe: the array's own bytes, valid for the call.
    let count = unsafe bytes.withUnsafeMutableBytes { buffer in
      (try? unsafe file.readFully(into: buffer, at: start)) ?? 0
    }
    return reason(in: Array(bytes[..<count]))
  }

  /// Lines that libvirt writes itself begin with a date, or are QEMU's command line, which goes on over lines that end in a backslash.
  static func reason(in log: [UInt8]) -> String {
    var found = ""
    var wasContinued = false
    for line in log.split(separator: 10) {
      let isContinued = line.last == UInt8(ascii: "\\")
      defer { wasContinued = isContinued }
      if isContinued || wasContinued { continue }
      let text = String(decoding: line.map { $0 < 0x20 || $0 >= 0x7F ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
      guard let name = Self.behind("qemu-system-x86_64: ", in: Array(text.utf8)) else { continue }
      if name.hasPrefix("terminating on signal") { continue }
      found = name
    }
    return found
  }

  private static func behind(_ mark: String, in text: [UInt8]) -> String? {
    let mark = Array(mark.utf8)
    var index = 0
    while index + mark.count <= text.count {
      if text[index..<index + mark.count].elementsEqual(mark) {
        return String(decoding: text[(index + mark.count)...], as: UTF8.self)
      }
      index += 1
    }
    return nil
  }
}
