import System

/// Keeps the last 64 KiB that a guest's kernel wrote to its console.
public final class ConsoleCapture: ByteSink, @unchecked Sendable {
  private static let panicMark = Array("Kernel panic - not syncing: ".utf8)
  /// What follows a panic's reason is registers, a call trace and a last word: more lines than this and the kernel lived on.
  private static let linesAfterPanic = 128
  /// What kernel_restart(), kernel_power_off() and kernel_halt() print, and a panic's emergency restart does not.
  private static let orderlyMarks = ["reboot: Restarting system", "reboot: Power down", "reboot: System halted"]
    .map { Array($0.utf8) }

  private let lock = Lock()
  private let capacity: Int
  private var queue = ByteQueue()

  /// Keeps `capacity` bytes; older ones are forgotten. Memory is taken as the log grows.
  public init(capacity: Int = 64 << 10) { self.capacity = max(1, capacity) }

  /// Never waits.
  public func write(_ bytes: Span<UInt8>) {
    let kept = min(bytes.count, capacity)
    lock.withLock {
      let excess = queue.count + kept - capacity
      if excess > 0 { queue.drop(excess) }
      queue.append(bytes.extracting(bytes.count - kept..<bytes.count))
    }
  }

  /// The last `lines` lines, safe to print, each with a line end; empty when nothing was written.
  public func tail(lines: Int) -> String {
    let text = snapshot()
    if text.isEmpty || lines <= 0 { return "" }
    var start = text.count
    var found = 0
    while start > 0 {
      // The last byte may be a line end of its own line.
      if text[start - 1] == 0x0A && start < text.count {
        found += 1
        if found == lines { break }
      }
      start -= 1
    }
    let result = String(printable: text[start...])
    return text.last == 0x0A ? result : result + "\n"
  }

  /// The reason of a kernel panic if the log ends in one: the text of the last "Kernel panic - not syncing: ...", unless
  /// the kernel went on for long, or ended in order, after it. Ask only when the guest was reset, died or hung: that
  /// an old log was shown by a program must not turn a clean power-off into a panic.
  public func panicMessage() -> String? {
    let text = snapshot()
    guard let mark = Self.lastIndex(of: Self.panicMark, in: text) else { return nil }
    let start = mark + Self.panicMark.count
    let end = text[start...].firstIndex { $0 == 0x0A || $0 == 0x0D } ?? text.count
    let after = text[end...]
    if after.count(where: { $0 == 0x0A }) > Self.linesAfterPanic { return nil }
    let rest = Array(after)
    if Self.orderlyMarks.contains(where: { Self.lastIndex(of: $0, in: rest) != nil }) { return nil }
    var reason = text[start..<end]
    // The last word of a panic that waits: "---[ end Kernel panic - not syncing: reason ]---".
    let closing = Array(" ]---".utf8)
    if reason.count >= closing.count && Array(reason.suffix(closing.count)) == closing {
      reason = reason.dropLast(closing.count)
    }
    return String(printable: reason)
  }

  private func snapshot() -> [UInt8] { lock.withLock { queue.bytes } }

  private static func lastIndex(of pattern: [UInt8], in text: [UInt8]) -> Int? {
    var start = text.count - pattern.count
    while start >= 0 {
      var matched = 0
      while matched < pattern.count && text[start + matched] == pattern[matched] { matched += 1 }
      if matched == pattern.count { return start }
      start -= 1
    }
    return nil
  }
}

/// Hands every byte to two sinks, in order.
public final class TeeSink: ByteSink {
  private let first: any ByteSink
  private let second: any ByteSink

  /// Writes to `first`, then to `second`.
  public init(_ first: any ByteSink, _ second: any ByteSink) {
    self.first = first
    self.second = second
  }

  public func write(_ bytes: Span<UInt8>) {
    first.write(bytes)
    second.write(bytes)
  }
}
