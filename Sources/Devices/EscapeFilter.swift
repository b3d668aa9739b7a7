/// What a user asks vmrun for by an escape on the console.
public enum Escape: Equatable, Sendable {
  /// Ctrl-A x: end the VM.
  case end
  /// Ctrl-A h or Ctrl-A ?: show the escapes.
  case help
}

/// Finds the escapes in what a user types. They begin with Ctrl-A; Ctrl-A Ctrl-A is one Ctrl-A for the guest. Ctrl-A and any
/// other key both go to the guest, so that Ctrl-A alone still does in a shell what it does elsewhere.
public struct EscapeFilter: Sendable {
  /// What was typed.
  public struct Result: Equatable, Sendable {
    /// Bytes for the guest.
    public var bytes: [UInt8] = []
    /// What the user asked for, in order; nothing follows `.end`.
    public var escapes: [Escape] = []
  }

  /// For the user, with the CR LF line ends of a terminal in raw mode.
  public static let help = "\r\nvmrun: Ctrl-A x ends the VM, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-A h shows this\r\n"

  private static let prefix: UInt8 = 0x01
  private var prefixed = false

  public init() {}

  /// Takes what was read next; an escape may be split over two reads.
  public mutating func filter(_ input: Span<UInt8>) -> Result {
    var result = Result()
    for index in 0..<input.count {
      let byte = input[index]
      guard prefixed else {
        if byte == Self.prefix { prefixed = true } else { result.bytes.append(byte) }
        continue
      }
      prefixed = false
      switch byte {
      case Self.prefix: result.bytes.append(byte)
      case UInt8(ascii: "x"), UInt8(ascii: "X"):
        result.escapes.append(.end)
        return result
      case UInt8(ascii: "h"), UInt8(ascii: "?"): result.escapes.append(.help)
      default:
        result.bytes.append(Self.prefix)
        result.bytes.append(byte)
      }
    }
    return result
  }
}
