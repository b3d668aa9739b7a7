import CLinux
import System
import Testing

@testable import Devices

/// A guest with one processor whose driver is Linux's, flooded from both sides by threads.
private final class FloodedGuest: @unchecked Sendable {
  let line = InterruptRequest()
  let output: any ByteSink
  let port: Serial16550
  let driver: LinuxUART
  private let lock = Lock()
  private let roomMade = Condition()
  private var hasRoom = false

  init(output: any ByteSink) {
    self.output = output
    port = Serial16550(interrupt: line, output: output)
    driver = LinuxUART(port)
    port.onReceiveSpace { [self] in
      lock.withLock { hasRoom = true }
      roomMade.broadcast()
    }
  }

  /// Feeds `bytes` in random pieces; waits for the call when refused, and only then.
  func feed(_ bytes: [UInt8], seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var done = 0
    while done < bytes.count {
      let length = min(Int.random(in: 1...6000, using: &random), bytes.count - done)
      let accepted = port.give(Array(bytes[done..<done + length]))
      done += accepted
      if accepted < length {
        lock.withLock {
          while !hasRoom { roomMade.wait(lock) }
          hasRoom = false
        }
      }
    }
  }
}

@Suite("16550A floods", .timeLimit(.minutes(2)))
struct SerialFloodTests {
  @Test(
    "both directions at once, with printk and re-opening in between: nothing lost, doubled or reordered",
    arguments: [11, 12, 13] as [UInt64])
  func bothDirections(seed: UInt64) throws {
    let guest = FloodedGuest(output: CollectingSink())
    var random = SeededGenerator(seed: seed)
    let input = random.bytes(300_000)
    let sent = random.bytes(200_000)
    let feeder = try System.Thread { guest.feed(input, seed: seed + 100) }
    let driver = guest.driver
    #expect(driver.autoconfig() == .uart16550A)
    driver.startup()
    var handed = 0
    let deadline = Deadline(seconds: 60)
    while driver.received.count < input.count || handed < sent.count || !driver.toSend.isEmpty {
      if deadline.passed { break }
      if handed < sent.count && driver.toSend.count < 2000 {
        let length = min(Int.random(in: 1...3000, using: &random), sent.count - handed)
        driver.startTransmit(Array(sent[handed..<handed + length]))
        handed += length
      }
      // printk's text goes between the tty's; an empty one has the same register accesses.
      if Int.random(in: 0..<50, using: &random) == 0 { driver.consoleWrite([]) }
      if Int.random(in: 0..<200, using: &random) == 0 && driver.toSend.isEmpty {
        driver.shutdown()
        driver.startup()
      }
      if guest.line.take() { driver.handleInterrupt() }
    }
    let collected = try #require(guest.output as? CollectingSink).bytes
    try #require(driver.received.count == input.count)
    feeder.join()
    #expect(driver.received.checksum == input.checksum)
    #expect(collected.count == sent.count)
    #expect(collected.checksum == sent.checksum)
    #expect(driver.worstPasses < 256, "Linux would complain of too much work for the interrupt")
  }

  @Test("a guest that only ever acts on an interrupt is never left waiting")
  func interruptDriven() throws {
    let guest = FloodedGuest(output: CollectingSink())
    var random = SeededGenerator(seed: 21)
    let input = random.bytes(400_000)
    guest.driver.startup()
    // If an edge is lost, both threads wait for ever; the watchdog ends the processor's wait then, and the test.
    let finished = InterruptRequest()
    let processor = try System.Thread {
      while guest.driver.received.count < input.count && guest.line.wait() { guest.driver.handleInterrupt() }
      finished.raise()
    }
    let feeder = try System.Thread { guest.feed(input, seed: 22) }
    let deadline = Deadline(seconds: 60)
    while finished.edges == 0 && !deadline.passed { usleep(1000) }
    guest.line.stop()
    processor.join()
    try #require(guest.driver.received.count == input.count)
    feeder.join()
    #expect(guest.driver.received.checksum == input.checksum)
    #expect(guest.driver.worstPasses < 256)
  }
}
