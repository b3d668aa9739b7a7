import GuestMemory
import System
import TestSupport
import Testing

@testable import Virtio

/// Rewrites one descriptor for ever: good and bad in turn.
private final class Flipper: @unchecked Sendable {
  private let memory: GuestRAM
  private let address: UInt64
  private let words: [UInt64]
  private let lock = Lock()
  private var stopping = false

  init(_ memory: GuestRAM, address: UInt64, words: [UInt64]) {
    self.memory = memory
    self.address = address
    self.words = words
  }

  func stop() { lock.withLock { stopping = true } }

  func run() {
    while !lock.withLock({ stopping }) {
      for _ in 0..<16 { for word in words { try? memory.store64(GuestAddress(address), word) } }
    }
  }
}

/// A field of a chain that changes between what is allowed and what is not.
struct FlippedField: CustomTestStringConvertible, Sendable {
  let name: String
  let address: UInt64
  let words: [UInt64]
  /// What the device may find when it reads the bad one.
  let error: QueueError
  var testDescription: String { name }
}

private let write = UInt64(QueueDriver.write) << 32
private let flippedFields: [FlippedField] = [
  FlippedField(
    name: "a buffer's address", address: QueueDriver.descriptors, words: [0x8000, FakeGuest.lowEnd],
    error: .bufferOutsideRAM(GuestAddress(FakeGuest.lowEnd), 64)),
  FlippedField(
    name: "a buffer's length", address: QueueDriver.descriptors + 8, words: [64 | write, 0xFFFF_FFFF | write],
    error: .bufferOutsideRAM(GuestAddress(0x8000), 0xFFFF_FFFF)),
  FlippedField(
    name: "a loop", address: QueueDriver.descriptors + 8,
    words: [64 | write, 64 | write | UInt64(QueueDriver.next) << 32], error: .chainTooLong),
  FlippedField(
    name: "a head", address: QueueDriver.available + 8 + 0, words: [0, 0x0040_0040_0040_0040],
    error: .headOutOfRange(64)),
  FlippedField(
    name: "an indirect table", address: QueueDriver.descriptors + 8,
    words: [64 | write, 24 | UInt64(QueueDriver.indirect) << 32], error: .indirectLength(24)),
]

@Suite("Guests that change what the device is looking at")
struct RaceTests {
  @Test("each request is served as one of those that were written, or refused", arguments: flippedFields)
  func flipped(_ field: FlippedField) throws {
    let guest = try FakeGuest()
    let driver = try QueueDriver(
      device: Entropy(memory: guest.memory), memory: guest.memory, features: Features.indirect)
    driver.describe(0, 0x8000, 64, QueueDriver.write)
    try guest.remember()
    let flipper = Flipper(guest.memory, address: field.address, words: field.words)
    let thread = try Thread { flipper.run() }
    let counts = offer(driver, field)
    flipper.stop()
    thread.join()
    #expect(counts.served > 0)
    #expect(counts.refused > 0)
    #expect(try guest.firstChange(outside: [QueueDriver.rings, 0x8000..<0x8040]) == nil)
  }

  /// Offers descriptor 0 until both outcomes were seen often, or for five seconds.
  private func offer(_ driver: QueueDriver, _ field: FlippedField) -> (served: Int, refused: Int) {
    var served = 0
    var refused = 0
    let deadline = Clock.now() + 5_000_000_000
    while served < 200 || refused < 20, Clock.now() < deadline {
      driver.offer(0)
      driver.kick()
      if let used = driver.takeUsed() {
        served += 1
        // A loop that was opened while the device went round it has written the buffer several times.
        if used.head == 0, used.written == 64 || field.error == .chainTooLong && used.written % 64 == 0 { continue }
        Issue.record("\(used)")
        break
      }
      refused += 1
      if driver.transport.failure != field.error {
        Issue.record("\(String(describing: driver.transport.failure))")
        break
      }
      driver.negotiate(Features.version1 | Features.indirect)
      driver.nextAvailable = 0
      driver.nextUsed = 0
      driver.setAvailableIndex(0)
      try? driver.memory.zero(GuestAddress(QueueDriver.used), count: 4)
      driver.setUpQueue(size: UInt32(driver.size))
      driver.store(Registers.status, 0xf)
    }
    return (served, refused)
  }
}
