import System
import Testing

@testable import Devices

@Suite("Payload channel against a hostile guest", .timeLimit(.minutes(1)))
struct PayloadHostileTests {
  private let output = CollectingSink(capacity: 256 << 10)
  private let errors = CollectingSink(capacity: 256 << 10)
  private let log = EventLog()
  private let channel: PayloadChannel

  init() { channel = PayloadChannel(output: output, errors: errors, doorbell: FakeDoorbell(), client: log) }

  @Test(
    "each breach ends the stream and says how",
    arguments: [
      ([0, 0, 0, 0, 0, 0, 0, 0], "unknown frame type 0"),
      (hello + frame(8), "unknown frame type 8"),
      (hello + frame(0x81), "unknown frame type 129"),
      (hello + frame(255), "unknown frame type 255"),
      (hello + [2, 1, 0, 0, 0, 0, 0, 0], "frame type 2 with flags set"),
      (hello + [2, 0, 0, 1, 0, 0, 0, 0], "frame type 2 with flags set"),
      (hello + [2, 0, 0, 0, 1, 0, 1, 0], "frame type 2 of 65537 bytes"),
      (hello + [2, 0, 0, 0, 255, 255, 255, 255], "frame type 2 of 4294967295 bytes"),
      (hello + [6, 0, 0, 0, 255, 255, 255, 127], "frame type 6 of 2147483647 bytes"),
      (hello + frame(6, [125, 0, 0]), "frame type 6 of 3 bytes"),
      (hello + frame(6, [0, 0, 0, 0]), "failure with exit code 0"),
      (hello + frame(6, [128, 0, 0, 0]), "failure with exit code 128"),
      (hello + frame(5, [0, 0, 0, 0]), "frame type 5 of 4 bytes"),
      (hello + frame(5, [0, 0, 0, 0, 0, 1, 0, 0]), "exit of kind 0 with value 256"),
      (hello + frame(5, [1, 0, 0, 0, 0, 0, 0, 0]), "exit of kind 1 with value 0"),
      (hello + frame(5, [1, 0, 0, 0, 65, 0, 0, 0]), "exit of kind 1 with value 65"),
      (hello + frame(5, [2, 0, 0, 0, 0, 0, 0, 0]), "exit of kind 2 with value 0"),
      (hello + frame(5, [UInt8](repeating: 255, count: 8)), "exit of kind 4294967295 with value 4294967295"),
      (hello + frame(4, [0]), "frame type 4 of 1 bytes"),
      (hello + frame(4) + frame(4), "the command started twice"),
      (hello + hello, "a second greeting"),
      (hello + frame(7, []), "frame type 7 of 0 bytes"),
      (frame(2, [1]), "frame type 2 before the greeting"),
      (frame(4), "frame type 4 before the greeting"),
      (frame(1, [2, 0, 0, 0]), "its version is 2, vmrun's 1"),
      (frame(1, []), "frame type 1 of 0 bytes"),
    ] as [([UInt8], String)])
  func table(bytes: [UInt8], text: String) {
    channel.lookAndOut(bytes)
    #expect(log.events.last == .violated(text))
    let events = log.events
    // Nothing counts any more, and nothing is told twice.
    channel.lookAndOut(hello + frame(2, [1, 2, 3]) + frame(5, [UInt8](repeating: 0, count: 8)))
    #expect(log.events == events)
    #expect(output.bytes.isEmpty)
  }

  @Test("writing without a look, or more than the last look allowed, breaks the protocol")
  func beyondCredit() {
    channel.out(hello)
    #expect(log.events == [.violated("wrote 12 bytes with 0 bytes of credit")])

    let small = CollectingSink(capacity: 100)
    let second = EventLog()
    let other = PayloadChannel(output: small, errors: errors, doorbell: FakeDoorbell(), client: second)
    #expect(other.inl(8) == 100)
    other.out(hello + frame(2, [UInt8](repeating: 1, count: 70)))
    // Room that came after the look is no credit before the next look.
    _ = small.consume(70)
    other.out(frame(2, [1, 2, 3]))
    #expect(
      second.events == [
        .hello, .violated("wrote 11 bytes with 10 bytes of credit"),
      ])
    #expect(!small.wasOverfilled)
  }

  @Test("a stream of empty writes and empty frames costs nothing")
  func empty() {
    channel.lookAndOut(hello)
    for _ in 0..<10_000 {
      channel.out([])
      channel.lookAndOut(frame(2, []))
    }
    #expect(log.events == [.hello])
  }

  @Test("seeded noise: valid frames, broken at random", arguments: 1...40 as ClosedRange<UInt64>)
  func fuzz(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<60 {
      let output = CollectingSink(capacity: 8192)
      let errors = CollectingSink(capacity: 4096)
      let log = EventLog()
      let channel = PayloadChannel(output: output, errors: errors, doorbell: FakeDoorbell(), client: log)
      var stream = Bool.random(using: &random) ? hello : []
      for _ in 0..<Int.random(in: 0...12, using: &random) {
        let length = Int.random(in: 0...(Bool.random(using: &random) ? 8 : 300), using: &random)
        stream += frame(UInt8.random(in: 1...8, using: &random), random.bytes(length))
      }
      for _ in 0..<Int.random(in: 0...4, using: &random) where !stream.isEmpty {
        stream[Int.random(in: 0..<stream.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      var rest = stream[...]
      while !rest.isEmpty {
        let honest = Int.random(in: 0..<50, using: &random) != 0
        let credit = Int(channel.inl(8))
        let length = min(rest.count, honest ? min(credit, 200) : 5000)
        channel.out(Array(rest.prefix(length)))
        rest = rest.dropFirst(length)
        _ = output.consume(Int.random(in: 0...400, using: &random))
        _ = errors.consume(Int.random(in: 0...400, using: &random))
        if channel.inputRoom > 0 { channel.give(random.bytes(min(channel.inputRoom, 5))) }
        channel.send(signal: 1)
        _ = channel.insb(Int.random(in: 0...50, using: &random))
        if length == 0 && output.room == 8192 && errors.room == 4096 { break }
      }
      #expect(!output.wasOverfilled && !errors.wasOverfilled)
      let endings = log.events.filter { $0 != .hello && $0 != .started }
      #expect(endings.count <= 1)
      #expect(log.events.prefix(1).allSatisfy { $0 == .hello || endings == [$0] })
    }
  }
}
