import System

/// A 16550A UART.
public final class Serial16550: InputConsumer, @unchecked Sendable {
  /// Ports occupied from the base.
  public static let portCount: UInt16 = 8

  /// A port that transmits into `output` and interrupts by `interrupt`.
  public init(interrupt: any InterruptLine, output: any ByteSink) {}

  /// One-byte reads of the register at `offset` (0..<8), one for each byte of `bytes` (`rep insb`).
  public func read(offset: UInt16, into bytes: inout MutableSpan<UInt8>) {}

  /// One-byte writes to the register at `offset` (0..<8), one for each byte of `bytes` (`rep outsb`). Blocks as long as the output does.
  public func write(offset: UInt16, _ bytes: Span<UInt8>) {}

  /// Bytes that the host side takes for the guest now.
  public var inputRoom: Int { 0 }

  /// Takes bytes for the guest, as many as there is room for; returns how many. The caller keeps the rest.
  public func receive(_ bytes: Span<UInt8>) -> Int { 0 }

  /// Registers what is called (on a vCPU thread, no lock held) when the guest made room after `receive` refused bytes or
  /// `inputRoom` said 0. Call before the first vCPU runs.
  public func onReceiveSpace(_ body: @escaping @Sendable () -> Void) {}

  public func takeInput(_ bytes: Span<UInt8>) {}
  /// Nothing: a serial line has no end of file.
  public func endInput() {}
}

/// Rings by one byte 0x01 into a serial port's receiver.
public final class SerialDoorbell: Doorbell {
  public init(_ port: Serial16550) {}
  public func ring() {}
}
