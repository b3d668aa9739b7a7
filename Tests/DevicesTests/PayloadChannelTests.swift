import System
import Testing

@testable import Devices

@Suite("Payload channel", .timeLimit(.minutes(1)))
struct PayloadChannelTests {
  private let output = CollectingSink(capacity: 256 << 10)
  private let errors = CollectingSink(capacity: 256 << 10)
  private let bell = FakeDoorbell()
  private let log = EventLog()
  private let channel: PayloadChannel

  init() { channel = PayloadChannel(output: output, errors: errors, doorbell: bell, client: log) }

  @Test("magic, credit, nothing available, floating ports")
  func ports() {
    #expect(channel.inl(0xC) == 0x316E_7276)
    #expect(channel.inl(8) == 256 << 10)
    #expect(channel.inl(4) == 0)
    #expect(channel.insb(3) == [0, 0, 0])
    #expect(channel.inl(0) == .max)
    channel.write(offset: 2, [1, 2, 3].span)
    channel.write(offset: 8, [1, 2, 3, 4].span)
    #expect(log.events.isEmpty)
  }

  @Test("a whole run, in pieces of any size", arguments: [1, 2, 3, 7, 8, 9, 100, 4096])
  func wholeRun(piece: Int) {
    var random = SeededGenerator(seed: UInt64(piece))
    let out = random.bytes(9000)
    let err = random.bytes(700)
    var stream = hello + frame(7, [UInt8](littleEndian: 100)) + frame(4)
    stream += frame(2, Array(out[..<5000])) + frame(3, err) + frame(2, []) + frame(2, Array(out[5000...]))
    stream += frame(5, [UInt8](littleEndian: 0) + [UInt8](littleEndian: 7))
    stream += frame(2, [1, 2, 3])
    var done = 0
    while done < stream.count {
      let end = min(done + piece, stream.count)
      channel.lookAndOut(Array(stream[done..<end]))
      done = end
    }
    #expect(output.bytes == out)
    #expect(errors.bytes == err)
    #expect(log.events == [.hello, .started, .exited(code: 7)])
    #expect(channel.inputRoom == 100)
  }

  @Test(
    "how a command ends",
    arguments: [
      (frame(5, [0, 0, 0, 0, 255, 0, 0, 0]), .exited(code: 255)),
      (frame(5, [1, 0, 0, 0, 15, 0, 0, 0]), .killed(signal: 15)),
      (frame(6, [127, 0, 0, 0] + Array("sh: not found".utf8)), .failed(code: 127, message: "sh: not found")),
      (frame(6, [126, 0, 0, 0]), .failed(code: 126, message: "")),
      (
        frame(6, [125, 0, 0, 0] + Array("a\u{1B}[31m\0\u{9B}b\r\n".utf8) + [0xFF]),
        .failed(code: 125, message: "a?[31m??b\n\u{FFFD}")
      ),
    ] as [([UInt8], PayloadEvent)])
  func endings(bytes: [UInt8], event: PayloadEvent) {
    channel.lookAndOut(hello + bytes)
    #expect(log.events == [.hello, event])
  }

  @Test("standard input keeps to the window, then its end, with signals and sizes in order")
  func input() {
    #expect(channel.inputRoom == 0)
    channel.lookAndOut(hello + frame(7, [UInt8](littleEndian: 10)))
    #expect(log.inputCalls == 1)
    #expect(channel.inputRoom == 10)
    channel.give([1, 2, 3, 4])
    #expect(bell.rings == 1)
    #expect(channel.send(signal: 15))
    channel.give([5, 6, 7, 8, 9, 10])
    #expect(channel.inputRoom == 0)
    #expect(channel.send(windowSize: WindowSize(rows: 24, columns: 0x150, widthPixels: 1, heightPixels: 2)))
    channel.endInput()
    channel.endInput()
    #expect(bell.rings == 1, "the stream was never empty in between")
    channel.lookAndOut(frame(7, [UInt8](littleEndian: 50)))
    #expect(channel.inputRoom == 0, "the input has ended")
    let available = Int(channel.inl(4))
    let stream = channel.insb(available)
    #expect(
      hostFrames(stream) == [
        HostFrame(type: 0x81, payload: [1, 2, 3, 4]), HostFrame(type: 0x83, payload: [15, 0, 0, 0]),
        HostFrame(type: 0x81, payload: [5, 6, 7, 8, 9, 10]),
        HostFrame(type: 0x84, payload: [24, 0, 0x50, 1, 1, 0, 2, 0]), HostFrame(type: 0x82, payload: []),
      ])
    #expect(channel.inl(4) == 0)
    #expect(channel.send(signal: 2))
    #expect(bell.rings == 2)
  }

  @Test("a window however large never makes the host hold more than it should")
  func hugeWindow() {
    channel.lookAndOut(hello)
    for _ in 0..<1000 { channel.lookAndOut(frame(7, [255, 255, 255, 255])) }
    let room = channel.inputRoom
    #expect(room > 0 && room <= 64 << 10)
    channel.give([UInt8](repeating: 1, count: room))
    #expect(channel.inputRoom == 0)
    let before = log.inputCalls
    _ = channel.insb(1000)
    #expect(log.inputCalls == before, "half a buffer at a time")
    _ = channel.insb(40_000)
    #expect(log.inputCalls == before + 1)
    // A guest that stops reading is refused signals in the end.
    var sent = 0
    while sent < 100_000 && channel.send(signal: 1) { sent += 1 }
    #expect(sent < 20_000)
    #expect(!channel.send(windowSize: WindowSize(rows: 1, columns: 1)))
  }

  @Test("credit is the room of the fuller sink, and its bell rings once when low credit is high again")
  func credit() {
    channel.lookAndOut(hello + frame(3, [UInt8](repeating: 1, count: 65536)))
    #expect(channel.inl(8) == (256 - 64) << 10)
    for _ in 0..<3 { channel.lookAndOut(frame(2, [UInt8](repeating: 2, count: 65536))) }
    #expect(channel.inl(8) == 64 << 10)
    _ = output.consume(65536)
    #expect(bell.rings == 0, "credit was not low at the last look")
    channel.lookAndOut(frame(2, [UInt8](repeating: 2, count: 65536)))
    channel.lookAndOut(frame(2, [UInt8](repeating: 2, count: 4096)))
    #expect(channel.inl(8) == 60 << 10)
    _ = errors.consume(65536)
    #expect(bell.rings == 0)
    _ = output.consume(1000)
    #expect(bell.rings == 0)
    _ = output.consume(5000)
    #expect(bell.rings == 1)
    _ = output.consume(100_000)
    #expect(bell.rings == 1)
    #expect(!output.wasOverfilled)
  }

  @Test("one sink for both streams keeps their order")
  func oneSink() {
    let both = CollectingSink(capacity: 1000)
    let channel = PayloadChannel(output: both, errors: both, doorbell: bell, client: log)
    channel.lookAndOut(hello + frame(2, [1]) + frame(3, [2]) + frame(2, [3]))
    #expect(both.bytes == [1, 2, 3])
  }
}
