import CLinux
import System

/// Why an output was given up.
public enum OutputLoss: Equatable, Sendable {
  /// EPIPE: the reader has gone. vmrun ends the VM as a shell pipeline would end a program, with 128 + SIGPIPE = 141.
  case readerGone
  /// Another error, such as a full disk: vmrun says so and ends with 125.
  case failed(Errno)
}

/// Moves bytes from vCPU threads to a descriptor.
public final class OutputPump: ByteSink, CreditedSink, @unchecked Sendable {
  /// Bytes held at most by blocking writers, in bytes.
  public static let defaultCapacity = 256 << 10

  /// A pump to descriptor `number` (0...2), which stays open; everything is discarded when it is closed or vmrun's own hold.
  /// - coalesce: gather a character at a time into lines (a console), at the price of up to half a millisecond.
  public convenience init(inherited number: Int32, capacity: Int = defaultCapacity, coalesce: Bool = false) {
    self.init(FileDescriptor(owning: -1), capacity: capacity, coalesce: coalesce)
  }
  public init(_ descriptor: consuming FileDescriptor, capacity: Int = defaultCapacity, coalesce: Bool = false) {}

  /// Blocks until there is room, or `abort()`.
  public func write(_ bytes: Span<UInt8>) {}
  public func append(_ bytes: Span<UInt8>) {}
  public var room: Int { 0 }
  public func onRoom(_ body: @escaping @Sendable () -> Void) {}
  /// Registers what is called once, on the pump's thread, when the output is lost. Bytes are discarded from then on.
  public func onLoss(_ body: @escaping @Sendable (OutputLoss) -> Void) {}
  /// Lets every blocked writer go; from then on `write` does not wait any more (what does not fit is dropped).
  public func abort() {}
  /// Waits until everything has been written, at most `milliseconds` (-1: for ever); false when the time was up.
  public func drain(milliseconds: Int32) -> Bool { true }
}
