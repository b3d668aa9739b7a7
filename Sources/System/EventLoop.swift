import CLinux

/// What an event source is told by the loop. Class bound, so that Embedded mode can hold it as an existential.
public protocol EventHandler: AnyObject {
  /// `events` is a set of EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR; `token` is what the source was registered with.
  func handle(events: UInt32, token: UInt32)
}

/// One epoll(7) instance that dispatches to handlers on the thread that runs it.
public final class EventLoop {
  private struct Entry {
    let handler: any EventHandler
    let token: UInt32
    /// The round in which it was added.
    let round: UInt64
  }

  private let epoll: FileDescriptor
  private var entries: [Int32: Entry] = [:]
  private var running = true
  private var round: UInt64 = 0

  /// A loop with no sources.
  public init() throws(SystemError) {
    let raw = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard raw >= 0 else { throw SystemError("epoll_create1", "", .current) }
    epoll = FileDescriptor(owning: raw)
  }

  /// Watches `descriptor` for `events`. The caller keeps the descriptor open until `remove`.
  /// - Throws: `.notPermitted` (EPERM) for a regular file, which is always ready.
  public func add(_ descriptor: Int32, events: UInt32, token: UInt32, handler: any EventHandler) throws(SystemError) {
    try control(EPOLL_CTL_ADD, descriptor, events)
    entries[descriptor] = Entry(handler: handler, token: token, round: round)
  }

  /// Changes what a watched descriptor is watched for; 0 leaves only errors and hang-ups.
  public func modify(_ descriptor: Int32, events: UInt32) throws(SystemError) {
    try control(EPOLL_CTL_MOD, descriptor, events)
  }

  /// Stops watching; harmless when it was not watched.
  public func remove(_ descriptor: Int32) {
    guard entries.removeValue(forKey: descriptor) != nil else { return }
    // A descriptor that was closed already has left the set by itself.
    try? control(EPOLL_CTL_DEL, descriptor, 0)
  }

  /// Dispatches until `stop()`.
  public func run() throws(SystemError) {
    while running { try runOnce(timeoutMilliseconds: -1) }
  }

  /// Waits at most `timeoutMilliseconds` (-1: for ever) and dispatches what is ready.
  public func runOnce(timeoutMilliseconds: Int32) throws(SystemError) {
    round &+= 1
    var ready = InlineArray<16, clinux_ready>(repeating: clinux_ready())
    var span = ready.mutableSpan
    // unsafe: the shim writes at most 16 entries.
    let count = unsafe span.withUnsafeMutableBufferPointer {
      unsafe clinux_epoll_wait(epoll.rawValue, $0.baseAddress, 16, timeoutMilliseconds)
    }
    if count < 0 {
      if Errno.current == .interrupted { return }
      throw SystemError("epoll_wait", "", .current)
    }
    for index in 0..<Int(count) {
      // An earlier handler of this round may have removed this one, and may even have added another file under its number:
      // what is ready in that one comes with the next round.
      guard let entry = entries[ready[index].descriptor], entry.round != round else { continue }
      entry.handler.handle(events: ready[index].events, token: entry.token)
      if !running { return }
    }
  }

  /// Ends `run()` after the handler that calls it.
  public func stop() { running = false }

  private func control(_ operation: Int32, _ descriptor: Int32, _ events: UInt32) throws(SystemError) {
    guard clinux_epoll_ctl(epoll.rawValue, operation, descriptor, events) == 0 else {
      throw SystemError("epoll_ctl", "descriptor \(descriptor)", .current)
    }
  }
}
