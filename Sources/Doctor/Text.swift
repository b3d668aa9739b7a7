/// Small texts.
enum Text {
  /// "1.2 ms".
  static func milliseconds(_ nanoseconds: UInt64) -> String {
    let tenths = (nanoseconds + 50_000) / 100_000
    return "\(tenths / 10).\(tenths % 10) ms"
  }

  /// "8 MiB", "64 KiB".
  static func bytes(_ count: UInt64) -> String {
    if count >= 10 << 30 { return "\(count >> 30) GiB" }
    return count >= 1 << 20 ? "\(count >> 20) MiB" : "\(count >> 10) KiB"
  }

  /// Whether `words` stands somewhere in `text`, in whatever case of ASCII letters.
  static func contains(_ text: String, _ words: String) -> Bool {
    func folded(_ text: String) -> [UInt8] { text.utf8.map { $0 >= 0x41 && $0 <= 0x5A ? $0 | 0x20 : $0 } }
    let (text, words) = (folded(text), folded(words))
    guard text.count >= words.count else { return false }
    return (0...(text.count - words.count)).contains { text[$0..<($0 + words.count)].elementsEqual(words) }
  }

  /// The name of group `number` in the lines of /etc/group; empty when they do not have it.
  static func groupName(_ number: UInt32, _ groups: [UInt8]) -> String {
    for line in groups.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      if fields.count >= 3, UInt32(String(decoding: fields[2], as: UTF8.self)) == number {
        return String(decoding: fields[0], as: UTF8.self)
      }
    }
    return ""
  }

  /// `words` with `separator` between them.
  static func join(_ words: [String], _ separator: String = " ") -> String {
    var text = ""
    for (index, word) in words.enumerated() { text += (index == 0 ? "" : separator) + word }
    return text
  }

  /// The lines of `bytes`, as strings.
  static func lines(_ bytes: [UInt8]) -> [String] {
    bytes.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The words of `text` between `separator`.
  static func split(_ text: String, _ separator: StaticString) -> [String] {
    // unsafe: a separator is one ASCII character, and the literal lives for ever.
    let byte = unsafe separator.utf8Start.pointee
    return text.utf8.split(separator: byte).map { String(decoding: $0, as: UTF8.self) }
  }
}
