import CLinux
import System
import Testing

@testable import Devices

/// Plays init: writes and reads the streams, and sleeps for the bell whenever it can do neither. If a ring is lost it
/// sleeps for ever.
private final class FakeInit: @unchecked Sendable {
  let channel: PayloadChannel
  let bell: FakeDoorbell
  private(set) var received: [UInt8] = []
  private(set) var sleeps = 0
  private(set) var lost = false

  init(_ channel: PayloadChannel, _ bell: FakeDoorbell) {
    self.channel = channel
    self.bell = bell
  }

  func run(send stream: [UInt8], receive inputCount: Int) {
    var rest = stream[...]
    var raw: [UInt8] = []
    var granted = 0
    var consumed = 0
    var outgoing: [UInt8] = hello
    while true {
      var progressed = false
      let available = Int(channel.inl(4))
      if available > 0 {
        raw += channel.insb(min(available, 4096))
        progressed = true
        consumed = payloadCount(raw)
        if granted - consumed < 2000 && granted < inputCount {
          outgoing += frame(7, [UInt8](littleEndian: 5000))
          granted += 5000
        }
      }
      if granted == 0 {
        outgoing += frame(7, [UInt8](littleEndian: 5000))
        granted = 5000
      }
      if outgoing.isEmpty && !rest.isEmpty {
        let part = Array(rest.prefix(3000))
        rest = rest.dropFirst(part.count)
        outgoing = frame(2, part)
      }
      if !outgoing.isEmpty {
        let length = min(Int(channel.inl(8)), outgoing.count, 4096)
        if length > 0 {
          channel.out(Array(outgoing.prefix(length)))
          outgoing.removeFirst(length)
          progressed = true
        }
      }
      if outgoing.isEmpty && rest.isEmpty && consumed >= inputCount { break }
      if !progressed {
        sleeps += 1
        if !bell.request.wait() {
          lost = true
          break
        }
      }
    }
    received = (hostFrames(raw) ?? []).flatMap { $0.type == 0x81 ? $0.payload : [] }
  }

  /// Bytes of standard input in the whole frames of `raw`. Counted anew each time: a test may be slow.
  private var position = 0
  private var counted = 0
  private func payloadCount(_ raw: [UInt8]) -> Int {
    while raw.count - position >= 8 {
      let length = Int(Array(raw[position + 4..<position + 8]).littleEndian32)
      if raw.count - position < 8 + length { break }
      counted += length
      position += 8 + length
    }
    return counted
  }
}

@Suite("Payload channel doorbell", .timeLimit(.minutes(2)))
struct PayloadDoorbellTests {
  @Test(
    "a guest that sleeps for the bell whenever it is stuck gets everything through, both ways",
    arguments: [31, 32, 33] as [UInt64])
  func lostWakeups(seed: UInt64) throws {
    let output = CollectingSink(capacity: 6000)
    let errors = CollectingSink(capacity: 6000)
    let bell = FakeDoorbell()
    let log = EventLog()
    let channel = PayloadChannel(output: output, errors: errors, doorbell: bell, client: log)
    let roomy = InterruptRequest()
    log.onInput = { roomy.raise() }
    var random = SeededGenerator(seed: seed)
    let sent = random.bytes(1_000_000)
    let input = random.bytes(300_000)
    let guest = FakeInit(channel, bell)
    let stopped = InterruptRequest()
    let finished = InterruptRequest()

    let processor = try System.Thread {
      guest.run(send: sent, receive: input.count)
      finished.raise()
    }
    let reader = try System.Thread {
      var random = SeededGenerator(seed: seed + 1)
      while stopped.edges == 0 {
        if output.consume(Int.random(in: 1...9000, using: &random)) == 0 { usleep(10) }
      }
    }
    let writer = try System.Thread {
      var random = SeededGenerator(seed: seed + 2)
      var done = 0
      while done < input.count {
        let room = channel.inputRoom
        if room == 0 {
          if !roomy.wait() { return }
          continue
        }
        let length = min(room, input.count - done, Int.random(in: 1...3000, using: &random))
        channel.give(Array(input[done..<done + length]))
        done += length
      }
      channel.endInput()
    }
    let deadline = Deadline(seconds: 60)
    while finished.edges == 0 && !deadline.passed { usleep(1000) }
    bell.request.stop()
    roomy.stop()
    processor.join()
    stopped.raise()
    reader.join()
    writer.join()
    #expect(!guest.lost, "the bell did not ring for a guest that waited for it")
    #expect(guest.sleeps > 0, "the guest never had to wait: nothing was tested")
    #expect(output.bytes.count == sent.count)
    #expect(output.bytes.checksum == sent.checksum)
    #expect(guest.received.count == input.count)
    #expect(guest.received.checksum == input.checksum)
    #expect(!output.wasOverfilled)
    #expect(log.events == [.hello])
  }
}
