import GuestProtocol
import Testing

@testable import GuestInit

/// A host with exact credit, in memory.
private final class FakeTransport: ChannelTransport {
  var credits: [Int] = []
  var sent: [UInt8] = []
  var incoming: [[UInt8]] = []
  var looks = 0
  var allowed = 0
  var phases: [Phase] = []
  let doorbell: Int32 = -1

  func credit() -> Int {
    looks += 1
    allowed = credits.isEmpty ? 0 : credits.removeFirst()
    return allowed
  }

  func send(_ bytes: UnsafeRawBufferPointer) {
    #expect(bytes.count <= allowed, "more was sent than the host allowed")
    allowed -= bytes.count
    sent.append(contentsOf: bytes)
  }

  func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    guard !incoming.isEmpty else { return 0 }
    let piece = incoming.removeFirst()
    buffer.copyBytes(from: piece)
    return piece.count
  }

  func silenceDoorbell() {}
  var wantsOutput: Bool { false }
  func settle() {}
  let inputWindow = 1 << 10
  func mark(_ phase: Phase) { phases.append(phase) }
}

private final class Collector: FrameReceiver {
  var data: [UInt8] = []
  var messages: [[UInt8]] = []
  func receive(data piece: UnsafeRawBufferPointer, kind: FrameKind) { data.append(contentsOf: piece) }
  func receive(message: [UInt8], kind: FrameKind) throws(ProtocolError) { messages.append([kind.rawValue] + message) }
}

@Suite("Channel")
struct ChannelTests {
  @Test("messages go out in pieces as the host gives credit, and in order")
  func credit() {
    let transport = FakeTransport()
    let channel = Channel(transport)
    transport.credits = [3, 0]
    channel.send(.exited(code: 7))
    #expect(transport.sent == [5, 0, 0])
    #expect(!channel.isDrained)
    transport.credits = [0]
    channel.send(.started)
    transport.credits = [10, 4, 100]
    channel.flush()
    #expect(channel.isDrained)
    #expect(transport.sent == [5, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0] + [4, 0, 0, 0, 0, 0, 0, 0])
  }

  @Test("the host is asked for credit once for many small frames")
  func economy() {
    let transport = FakeTransport()
    let channel = Channel(transport)
    transport.credits = [1000]
    for _ in 0..<100 { channel.send(.started) }
    #expect(transport.looks == 1)
    #expect(transport.sent.count == 800)
  }

  @Test("frames are found however the stream is cut", arguments: 1...25)
  func cuts(_ size: Int) throws {
    var stream: [UInt8] = []
    HostMessage.signal(15).encode(into: &stream)
    stream += [0x81, 0, 0, 0, 5, 0, 0, 0] + Array("hello".utf8)
    stream += [0x81, 0, 0, 0, 0, 0, 0, 0]
    HostMessage.windowSize(WindowSize(rows: 1, columns: 2, xPixels: 3, yPixels: 4)).encode(into: &stream)
    HostMessage.stdinEnd.encode(into: &stream)
    let transport = FakeTransport()
    transport.incoming = stride(from: 0, to: stream.count, by: size).map {
      Array(stream[$0..<min($0 + size, stream.count)])
    }
    let collector = Collector()
    try Channel(transport).receive(collector)
    #expect(collector.data == Array("hello".utf8))
    #expect(collector.messages == [[0x83, 15, 0, 0, 0], [0x84, 1, 0, 2, 0, 3, 0, 4, 0], [0x82]])
  }
}
