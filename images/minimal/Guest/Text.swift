/// Bytes in memory that stay where they are and as they are for the guest's life: what a string is without a heap.
@safe struct Text: @unchecked Sendable {
  private let start: UnsafePointer<UInt8>
  let count: Int

  /// The bytes of a literal, which are part of the image.
  init(_ literal: StaticString) {
    unsafe start = literal.utf8Start
    count = literal.utf8CodeUnitCount
  }

  /// - Safety: `count` bytes from `start` on must be readable and must not change while the text is in use.
  @unsafe init(start: UnsafePointer<UInt8>, count: Int) {
    unsafe self.start = start
    self.count = count
  }

  /// The address of the first byte.
  var address: UnsafePointer<UInt8> { unsafe start }

  subscript(index: Int) -> UInt8 {
    precondition(index >= 0 && index < count)
    // unsafe: the index was checked.
    return unsafe start[index]
  }

  subscript(range: Range<Int>) -> Text {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    // unsafe: the range was checked, and what holds for the whole holds for a part.
    return unsafe Text(start: start + range.lowerBound, count: range.count)
  }

  /// Without blanks in front, and without blanks and zeros at the end.
  var trimmed: Text {
    var first = 0
    var end = count
    while end > 0 && self[end - 1] <= Text.blank { end -= 1 }
    while first < end && self[first] == Text.blank { first += 1 }
    return self[first..<end]
  }

  /// What follows `prefix`, when the text begins with it.
  func after(_ prefix: StaticString) -> Text? {
    let prefix = Text(prefix)
    guard count >= prefix.count else { return nil }
    for index in 0..<prefix.count where self[index] != prefix[index] { return nil }
    return self[prefix.count..<count]
  }

  /// The text as a decimal number; nil when it is empty, holds anything but digits, or has more than eighteen of them.
  var number: UInt64? {
    guard count > 0, count <= 18 else { return nil }
    var value: UInt64 = 0
    for index in 0..<count {
      let digit = self[index] &- UInt8(ascii: "0")
      guard digit <= 9 else { return nil }
      // Eighteen digits cannot overflow.
      value = value &* 10 &+ UInt64(digit)
    }
    return value
  }

  static let blank = UInt8(ascii: " ")

  static func == (text: Text, literal: StaticString) -> Bool {
    text.count == literal.utf8CodeUnitCount && text.after(literal) != nil
  }
}
