import System

/// Keeps the last 64 KiB that a guest's kernel wrote to its console.
public final class ConsoleCapture: ByteSink, @unchecked Sendable {
  public init(capacity: Int = 64 << 10) {}
  public func write(_ bytes: Span<UInt8>) {}
  /// The last `lines` lines, safe to print, each with a line end.
  public func tail(lines: Int) -> String { "" }
  /// The reason of a kernel panic if the log ends in one. Only to be asked when the guest was reset, died or hung.
  public func panicMessage() -> String? { nil }
}

/// Hands every byte to two sinks, in order.
public final class TeeSink: ByteSink {
  private let first: any ByteSink
  private let second: any ByteSink
  public init(_ first: any ByteSink, _ second: any ByteSink) {
    self.first = first
    self.second = second
  }
  public func write(_ bytes: Span<UInt8>) {
    first.write(bytes)
    second.write(bytes)
  }
}
