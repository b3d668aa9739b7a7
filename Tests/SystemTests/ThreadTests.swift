import CLinux
import Synchronization
import System
import TestSupport
import Testing

private final class Counter: @unchecked Sendable {
  let lock = Lock()
  let changed = Condition()
  var value = 0
}

private struct Refusal: Error {}

@Suite struct ThreadTests {
  @Test func joinWaitsForTheBody() throws {
    let box = Box()
    let thread = try Thread {
      pause(milliseconds: 20)
      box.value.store(1, ordering: .releasing)
    }
    thread.join()
    #expect(box.value.load(ordering: .acquiring) == 1)
  }

  @Test func theBodyAndWhatItHoldsGoWithTheThread() throws {
    weak var held: Box?
    do {
      let box = Box()
      held = box
      let thread = try Thread { box.value.store(1, ordering: .releasing) }
      thread.join()
    }
    #expect(held == nil)
  }

  /// A thread that nobody joins must give its stack back all the same.
  @Test func threadsThatAreDroppedLeaveNothing() throws {
    let done = Box()
    for _ in 0..<200 { _ = try Thread { done.value.wrappingAdd(1, ordering: .relaxed) } }
    #expect(eventually { done.value.load(ordering: .relaxed) == 200 })
  }

  @Test func anImpossibleStackIsAnError() {
    #expect(throws: SystemError("pthread_create", "", .invalid)) { _ = try Thread(stackSize: 1) {} }
  }

  @Test func lockExcludes() throws {
    let counter = Counter()
    var threads: [Joiner] = []
    for _ in 0..<4 {
      threads.append(
        Joiner(
          try Thread {
            for _ in 0..<20_000 { counter.lock.withLock { counter.value += 1 } }
          }))
    }
    threads.forEach { $0.join() }
    #expect(counter.value == 80_000)
  }

  @Test func aThrowingBodyGivesTheLockBack() {
    let lock = Lock()
    #expect(throws: Refusal.self) { try lock.withLock { () throws(Refusal) in throw Refusal() } }
    #expect(lock.withLock { 7 } == 7)
  }

  @Test func broadcastWakesEveryWaiter() throws {
    let counter = Counter()
    let woken = Box()
    var threads: [Joiner] = []
    for _ in 0..<4 {
      threads.append(
        Joiner(
          try Thread {
            counter.lock.lock()
            while counter.value == 0 { counter.changed.wait(counter.lock) }
            counter.lock.unlock()
            woken.value.wrappingAdd(1, ordering: .relaxed)
          }))
    }
    pause(milliseconds: 10)
    #expect(woken.value.load(ordering: .relaxed) == 0)
    counter.lock.withLock { counter.value = 1 }
    counter.changed.broadcast()
    threads.forEach { $0.join() }
    #expect(woken.value.load(ordering: .relaxed) == 4)
  }
}

/// Threads are move-only; an array needs a box for each.
private final class Joiner {
  private var thread: Thread?
  init(_ thread: consuming Thread) { self.thread = consume thread }
  func join() { thread.take()?.join() }
}
