@testable import Devices
import Testing

@Suite("Console escapes")
struct EscapeFilterTests {
  @Test(
    "what goes to the guest, and what was asked for",
    arguments: [
      ("hello", "hello", []),
      ("a\u{1}xb", "a", [.end]),
      ("a\u{1}Xb", "a", [.end]),
      ("\u{1}\u{1}", "\u{1}", []),
      ("\u{1}\u{1}x", "\u{1}x", []),
      ("\u{1}hq", "q", [.help]),
      ("\u{1}?\u{1}h\u{1}x\u{1}h", "", [.help, .help, .end]),
      ("\u{1}bc", "\u{1}bc", []),
      ("\u{3}\u{4}\u{1A}", "\u{3}\u{4}\u{1A}", []),
      ("\u{1}", "", []),
    ] as [(String, String, [Escape])])
  func table(input: String, bytes: String, escapes: [Escape]) {
    let expected = EscapeFilter.Result(bytes: Array(bytes.utf8), escapes: escapes)
    var whole = EscapeFilter()
    #expect(whole.filter(Array(input.utf8).span) == expected)
    // The same, one byte a read.
    var split = EscapeFilter()
    var result = EscapeFilter.Result()
    for byte in input.utf8 {
      let part = split.filter([byte].span)
      result.bytes += part.bytes
      result.escapes += part.escapes
      if part.escapes.contains(.end) { break }
    }
    #expect(result == expected)
  }

  @Test("every byte passes but the prefix")
  func transparent() {
    var filter = EscapeFilter()
    let all = (0...255).map { UInt8($0) }.filter { $0 != 1 }
    #expect(filter.filter(all.span).bytes == all)
  }
}
