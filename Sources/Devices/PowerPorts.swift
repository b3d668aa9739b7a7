/// What a guest asks of the machine by a port.
public enum PowerEvent: Equatable, Sendable {
  /// ACPI S5.
  case powerOff
  /// The ACPI reset register, or one of the PC's older ways to reset.
  case reboot
  /// The exit register.
  case exit(code: UInt8)
  /// A phase of the start (1 first guest instruction, 2 init, 3 command, 4 the guest's own).
  case marker(UInt8)
}

/// The ports by which a guest ends or marks its run.
public struct PowerPorts: Sendable {
  public init() {}
  /// True when `port` is one of these.
  public static func claims(_ port: UInt16) -> Bool { false }
  /// What a write of `bytes` (1, 2 or 4; little-endian) to `port` asks for, if anything.
  public func write(port: UInt16, _ bytes: Span<UInt8>) -> PowerEvent? { nil }
  public func read(port: UInt16, into bytes: inout MutableSpan<UInt8>) {}
}

/// The PC's legacy ports, none of which has a device behind it, and every port that nobody claims.
public enum LegacyPorts {
  public static func read(port: UInt16, into bytes: inout MutableSpan<UInt8>) {}
  public static func write(port: UInt16, _ bytes: Span<UInt8>) -> PowerEvent? { nil }
}
