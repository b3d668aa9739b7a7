/// Finds the escapes in what a user types: Ctrl-A x ends the VM, Ctrl-A Ctrl-A is one Ctrl-A, Ctrl-A h shows help.
public struct EscapeFilter: Sendable {
  /// What was typed.
  public struct Result: Equatable, Sendable {
    /// Bytes for the guest.
    public var bytes: [UInt8] = []
    /// Ctrl-A h.
    public var help = false
    /// Ctrl-A x: nothing after it counts.
    public var end = false
  }
  /// For the user, with CR LF line ends.
  public static let help = ""
  public init() {}
  public mutating func filter(_ input: Span<UInt8>) -> Result { Result() }
}
