@testable import Devices
import System

/// SplitMix64: the same numbers for the same seed everywhere.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}

/// An edge-triggered interrupt request bit, as a local APIC holds it: edges merge until the processor takes them.
final class InterruptRequest: InterruptLine, @unchecked Sendable {
  private let lock = Lock()
  private let arrived = Condition()
  private var pending = false
  private var raised = 0
  private var stopped = false

  var edges: Int { lock.withLock { raised } }

  func raise() {
    lock.withLock {
      pending = true
      raised += 1
    }
    arrived.broadcast()
  }

  /// Takes a pending edge; true when there was one.
  func take() -> Bool {
    lock.withLock {
      defer { pending = false }
      return pending
    }
  }

  /// Waits for an edge and takes it; false when stopped.
  func wait() -> Bool {
    lock.withLock {
      while !pending && !stopped { arrived.wait(lock) }
      if !pending { return false }
      pending = false
      return true
    }
  }

  func stop() {
    lock.withLock { stopped = true }
    arrived.broadcast()
  }
}

/// Keeps what was written.
final class CollectingSink: ByteSink, CreditedSink, @unchecked Sendable {
  private let lock = Lock()
  private var held: [UInt8] = []
  private var consumed = 0
  private var body: (@Sendable () -> Void)?
  private let capacity: Int
  private var overfilled = false

  init(capacity: Int = .max) { self.capacity = capacity }

  var bytes: [UInt8] { lock.withLock { held } }
  /// True when more was ever appended than there was room for.
  var wasOverfilled: Bool { lock.withLock { overfilled } }
  var room: Int { lock.withLock { capacity - (held.count - consumed) } }

  func write(_ bytes: Span<UInt8>) { append(bytes) }

  func append(_ bytes: Span<UInt8>) {
    lock.withLock {
      for index in 0..<bytes.count { held.append(bytes[index]) }
      if held.count - consumed > capacity { overfilled = true }
    }
  }

  func onRoom(_ body: @escaping @Sendable () -> Void) { lock.withLock { self.body = body } }

  /// Makes room as a reader of `count` bytes would; returns how many there were.
  func consume(_ count: Int) -> Int {
    let (taken, body) = lock.withLock {
      let taken = min(count, held.count - consumed)
      consumed += taken
      return (taken, self.body)
    }
    if taken > 0, let body { body() }
    return taken
  }
}

/// Counts rings, and lets a guest wait for one.
final class FakeDoorbell: Doorbell, @unchecked Sendable {
  let request = InterruptRequest()
  var rings: Int { request.edges }
  func ring() { request.raise() }
}

/// Keeps the events of a payload.
final class EventLog: PayloadClient, @unchecked Sendable {
  private let lock = Lock()
  private var held: [PayloadEvent] = []
  private var inputs = 0
  var onInput: (@Sendable () -> Void)?

  var events: [PayloadEvent] { lock.withLock { held } }
  var inputCalls: Int { lock.withLock { inputs } }

  func payload(_ event: PayloadEvent) { lock.withLock { held.append(event) } }
  func payloadTakesInput() {
    lock.withLock { inputs += 1 }
    onInput?()
  }
}

/// Whether a deadline has passed, and who ends the waiting then.
struct Deadline {
  private let end: UInt64
  init(seconds: Double) { end = Clock.now() + UInt64(seconds * 1e9) }
  var passed: Bool { Clock.now() >= end }
}

func mutableBytes(_ count: Int, _ body: (inout MutableSpan<UInt8>) -> Void) -> [UInt8] {
  // Poison, so that a device that leaves bytes alone is noticed.
  var bytes = [UInt8](repeating: 0xA5, count: count)
  var span = bytes.mutableSpan
  body(&span)
  return bytes
}

extension [UInt8] {
  init(littleEndian value: UInt32) { self = (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) } }

  var littleEndian32: UInt32 { prefix(4).enumerated().reduce(0) { $0 | UInt32($1.element) << UInt32(8 * $1.offset) } }

  /// FNV-1a, to compare floods.
  var checksum: UInt64 { reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 } }
}
