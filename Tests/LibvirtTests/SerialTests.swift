import Devices
import Foundation
import Glibc
import System
import Testing

@testable import Libvirt

private final class Sink: CreditedSink, @unchecked Sendable {
  private(set) var bytes: [UInt8] = []
  var capacity: Int
  var body: (@Sendable () -> Void)?

  init(capacity: Int) { self.capacity = capacity }
  var room: Int { capacity - bytes.count }
  func append(_ span: Span<UInt8>) { for index in span.indices { bytes.append(span[index]) } }
  func onRoom(_ body: @escaping @Sendable () -> Void) { self.body = body }
  func grow(to capacity: Int) {
    self.capacity = capacity
    body?()
  }
}

private final class Client: PayloadClient, @unchecked Sendable {
  private(set) var events: [PayloadEvent] = []
  func payload(_ event: PayloadEvent) { events.append(event) }
  func payloadTakesInput() {}
}

/// A guest at the other end of the line, with as little buffer as the kernel gives a socket.
private final class Guest {
  let loop: EventLoop
  let port: PayloadPort
  let channel: PayloadChannel
  let output: Sink
  let errors = Sink(capacity: 1 << 20)
  let client = Client()
  let line: FileDescriptor
  let stream: SerialStream

  init(capacity: Int) throws {
    var ends: [Int32] = [-1, -1]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
    var size: Int32 = 1
    for end in ends {
      setsockopt(end, SOL_SOCKET, SO_SNDBUF, &size, 4)
      setsockopt(end, SOL_SOCKET, SO_RCVBUF, &size, 4)
    }
    loop = try EventLoop()
    port = PayloadPort {}
    output = Sink(capacity: capacity)
    channel = PayloadChannel(output: output, errors: errors, doorbell: port, client: client)
    line = FileDescriptor(owning: ends[0])
    stream = try SerialStream(descriptor: FileDescriptor(owning: ends[1]), loop: loop, client: port)
    port.join(channel, stream)
    stream.resume()
  }

  func turn(_ times: Int = 4) throws { for _ in 0..<times { try loop.runOnce(timeoutMilliseconds: 0) } }

  /// Writes as much as the line takes; returns how much.
  func write(_ bytes: ArraySlice<UInt8>) -> Int {
    let count = Array(bytes).withUnsafeBytes { Glibc.write(line.rawValue, $0.baseAddress, $0.count) }
    return max(0, count)
  }

  func send(_ bytes: [UInt8]) throws {
    var done = 0
    var idle = 0
    while done < bytes.count, idle < 100 {
      let count = write(bytes[done...])
      idle = count == 0 ? idle + 1 : 0
      done += count
      try turn(1)
    }
    #expect(done == bytes.count)
    try turn()
  }

  func read() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = bytes.withUnsafeMutableBytes { Glibc.read(line.rawValue, $0.baseAddress, $0.count) }
    return Array(bytes[..<max(0, count)])
  }

  static func frame(_ type: UInt8, _ payload: [UInt8]) -> [UInt8] {
    let count = UInt32(payload.count)
    return [type, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } + payload
  }

  static let hello = frame(1, [1, 0, 0, 0])
}

/// The payload channel over a serial line.
@Suite(.serialized) struct SerialTests {
  @Test func outputArrivesWholeThroughSmallBuffers() throws {
    let guest = try Guest(capacity: 1 << 22)
    let data = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    try guest.send(Guest.hello + Guest.frame(4, []))
    for start in stride(from: 0, to: data.count, by: 60_000) {
      try guest.send(Guest.frame(2, Array(data[start..<min(data.count, start + 60_000)])))
    }
    try guest.send(Guest.frame(3, [65]) + Guest.frame(5, [0, 0, 0, 0, 7, 0, 0, 0]))
    #expect(guest.output.bytes == data && guest.errors.bytes == [65])
    #expect(guest.client.events == [.hello, .started, .exited(code: 7)])
  }

