/// What a guest asks of the machine by a port.
public enum PowerEvent: Equatable, Sendable {
  /// ACPI S5.
  case powerOff
  /// The ACPI reset register, or one of the PC's older ways to reset.
  case reboot
  /// The exit register: the low eight bits of what was written.
  case exit(code: UInt8)
  /// A phase of the start (1 first guest instruction, 2 init, 3 command, 4 the guest's own).
  case marker(UInt8)
}

/// The ports by which a guest ends or marks its run. They hold no state.
public enum PowerPorts {
  /// ACPI 6.5, 4.8.3.7, Sleep Control Register (FADT SLEEP_CONTROL_REG).
  public static let sleepControl: UInt16 = 0x600
  /// ACPI 6.5, 4.8.3.7, Sleep Status Register (FADT SLEEP_STATUS_REG).
  public static let sleepStatus: UInt16 = 0x601
  /// ACPI 6.5, 4.8.3.6, Reset Register (FADT RESET_REG).
  public static let reset: UInt16 = 0x602
  /// The byte that the FADT announces as RESET_VALUE.
  public static let resetValue: UInt8 = 1
  /// The SLP_TYP of the DSDT's \_S5 package.
  public static let softOffType: UInt8 = 5
  /// Ends the VM with an exit code.
  public static let exit: UInt16 = 0x604
  /// Marks a phase of the start.
  public static let marker: UInt16 = 0x620

  /// True when `port` is one of these.
  public static func claims(_ port: UInt16) -> Bool {
    switch port {
    case sleepControl, sleepStatus, reset, exit, marker: true
    default: false
    }
  }

  /// What a write of `bytes` (1, 2 or 4, little-endian) to `port` asks for, if anything.
  public static func write(port: UInt16, _ bytes: Span<UInt8>) -> PowerEvent? {
    guard bytes.count > 0 else { return nil }
    let value = bytes[0]
    switch port {
    case sleepControl:
      // SLP_EN is bit 5, SLP_TYP bits 2...4. Other sleep states are not announced, so a request for one is ignored.
      return value >> 5 & 1 == 1 && value >> 2 & 7 == softOffType ? .powerOff : nil
    case reset: return value == resetValue ? .reboot : nil
    case exit: return .exit(code: value)
    case marker: return .marker(value)
    default: return nil
    }
  }

  /// Every one of these ports reads as zero: WAK_STS is clear, and nothing is pending.
  public static func read(port: UInt16, into bytes: inout MutableSpan<UInt8>) { bytes.fill(repeating: 0) }
}

/// The PC's legacy ports, none of which has a device behind it, and every port that nobody claims.
///
/// An absent port floats: reads are all ones, writes vanish. That is what makes Linux give up on a PIC (the mask register does not
/// read back), an i8042 (its output buffer never empties), a PCI host bridge (0xCF8 does not read back) and a UART (IER
/// does not clear) within a few reads. The exceptions are the ports where all ones means "wait":
/// - 0x40...0x43, the PIT: an all-ones counter looks like a timer that stands still at 0xFF, which quick calibration reads 50,000
///   times. Zero ends it at the first read.
/// - 0x61: bit 5 is channel 2's output, waited for by calibration; bits 6 and 7 are parity and I/O check errors, believed when an
///   NMI comes. 0x20 says that the timer has expired and no error is known.
/// - 0x71, CMOS: with Update In Progress set for ever a reader of the clock waits up to seconds. Zero also leaves Valid RAM And
///   Time (register D, bit 7) clear, which says that the clock holds no time.
/// - 0x92, system control port A: 0x02, the A20 gate open and fast reset clear, so that code which reads it, sets A20 and
///   writes it back does not reset the machine.
public enum LegacyPorts {
  /// What a read of `port` gives.
  public static func read(port: UInt16, into bytes: inout MutableSpan<UInt8>) {
    switch port {
    case 0x40...0x43, 0x71: bytes.fill(repeating: 0)
    case 0x61: bytes.fill(repeating: 0x20)
    case 0x92: bytes.fill(repeating: 0x02)
    default: bytes.fill(repeating: 0xFF)
    }
  }

  /// What a write of `bytes` to `port` asks for: the three ways to reset a PC that work without a device behind them.
  public static func write(port: UInt16, _ bytes: Span<UInt8>) -> PowerEvent? {
    guard bytes.count == 1 else { return nil }
    switch port {
    // i8042 command 0xFE pulses the reset line (Linux: reboot=k).
    case 0x64: return bytes[0] == 0xFE ? .reboot : nil
    // System control port A, bit 0: fast reset.
    case 0x92: return bytes[0] & 1 != 0 ? .reboot : nil
    // Reset control register, RST_CPU (Linux: reboot=p). Only as a byte: a doubleword belongs to PCI's 0xCF8.
    case 0xCF9: return bytes[0] & 4 != 0 ? .reboot : nil
    default: return nil
    }
  }
}
