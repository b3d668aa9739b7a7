/// Bytes as the kernel writes them in /proc: lines, fields, numbers.
enum Text {
  /// The lines of `bytes`, without their ends.
  static func lines(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
    bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true)
  }

  /// What spaces and tabs separate.
  static func fields(_ line: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
    line.split(omittingEmptySubsequences: true) { $0 == 0x20 || $0 == 0x09 }
  }

  /// A decimal number that is all of `bytes`; nil for anything else, also for one that exceeds 64 bits.
  static func number<Bytes: Sequence>(_ bytes: Bytes) -> UInt64? where Bytes.Element == UInt8 {
    var value: UInt64 = 0
    var any = false
    for byte in bytes {
      guard byte >= 0x30, byte <= 0x39 else { return nil }
      let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tenfold.addingReportingOverflow(UInt64(byte - 0x30))
      if overflow || carry { return nil }
      value = sum
      any = true
    }
    return any ? value : nil
  }

  /// The same with an optional sign.
  static func signed(_ bytes: ArraySlice<UInt8>) -> Int64? {
    let isNegative = bytes.first == UInt8(ascii: "-")
    guard let magnitude = number(isNegative ? bytes.dropFirst() : bytes) else { return nil }
    guard let value = Int64(exactly: magnitude) else { return nil }
    return isNegative ? -value : value
  }

  /// Whether `bytes` hold `part`.
  static func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
    guard !part.isEmpty, bytes.count >= part.count else { return false }
    for start in 0...(bytes.count - part.count) where bytes[start] == part[0] {
      if bytes[start..<(start + part.count)].elementsEqual(part) { return true }
    }
    return false
  }

  /// The value of "Name:   value" in a file like /proc/self/status; empty when there is none.
  static func value(_ name: String, in file: [UInt8]) -> String {
    let prefix = Array(name.utf8) + [UInt8(ascii: ":")]
    for line in lines(file) where line.starts(with: prefix) {
      return string(trimmed(line.dropFirst(prefix.count)).map { $0 == 0x09 ? 0x20 : $0 })
    }
    return ""
  }

  static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var bytes = bytes
    while let first = bytes.first, first <= 0x20 { bytes = bytes.dropFirst() }
    while let last = bytes.last, last <= 0x20 { bytes = bytes.dropLast() }
    return bytes
  }

  /// Text for people: what is not printable ASCII becomes a question mark.
  static func string<Bytes: Sequence>(_ bytes: Bytes) -> String where Bytes.Element == UInt8 {
    String(decoding: bytes.map { $0 >= 0x20 && $0 < 0x7F ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
  }

  /// "a, b, c and 4 more".
  static func list(_ names: [String], most: Int) -> String {
    var text = ""
    for (index, name) in names.prefix(most).enumerated() {
      if index > 0 { text += ", " }
      text += name
    }
    if names.count > most { text += " and \(names.count - most) more" }
    return text
  }

  /// "1 call", "2 calls".
  static func count(_ number: Int, _ noun: String) -> String { number == 1 ? "1 \(noun)" : "\(number) \(noun)s" }

  /// The 64-bit number that `text` spells in hexadecimal; nil for anything else.
  static func hexadecimal(_ text: String) -> UInt64? {
    guard text.utf8.count <= 16, !text.isEmpty else { return nil }
    return UInt64(text, radix: 16)
  }
}