  @Test func aFullSinkMakesTheGuestWait() throws {
    let guest = try Guest(capacity: 20_000)
    try guest.send(Guest.hello + Guest.frame(4, []))
    let data = Guest.frame(2, [UInt8](repeating: 9, count: 60_000))
    var done = 0
    for _ in 0..<200 {
      done += guest.write(data[done...])
      try guest.turn(1)
    }
    // What the sink has no room for stays in the line.
    #expect(guest.output.bytes.count <= 20_000 && done < data.count)
    #expect(!guest.client.events.contains { if case .violated = $0 { true } else { false } })
    guest.output.grow(to: 1 << 20)
    try guest.turn()
    try guest.send(Array(data[done...]))
    #expect(guest.output.bytes.count == 60_000)
  }

  @Test func nothingIsSentBeforeTheGuestHasSpoken() throws {
    let guest = try Guest(capacity: 1 << 20)
    #expect(guest.channel.send(windowSize: WindowSize(rows: 1, columns: 2)))
    try guest.turn(8)
    #expect(guest.read() == [])
    try guest.send(Guest.hello)
    #expect(guest.read() == Guest.frame(0x84, [1, 0, 2, 0, 0, 0, 0, 0]))
  }

  @Test func inputGoesAsFarAsItWasGranted() throws {
    let guest = try Guest(capacity: 1 << 20)
    try guest.send(Guest.hello + Guest.frame(4, []) + Guest.frame(7, [0, 0x40, 0, 0]))
    #expect(guest.channel.inputRoom == 0x4000)
    let data = (0..<0x4000).map { UInt8(truncatingIfNeeded: $0 >> 4) }
    guest.channel.takeInput(data.span)
    guest.channel.endInput()
    var received: [UInt8] = []
    for _ in 0..<200 {
      try guest.turn(1)
      received += guest.read()
    }
    #expect(received == Guest.frame(0x81, data) + Guest.frame(0x82, []))
    #expect(guest.channel.inputRoom == 0)
  }

  @Test func rubbishEndsTheChannel() throws {
    let guest = try Guest(capacity: 1 << 20)
    try guest.send(Array("8250: ttyS1\r\n".utf8))
    guard case .violated? = guest.client.events.first else { return #expect(Bool(false), "\(guest.client.events)") }
    #expect(guest.output.bytes.isEmpty)
  }

  @Test func aHangUpIsNoticedOnce() throws {
    let guest = try Guest(capacity: 1 << 20)
    try guest.send(Guest.hello)
    shutdown(guest.line.rawValue, Int32(SHUT_RDWR))
    try guest.turn(8)
    #expect(guest.stream.isClosed)
  }

  @Test func onlyThoseWhoMayConnect() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("vmrun-\(getpid())-s").path
    mkdir(folder, 0o700)
    defer { clean(folder) }
    let loop = try EventLoop()
    let console = ConsolePort(output: nil)
    var asked = 0
    let stream = try SerialStream(path: folder + "/line", isShared: false, loop: loop, client: console) { user in
      asked += 1
      return asked > 1 && user == geteuid()
    }
    #expect(Rung.answers(folder + "/line"))
    try loop.runOnce(timeoutMilliseconds: 100)
    #expect(!stream.isConnected && asked == 1)
    #expect(Rung.answers(folder + "/line"))
    try loop.runOnce(timeoutMilliseconds: 100)
    #expect(stream.isConnected && stream.peer?.process == getpid())
    // Nobody else gets in.
    #expect(!Rung.answers(folder + "/line"))
  }

  private func clean(_ folder: String) { try? FileManager.default.removeItem(atPath: folder) }

  @Test func consoleInputWaitsForTheKernel() throws {
    let console = ConsolePort(output: nil)
    #expect(console.inputRoom == 0)
    let early = Array("[ 0.1] Run /sbin/".utf8)
    console.serial(received: early.span)
    #expect(console.inputRoom == 0)
    let words = Array("init as init process\n".utf8)
    console.serial(received: words.span)
    #expect(console.inputRoom > 0)
  }
}
