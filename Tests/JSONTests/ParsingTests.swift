import JSON
import TestSupport
import Testing

@Suite struct ParsingTests {
  private func parse(_ text: String) throws -> JSON { try JSON.parse(Array(text.utf8)) }

  private func failure(_ text: [UInt8]) -> String? {
    do {
      _ = try JSON.parse(text)
      return nil
    } catch { return error.description }
  }

  @Test(arguments: [
    ("null", JSON.null), ("true", .boolean(true)), ("false", .boolean(false)), ("0", .integer(0)), ("-1", .integer(-1)),
    ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
    ("9223372036854775808", .unsigned(1 << 63)), ("18446744073709551615", .unsigned(.max)),
    ("1.5", .number(1.5)), ("-2e3", .number(-2000)), ("\"\"", .string("")), (" [ ] ", .array([])),
    ("{}\n", .object([])),
    ("\"a\\n\\u00e9\\ud83d\\ude00\\/\"", .string("a\né😀/")), ("\"a\\u0000b\"", .string("a\0b")),
    ("[1,[null]]", .array([.integer(1), .array([.null])])),
    (
      "{\"b\":1,\"a\":{\"c\":[]}}",
      .object([.init("b", .integer(1)), .init("a", .object([.init("c", .array([]))]))])
    ),
  ])
  func values(text: String, expected: JSON) throws { #expect(try parse(text) == expected) }

  @Test(arguments: [
    "", " ", "{", "[1,", "[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}", "'a'", "\"a", "nul", "Null", "TRUE", "NaN",
    "Infinity",
    "-Infinity", "-", "+1", "1 2", "{} x", "[1] // c", "/* c */ 1", "{\"a\" 1}", "\"\\x\"", "\"\\ud800\"", "\"\u{1}\"",
    "\"a\nb\"", "1e999", "-1e999", "[1e400]", "01", "-012", ".5", "1.", "1e", "--1", "18446744073709551616",
    "-9223372036854775809", "99999999999999999999999999", "\u{FEFF}{}", "{\"a\\u0000\":1}", "[\"x\",{\"\\u0000\":0}]",
  ])
  func refused(text: String) { #expect(failure(Array(text.utf8)) != nil, "\(text)") }

  @Test func onlyUTF8() {
    for bytes in [[0xFF], [0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80]] as [[UInt8]] {
      #expect(failure([0x22] + bytes + [0x22]) != nil, "\(bytes)")
    }
    #expect(failure(Array("{}".utf8) + [0])?.contains("behind the value") == true)
    #expect(failure([0x22, 0, 0x22])?.contains("line 1, column 2") == true)
  }

  /// The escape of a backslash before "u0000" is none of NUL, and values may hold one.
  @Test func namesWithNUL() throws {
    #expect(try parse("{\"a\\\\u0000\":\"\\u0000\"}")["a\\u0000"] == .string("\0"))
    #expect(try parse("[\"\\u0000\" , \"b\"]") == .array([.string("\0"), .string("b")]))
  }

  @Test func limits() throws {
    func nested(_ depth: Int) -> [UInt8] {
      Array(String(repeating: "[", count: depth).utf8) + Array(String(repeating: "]", count: depth).utf8)
    }
    #expect(failure(nested(JSON.mostDepth)) == nil)
    #expect(failure(nested(JSON.mostDepth + 1))?.contains("nested deeper") == true)
    #expect(failure([UInt8](repeating: 0x5B, count: 1 << 20)) != nil)
    #expect(failure([UInt8](repeating: 0x20, count: JSON.mostBytes + 1))?.contains("more than") == true)
  }

  @Test func positions() throws {
    #expect(failure(Array("{\n  \"a\": 1,\n  b\n}".utf8))?.contains("line 3, column 3") == true)
    #expect(failure(Array("{\"a\": ".utf8))?.contains("ends too early") == true)
  }

  @Test func lastOfTwoMembersCounts() throws {
    #expect(try parse("{\"a\":1,\"a\":2}")["a"] == .integer(2))
    #expect(try parse("[]")["a"] == nil)
  }

  /// Every prefix and every changed byte of a text either parses or is refused; nothing traps, and what parses survives
  /// being written and parsed again.
  @Test func mutations() throws {
    let seed = Array(
      "{\"ociVersion\":\"1.0.2\",\"n\":[1,-2.5e3,18446744073709551615,true,null],\"s\":\"\\u00e9\\\\\\\"x\",\"o\":{\"\":{}}}"
        .utf8)
    for count in 0...seed.count { _ = failure(Array(seed[..<count])) }
    var random = SeededRandom(seed: 1)
    for _ in 0..<20_000 {
      var text = seed
      for _ in 0...Int(random.next() % 3) {
        text[Int(random.next() % UInt64(text.count))] = UInt8(random.next() & 0xFF)
      }
      guard let value = try? JSON.parse(text) else { continue }
      #expect(try JSON.parse(value.serialized()) == value)
      #expect(try JSON.parse(value.serialized(pretty: true)) == value)
    }
  }
}

@Suite struct SerializingTests {
  private let value = JSON.object([
    .init("a", .array([.integer(-1), .unsigned(.max), .number(0.5), .null, .boolean(true)])), .init("e", .array([])),
    .init("o", .object([])), .init("s\"\\", .string("\n\t\r\u{1}\u{7F}é\0")),
  ])

  @Test func compact() {
    #expect(
      String(decoding: value.serialized(), as: UTF8.self)
        == "{\"a\":[-1,18446744073709551615,0.5,null,true],\"e\":[],\"o\":{},\"s\\\"\\\\\":\"\\n\\t\\r\\u0001\\u007fé\\u0000\"}"
    )
    #expect(JSON.number(.infinity).serialized() == Array("null".utf8))
  }

  @Test func pretty() {
    let small = JSON.object([.init("a", .array([.integer(1), .integer(2)])), .init("b", .object([]))])
    #expect(
      String(decoding: small.serialized(pretty: true), as: UTF8.self)
        == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}")
  }

  @Test func roundTrip() throws {
    #expect(try JSON.parse(value.serialized()) == value)
    #expect(try JSON.parse(value.serialized(pretty: true)) == value)
  }
}
