import CLinux
import Synchronization
import System
import TestSupport
import Testing

@Suite struct EventTests {
  @Test func eventCountsAndDrains() throws {
    let event = try EventFD()
    #expect(event.drain() == 0)
    event.signal()
    event.signal()
    #expect(event.drain() == 2)
    #expect(event.drain() == 0)
  }

  /// A full counter refuses to count on, and must not make the signaller wait.
  @Test func aFullEventStaysSignalled() throws {
    let event = try EventFD()
    var most = UInt64.max - 1
    #expect(write(event.descriptor.rawValue, &most, 8) == 8)
    event.signal()
    #expect(event.drain() == UInt64.max - 1)
  }

  @Test func timerExpiresOnceOrRepeatsOrNever() throws {
    let timer = try TimerFD()
    timer.arm(nanoseconds: 1)
    #expect(eventually { timer.drain() == 1 })
    pause(milliseconds: 5)
    #expect(timer.drain() == 0)
    timer.arm(nanoseconds: 1_000_000, interval: 1_000_000)
    var count: UInt64 = 0
    #expect(
      eventually {
        count += timer.drain(); return count >= 3
      })
    timer.arm(nanoseconds: 0)
    timer.drain()
    pause(milliseconds: 5)
    #expect(timer.drain() == 0)
    timer.arm(nanoseconds: .max)
    #expect(timer.drain() == 0)
  }

  @Test func signalsArriveInTheDescriptor() throws {
    // A thread of its own: blocked signals are the thread's.
    let result = Box()
    let thread = try Thread {
      guard let signals = try? SignalFD([SIGUSR1, SIGWINCH]) else { return }
      if signals.next() != nil { return }
      pthread_kill(pthread_self(), SIGWINCH)
      let first = signals.next()
      pthread_kill(pthread_self(), SIGUSR1)
      pthread_kill(pthread_self(), SIGUSR1)
      let second = signals.next()
      // A pending signal is pending once.
      if first == SIGWINCH, second == SIGUSR1, signals.next() == nil { result.value.store(1, ordering: .releasing) }
    }
    thread.join()
    #expect(result.value.load(ordering: .acquiring) == 1)
  }

  @Test func aWrongSignalNumberIsAnError() {
    #expect(throws: SystemError("sigaddset", "signal 0", .invalid)) { _ = try SignalFD([0]) }
    #expect(throws: SystemError("sigaddset", "signal 1000", .invalid)) { _ = try SignalFD([1000]) }
  }

  @Test func clockNeverGoesBack() {
    var last = Clock.now()
    #expect(last > 0)
    for _ in 0..<100_000 {
      let now = Clock.now()
      if now < last { Issue.record("\(now) after \(last)") }
      last = now
    }
    let start = Clock.now()
    pause(milliseconds: 2)
    #expect(Clock.now() - start >= 2_000_000)
  }
}

/// Counts what it is told, and does something besides.
private final class Recorder: EventHandler {
  var seen: [(events: UInt32, token: UInt32)] = []
  var body: (UInt32) -> Void = { _ in }

  func handle(events: UInt32, token: UInt32) {
    seen.append((events, token))
    body(token)
  }
}

@Suite struct EventLoopTests {
  private let readable = EPOLLIN.rawValue

  @Test func dispatchesTheTokenOfWhatIsReady() throws {
    let loop = try EventLoop()
    let quiet = try EventFD()
    let loud = try EventFD()
    let recorder = Recorder()
    try loop.add(quiet.descriptor.rawValue, events: readable, token: 1, handler: recorder)
    try loop.add(loud.descriptor.rawValue, events: readable, token: 2, handler: recorder)
    try loop.runOnce(timeoutMilliseconds: 0)
    #expect(recorder.seen.isEmpty)
    loud.signal()
    try loop.runOnce(timeoutMilliseconds: 1000)
    #expect(recorder.seen.map(\.token) == [2])
    #expect(recorder.seen[0].events == readable)
  }

