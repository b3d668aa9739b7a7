import Hardware
import MinimalGuestABI

/// The serial port, the guest's only voice. It is written without asking whether it is ready: a virtual one always is.
enum Serial {
  private static var port: UInt16 { UInt16(MINIMAL_PORT_SERIAL) }

  /// Sends `text` with one instruction.
  static func write(_ text: Text) {
    // unsafe: the instruction reads exactly the text's bytes.
    unsafe out_bytes(port, text.address, text.count)
  }

  /// Sends a literal with one instruction.
  static func write(_ literal: StaticString) { write(Text(literal)) }

  /// Sends `value` in `radix`, which is at most 16, without leading zeros.
  static func write(_ value: UInt64, radix: UInt64 = 10) {
    // The longest number, 2^64 - 1 in decimal, has twenty digits; the last one is found first.
    var digits = InlineArray<20, UInt8>(repeating: 0)
    var rest = value
    var first = 20
    repeat {
      let digit = UInt8(truncatingIfNeeded: rest % radix)
      rest /= radix
      first -= 1
      digits[first] = digit &+ (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") &- 10)
    } while rest != 0
    write(digits.span, from: first)
  }

  /// Sends what `bytes` holds from index `first` on.
  static func write(_ bytes: Span<UInt8>, from first: Int) {
    unsafe bytes.withUnsafeBufferPointer { buffer in
      // unsafe: nothing changes the bytes before the text has been sent.
      if let start = buffer.baseAddress { write(unsafe Text(start: start, count: buffer.count)[first..<buffer.count]) }
    }
  }

  /// The next byte received; waits for it.
  static func read() -> UInt8 {
    while in_byte(UInt16(MINIMAL_PORT_SERIAL_STATUS)) & 1 == 0 {}
    return in_byte(port)
  }
}
