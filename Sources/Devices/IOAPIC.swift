import System

/// An I/O APIC (Intel 82093AA data sheet, version 0x20 of later chipsets) whose pins are driven by pulses.
public final class IOAPIC: @unchecked Sendable {
  /// Input pins, and so redirection entries.
  public static let pinCount = 24

  /// An I/O APIC with every entry masked, that hands its interrupts to `sink`.
  public init(id: UInt8 = 0, sink: any MSISink) {}

  /// A read of the register window at `offset` from its base.
  public func read(offset: UInt64, into bytes: inout MutableSpan<UInt8>) {}

  /// A write of the register window at `offset` from its base.
  public func write(offset: UInt64, _ bytes: Span<UInt8>) {}

  /// A pulse on `pin`; a number outside 0..<24 is ignored.
  public func raise(pin: Int) {}

  /// The wire to `pin`.
  public func line(pin: Int) -> any InterruptLine { IOAPICPin(self, pin) }
}

/// The wire to one pin of an I/O APIC.
final class IOAPICPin: InterruptLine {
  private let chip: IOAPIC
  private let pin: Int

  init(_ chip: IOAPIC, _ pin: Int) {
    self.chip = chip
    self.pin = pin
  }

  func raise() { chip.raise(pin: pin) }
}
