/// Holds a text to the grammar of RFC 8259 before json-c builds values from it: json-c itself, even when it is strict, takes
/// names in single quotes, control characters, lone surrogates, "-012" and "1.", and bends integers that exceed 64 bits.
struct TextChecker {
  private let text: [UInt8]
  private var index = 0
  /// For every open array or object, innermost last: whether it is an object.
  private var open: [Bool] = []

  private enum Next { case value, valueOrEnd, name, nameOrEnd, afterValue }

  /// - Throws: `JSONError` with the place of the first fault.
  static func check(_ text: [UInt8]) throws(JSONError) {
    var checker = TextChecker(text: text)
    try checker.run()
  }

  private init(text: [UInt8]) { self.text = text }

  private mutating func run() throws(JSONError) {
    var next = Next.value
    while true {
      skipSpace()
      guard index < text.count else {
        if next == .afterValue, open.isEmpty { return }
        throw fault("the text ends too early")
      }
      let byte = text[index]
      switch next {
      case .valueOrEnd where byte == UInt8(ascii: "]"), .nameOrEnd where byte == UInt8(ascii: "}"):
        close()
        next = .afterValue
      case .value, .valueOrEnd: next = try value(byte)
      case .name, .nameOrEnd:
        guard byte == UInt8(ascii: "\"") else { throw fault("expected a member's name in double quotes") }
        try string(isName: true)
        skipSpace()
        guard index < text.count else { throw fault("the text ends too early") }
        guard text[index] == UInt8(ascii: ":") else { throw fault("expected ':' behind a member's name") }
        index += 1
        next = .value
      case .afterValue:
        guard let isObject = open.last else { throw fault("unexpected text behind the value") }
        if byte == UInt8(ascii: ",") {
          index += 1
          next = isObject ? .name : .value
        } else if byte == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
          close()
        } else {
          throw fault(isObject ? "expected ',' or '}'" : "expected ',' or ']'")
        }
      }
    }
  }

  private mutating func skipSpace() {
    while index < text.count {
      switch text[index] {
      case 0x20, 0x0A, 0x0D, 0x09: index += 1
      default: return
      }
    }
  }

  private mutating func close() {
    open.removeLast()
    index += 1
  }

  private mutating func value(_ first: UInt8) throws(JSONError) -> Next {
    switch first {
    case UInt8(ascii: "\""): try string(isName: false)
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      guard open.count < JSON.mostDepth else { throw fault("nested deeper than \(JSON.mostDepth) levels") }
      open.append(first == UInt8(ascii: "{"))
      index += 1
      return first == UInt8(ascii: "{") ? .nameOrEnd : .valueOrEnd
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    case UInt8(ascii: "-"), 0x30...0x39: try number()
    default: throw fault("expected a value")
    }
    return .afterValue
  }

  private mutating func word(_ word: String) throws(JSONError) {
    for byte in word.utf8 {
      guard index < text.count, text[index] == byte else { throw fault("expected a value") }
      index += 1
    }
  }

  // MARK: Numbers

  private mutating func number() throws(JSONError) {
    let start = index
    let isNegative = text[index] == UInt8(ascii: "-")
    if isNegative { index += 1 }
    var magnitude: UInt64 = 0
    var exceeds = false
    let first = index
    while let digit = digit() {
      let (tenfold, overflow) = magnitude.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tenfold.addingReportingOverflow(digit)
      exceeds = exceeds || overflow || carry
      magnitude = sum
    }
    guard index > first else { throw fault("expected a digit") }
    guard text[first] != 0x30 || index == first + 1 else { throw fault("a number must not begin with 0") }
    var isInteger = true
    if index < text.count, text[index] == UInt8(ascii: ".") {
      index += 1
      isInteger = false
      try digits()
    }
    if index < text.count, text[index] | 0x20 == UInt8(ascii: "e") {
      index += 1
      isInteger = false
      if index < text.count, text[index] == UInt8(ascii: "+") || text[index] == UInt8(ascii: "-") { index += 1 }
      try digits()
    }
    if isInteger, exceeds || (isNegative && magnitude > 1 << 63) {
      index = start
      throw fault("the number exceeds 64 bits")
    }
  }

  private mutating func digit() -> UInt64? {
    guard index < text.count, text[index] >= 0x30, text[index] <= 0x39 else { return nil }
    index += 1
    return UInt64(text[index - 1] - 0x30)
  }

  private mutating func digits() throws(JSONError) {
    guard digit() != nil else { throw fault("expected a digit") }
    while digit() != nil {}
  }

  // MARK: Strings

  private mutating func string(isName: Bool) throws(JSONError) {
    index += 1
    while index < text.count {
      switch text[index] {
      case UInt8(ascii: "\""):
        index += 1
        return
      case UInt8(ascii: "\\"): try escape(isName: isName)
      case 0..<0x20: throw fault("a control character in a string must be written as \\u00XX")
      case 0x80...: try sequence()
      default: index += 1
      }
    }
    throw fault("the text ends too early")
  }

  private mutating func escape(isName: Bool) throws(JSONError) {
    index += 1
    guard index < text.count else { throw fault("the text ends too early") }
    switch text[index] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      index += 1
    case UInt8(ascii: "u"):
      let unit = try codeUnit()
      // json-c ends names at a NUL, so that two would be one.
      if unit == 0, isName { throw fault("a member's name holds a NUL (\\u0000)") }
      if unit & 0xFC00 == 0xD800 {
        guard index + 1 < text.count, text[index] == UInt8(ascii: "\\"), text[index + 1] == UInt8(ascii: "u") else {
          throw fault("half of a surrogate pair")
        }
        index += 1
        guard try codeUnit() & 0xFC00 == 0xDC00 else { throw fault("half of a surrogate pair") }
      } else if unit & 0xFC00 == 0xDC00 {
        throw fault("half of a surrogate pair")
      }
    default: throw fault("unknown escape in a string")
    }
  }

  /// The number of "uXXXX" at the index, which goes behind it.
  private mutating func codeUnit() throws(JSONError) -> UInt32 {
    index += 1
    var unit: UInt32 = 0
    for _ in 0..<4 {
      guard index < text.count else { throw fault("the text ends too early") }
      let byte = text[index]
      switch byte {
      case 0x30...0x39: unit = unit << 4 | UInt32(byte - 0x30)
      case 0x41...0x46, 0x61...0x66: unit = unit << 4 | UInt32((byte | 0x20) - 0x61 + 10)
      default: throw fault("expected four hexadecimal digits behind \\u")
      }
      index += 1
    }
    return unit
  }

  /// One sequence of UTF-8 with more than one byte (RFC 3629, section 4).
  private mutating func sequence() throws(JSONError) {
    let lead = text[index]
    let following: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch lead {
    case 0xC2...0xDF: following = 1
    case 0xE0: (following, second) = (2, 0xA0...0xBF)
    case 0xED: (following, second) = (2, 0x80...0x9F)
    case 0xE1...0xEF: following = 2
    case 0xF0: (following, second) = (3, 0x90...0xBF)
    case 0xF4: (following, second) = (3, 0x80...0x8F)
    case 0xF1...0xF3: following = 3
    default: throw fault("not UTF-8")
    }
    for offset in 1...following {
      let allowed = offset == 1 ? second : 0x80...0xBF
      guard index + offset < text.count, allowed.contains(text[index + offset]) else { throw fault("not UTF-8") }
    }
    index += following + 1
  }

  // MARK: Errors

  /// "line 3, column 7: problem", counted from 1 and in bytes.
  private func fault(_ problem: String) -> JSONError {
    var (line, column) = (1, 1)
    for byte in text[..<min(index, text.count)] {
      if byte == UInt8(ascii: "\n") { (line, column) = (line + 1, 1) } else { column += 1 }
    }
    return JSONError("line \(line), column \(column): \(problem)")
  }
}