  @Test func addingTwiceAndAddingARegularFileAreErrors() throws {
    let loop = try EventLoop()
    let event = try EventFD()
    let number = event.descriptor.rawValue
    try loop.add(number, events: readable, token: 1, handler: Recorder())
    #expect(throws: SystemError("epoll_ctl", "descriptor \(number)", .exists)) {
      try loop.add(number, events: readable, token: 2, handler: Recorder())
    }
    let file = try TemporaryFile([1])
    let descriptor = try FileDescriptor.open(file.path, O_RDONLY)
    #expect(throws: SystemError("epoll_ctl", "descriptor \(descriptor.rawValue)", .notPermitted)) {
      try loop.add(descriptor.rawValue, events: readable, token: 1, handler: Recorder())
    }
  }

  @Test func aHandlerMayRemoveAnotherOfTheSameRound() throws {
    let loop = try EventLoop()
    let first = try EventFD()
    let second = try EventFD()
    let recorder = Recorder()
    let numbers = [first.descriptor.rawValue, second.descriptor.rawValue]
    recorder.body = { token in loop.remove(numbers[1 - Int(token)]) }
    for (token, number) in numbers.enumerated() {
      try loop.add(number, events: readable, token: UInt32(token), handler: recorder)
    }
    first.signal()
    second.signal()
    try loop.runOnce(timeoutMilliseconds: 1000)
    #expect(recorder.seen.count == 1)
  }

  /// An event of a descriptor that was closed must not reach the new owner of its number.
  @Test func aReusedNumberGetsNoStaleEvent() throws {
    let loop = try EventLoop()
    var events = [eventfd(0, Int32(EFD_NONBLOCK)), eventfd(0, Int32(EFD_NONBLOCK))]
    let (first, newcomer) = (Recorder(), Recorder())
    first.body = { token in
      let other = 1 - Int(token)
      loop.remove(events[other])
      let fresh = eventfd(0, Int32(EFD_NONBLOCK))
      // The number of the old descriptor, but another file that is not ready.
      dup2(fresh, events[other])
      close(fresh)
      try? loop.add(events[other], events: EPOLLIN.rawValue, token: 9, handler: newcomer)
    }
    for (token, number) in events.enumerated() {
      try loop.add(number, events: readable, token: UInt32(token), handler: first)
      var one: UInt64 = 1
      #expect(write(number, &one, 8) == 8)
    }
    try loop.runOnce(timeoutMilliseconds: 1000)
    #expect(first.seen.count == 1)
    #expect(newcomer.seen.isEmpty)
    // Once it is ready, it is told.
    var one: UInt64 = 1
    #expect(write(events[1 - Int(first.seen[0].token)], &one, 8) == 8)
    first.body = { _ in }
    try loop.runOnce(timeoutMilliseconds: 1000)
    #expect(newcomer.seen.count == 1)
    events.forEach { close($0) }
    events = []
  }

  @Test func removingAClosedOrUnknownDescriptorIsHarmless() throws {
    let loop = try EventLoop()
    loop.remove(12345)
    let number = eventfd(0, 0)
    try loop.add(number, events: readable, token: 1, handler: Recorder())
    close(number)
    loop.remove(number)
    try loop.runOnce(timeoutMilliseconds: 0)
  }

  @Test func hangUpIsToldWithoutBeingAskedFor() throws {
    let loop = try EventLoop()
    let ends = try FileDescriptor.pipe()
    let recorder = Recorder()
    let reader = try FileDescriptor.duplicate(of: ends.read.rawValue)
    try loop.add(reader.rawValue, events: 0, token: 5, handler: recorder)
    func drop(_ ends: consuming PipeEnds) {}
    drop(ends)
    try loop.runOnce(timeoutMilliseconds: 1000)
    #expect(recorder.seen.map(\.token) == [5])
    #expect(recorder.seen.first.map { $0.events & EPOLLHUP.rawValue } == EPOLLHUP.rawValue)
  }

  @Test func modifyChangesWhatIsWatched() throws {
    let loop = try EventLoop()
    let event = try EventFD()
    let recorder = Recorder()
    event.signal()
    try loop.add(event.descriptor.rawValue, events: 0, token: 1, handler: recorder)
    try loop.runOnce(timeoutMilliseconds: 0)
    #expect(recorder.seen.isEmpty)
    try loop.modify(event.descriptor.rawValue, events: readable)
    try loop.runOnce(timeoutMilliseconds: 1000)
    #expect(recorder.seen.count == 1)
    #expect(throws: SystemError.self) { try loop.modify(12345, events: EPOLLIN.rawValue) }
  }

  @Test func stopEndsTheRunBeforeTheNextHandler() throws {
    let loop = try EventLoop()
    let first = try EventFD()
    let second = try EventFD()
    let recorder = Recorder()
    recorder.body = { _ in loop.stop() }
    try loop.add(first.descriptor.rawValue, events: readable, token: 0, handler: recorder)
    try loop.add(second.descriptor.rawValue, events: readable, token: 1, handler: recorder)
    first.signal()
    second.signal()
    try loop.run()
    #expect(recorder.seen.count == 1)
  }

  /// More sources than one epoll_wait(2) tells about.
  @Test func everyReadySourceIsServed() throws {
    let loop = try EventLoop()
    let recorder = Recorder()
    let numbers = (0..<100).map { _ in eventfd(1, Int32(EFD_NONBLOCK)) }
    defer { numbers.forEach { close($0) } }
    for (token, number) in numbers.enumerated() {
      try loop.add(number, events: readable, token: UInt32(token), handler: recorder)
    }
    recorder.body = { token in
      var value: UInt64 = 0
      _ = read(numbers[Int(token)], &value, 8)
    }
    for _ in 0..<100 { try loop.runOnce(timeoutMilliseconds: 0) }
    #expect(recorder.seen.map(\.token).sorted() == Array(0..<100))
  }
}
