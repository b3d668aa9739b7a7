import System

/// An I/O APIC (Intel 82093AA data sheet; version 0x20 with the EOI register of the I/O controller hubs) whose pins are
/// driven by pulses.
///
/// Two choices differ from the chip, both on the safe side:
/// - A pulse on a masked pin is remembered (one per pin) and delivered when the guest unmasks it. The chip loses it, but a device
///   model raises one edge for one event, so a lost edge would be a device that hangs, while one interrupt too many is a
///   handler that finds nothing to do.
/// - Remote IRR always reads 0 and a level-triggered entry delivers each pulse. There is no level that could be sent again at
///   the EOI, so there is nothing for Remote IRR to guard; kept as a state it would only block a pin for ever when the EOI is
///   not reported to user space.
public final class IOAPIC: @unchecked Sendable {
  /// Input pins of the chip, and so redirection entries.
  public static let pinCount = 24
  /// Input pins of this one, as its version register tells. A kernel sets each of them up by some eight accesses.
  public let pins: Int
  /// Bytes of guest physical memory that the register window occupies.
  public static let windowSize: UInt64 = 0x1000

  private enum Window {
    static let select: UInt64 = 0x00
    static let data: UInt64 = 0x10
    static let endOfInterrupt: UInt64 = 0x40
  }

  private enum Register {
    static let id: UInt8 = 0
    static let version: UInt8 = 1
    static let arbitration: UInt8 = 2
    static let firstEntry: UInt8 = 0x10
  }

  private enum Entry {
    static let masked: UInt64 = 1 << 16
    static let level: UInt64 = 1 << 15
    /// Vector, delivery mode, destination mode, polarity, trigger mode, mask, destination: all but Delivery Status and
    /// Remote IRR, which are read-only.
    static let writable: UInt64 = 0xFF00_0000_0001_AFFF
  }

  private let lock = Lock()
  private let sink: any MSISink
  private var id: UInt8
  private var selected: UInt8 = 0
  private var entries = [UInt64](repeating: Entry.masked, count: pinCount)
  /// Bit n: a pulse came while pin n was masked.
  private var remembered: UInt32 = 0

  /// An I/O APIC with every entry masked, that hands its interrupts to `sink`.
  /// - id: the APIC id that the MADT announces for it (4 bits).
  /// - pins: how many inputs it has, 1 to 24.
  public init(id: UInt8 = 0, pins: Int = pinCount, sink: any MSISink) {
    self.id = id & 0xF
    self.pins = min(max(pins, 1), Self.pinCount)
    self.sink = sink
  }

  /// A read of the register window at `offset` from its base. The registers are 32 bits wide; bytes beyond read as zero.
  public func read(offset: UInt64, into bytes: inout MutableSpan<UInt8>) {
    let value: UInt32 = lock.withLock {
      switch offset {
      case Window.select: UInt32(selected)
      case Window.data: readSelected()
      default: 0
      }
    }
    bytes.fill(littleEndian: value)
  }

  /// A write of the register window at `offset` from its base.
  public func write(offset: UInt64, _ bytes: Span<UInt8>) {
    let value = bytes.littleEndian32
    switch offset {
    case Window.select: lock.withLock { selected = UInt8(truncatingIfNeeded: value) }
    case Window.data: writeSelected(value)
    // Nothing is in service here (see above), so an EOI has nothing to end.
    case Window.endOfInterrupt: break
    default: break
    }
  }

  /// A pulse on `pin`; a number outside 0..<`pins` is ignored.
  public func raise(pin: Int) {
    guard pin >= 0, pin < pins else { return }
    let entry: UInt64? = lock.withLock {
      if entries[pin] & Entry.masked != 0 {
        remembered |= 1 << UInt32(pin)
        return nil
      }
      return entries[pin]
    }
    if let entry { deliver(entry) }
  }

  /// The wire to `pin`.
  public func line(pin: Int) -> any InterruptLine { IOAPICPin(self, pin) }

  private func readSelected() -> UInt32 {
    switch selected {
    case Register.id, Register.arbitration: return UInt32(id) << 24
    case Register.version: return 0x20 | UInt32(pins - 1) << 16
    default:
      guard let (pin, high) = entryIndex(selected) else { return 0 }
      return UInt32(truncatingIfNeeded: high ? entries[pin] >> 32 : entries[pin])
    }
  }

  private func writeSelected(_ value: UInt32) {
    let pending: UInt64? = lock.withLock {
      if selected == Register.id { id = UInt8(value >> 24 & 0xF) }
      guard let (pin, high) = entryIndex(selected) else { return nil }
      let kept = high ? entries[pin] & 0xFFFF_FFFF : entries[pin] & ~0xFFFF_FFFF
      let entry = (kept | UInt64(value) << (high ? 32 : 0)) & Entry.writable
      entries[pin] = entry
      let bit: UInt32 = 1 << UInt32(pin)
      if entry & Entry.masked != 0 || remembered & bit == 0 { return nil }
      remembered &= ~bit
      return entry
    }
    if let pending { deliver(pending) }
  }

  private func entryIndex(_ register: UInt8) -> (pin: Int, high: Bool)? {
    guard register >= Register.firstEntry else { return nil }
    let pin = Int(register - Register.firstEntry) / 2
    return pin < pins ? (pin, register & 1 != 0) : nil
  }

  /// The entry as a message (SDM volume 3, 11.11.1 and 11.11.2). The lock is not held, so that the sink may take its time.
  private func deliver(_ entry: UInt64) {
    let vector = UInt32(entry & 0xFF)
    let deliveryMode = UInt32(entry >> 8 & 7)
    // Vectors 0...15 are illegal for fixed and lowest-priority delivery; the chip's message would only raise an APIC error.
    if deliveryMode <= 1 && vector < 16 { return }
    let logical = entry >> 11 & 1
    let destination = entry >> 56
    let trigger: UInt32 = entry & Entry.level != 0 ? 3 << 14 : 0
    sink.deliver(
      address: 0xFEE0_0000 | destination << 12 | logical << 2, data: vector | deliveryMode << 8 | trigger)
  }
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
