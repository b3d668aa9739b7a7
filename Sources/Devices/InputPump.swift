import CLinux
import System

/// What the pump tells besides bytes. Called on the event loop's thread.
public protocol InputPumpClient: AnyObject {
  /// The user typed an escape. After `.end` the pump is to be stopped.
  func typed(_ escape: Escape)
}

/// Reads standard input on the event loop, only as fast as its consumer takes it, so that what the guest does not want stays
/// with whoever shares the descriptor.
///
/// The descriptor's flags are left alone: it is read only after epoll said that it is readable. Files and /dev/null, which
/// epoll refuses, are always readable. A descriptor that is closed, or cannot be read, is one at its end.
///
/// While escapes are looked for, up to 64 KiB are read ahead of the consumer, since the escape must work above all when the guest
/// takes nothing any more.
public final class InputPump: EventHandler, @unchecked Sendable {
  private static let chunkSize = 16 << 10
  private static let aheadLimit = 64 << 10
  private static let inputToken: UInt32 = 0
  private static let wakeToken: UInt32 = 1

  private let loop: EventLoop
  private let consumer: any InputConsumer
  private let client: any InputPumpClient
  private let wake: EventFD
  private let descriptor: FileDescriptor?
  /// `descriptor`'s number.
  private let number: Int32
  private var filter: EscapeFilter?
  /// Read from a terminal and not taken by the consumer yet.
  private var ahead = ByteQueue()
  private var pollable = true
  private var watching = false
  private var ended: Bool
  private var endTold = false
  private var stopped = false

  /// A pump from descriptor `number`, which stays open.
  /// - escapes: look for escapes; for a terminal in raw mode.
  public init(
    inherited number: Int32, loop: EventLoop, consumer: any InputConsumer, escapes: Bool, client: any InputPumpClient
  ) throws(SystemError) {
    // Assigned to a variable, since an optional chain would consume a constant.
    var copy: FileDescriptor?
    copy = try FileDescriptor.inherited(number)
    self.number = copy?.rawValue ?? -1
    ended = copy == nil
    descriptor = copy
    self.loop = loop
    self.consumer = consumer
    self.client = client
    filter = escapes ? EscapeFilter() : nil
    wake = try EventFD()
  }

  /// Begins to read. Event loop's thread.
  public func start() throws(SystemError) {
    try loop.add(wake.descriptor.rawValue, events: EPOLLIN.rawValue, token: Self.wakeToken, handler: self)
    try advance()
  }

  /// The consumer has room again. Any thread.
  public func resume() { wake.signal() }

  /// Stops reading for good; the consumer is not told of an end. Event loop's thread.
  public func stop() {
    stopped = true
    unwatch()
    loop.remove(wake.descriptor.rawValue)
  }

  public func handle(events: UInt32, token: UInt32) {
    if stopped { return }
    if token == Self.wakeToken { wake.drain() } else { readOnce() }
    do throws(SystemError) {
      try advance()
    } catch {
      // Only an epoll that is out of memory or watches: no more input can come.
      end()
    }
  }

  /// Does what can be done without waiting, and sees to it that the loop comes back for the rest.
  private func advance() throws(SystemError) {
    flush()
    if stopped || ended || wanted == 0 {
      unwatch()
      return
    }
    if pollable { try watch() }
    if !pollable {
      readOnce()
      flush()
      // One chunk a round: a file or /dev/zero must not starve the loop's other sources.
      if !ended && !stopped && wanted > 0 { wake.signal() }
    }
  }

  /// How many bytes are to be read now.
  private var wanted: Int {
    filter == nil ? min(consumer.inputRoom, Self.chunkSize) : min(Self.aheadLimit - ahead.count, Self.chunkSize)
  }

  private func readOnce() {
    let count = wanted
    if ended || count <= 0 { return }
    var chunk = [UInt8](repeating: 0, count: count)
    let result: Int
    do throws(SystemError) {
      result = try read(into: &chunk)
    } catch {
      // Somebody else was faster, and the description is non-blocking.
      if error.errno == .again { return }
      // EIO: the terminal has hung up; EISDIR and the like: nothing to read, ever.
      return end()
    }
    if result == 0 { return end() }
    deliver(chunk.span.extracting(0..<result))
  }

  private func read(into chunk: inout [UInt8]) throws(SystemError) -> Int {
    // unsafe: the array's own bytes, valid for the call.
    let result: Result<Int, SystemError> = unsafe chunk.withUnsafeMutableBytes { buffer in
      do throws(SystemError) {
        return .success(try unsafe descriptor?.read(into: buffer) ?? 0)
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  private func deliver(_ bytes: Span<UInt8>) {
    guard let result = filter?.filter(bytes) else { return consumer.takeInput(bytes) }
    ahead.append(result.bytes.span)
    for escape in result.escapes { client.typed(escape) }
  }

  /// Hands on what was read ahead, then the end.
  private func flush() {
    while !ahead.isEmpty {
      let room = min(consumer.inputRoom, ahead.count)
      if room <= 0 { return }
      var bytes = [UInt8](repeating: 0, count: room)
      var target = bytes.mutableSpan
      _ = ahead.copyPrefix(into: &target)
      ahead.drop(room)
      consumer.takeInput(bytes.span)
    }
    if ended && !endTold && !stopped {
      endTold = true
      consumer.endInput()
    }
  }

  private func end() {
    ended = true
    unwatch()
    flush()
  }

  private func watch() throws(SystemError) {
    guard !watching else { return }
    do throws(SystemError) {
      try loop.add(number, events: EPOLLIN.rawValue, token: Self.inputToken, handler: self)
      watching = true
    } catch {
      if error.errno != .notPermitted { throw error }
      pollable = false
    }
  }

  /// Not merely an empty set of events: epoll reports a hang-up whatever is asked for, and would spin.
  private func unwatch() {
    guard watching else { return }
    loop.remove(number)
    watching = false
  }
}
