import CLinux
import System
import Testing

@testable import Devices

/// Takes bytes up to a limit that the test moves.
private final class FakeConsumer: InputConsumer, @unchecked Sendable {
  private let lock = Lock()
  private var held: [UInt8] = []
  private var limit: Int
  private var ends = 0
  private var overfilled = false

  init(room: Int) { limit = room }

  var bytes: [UInt8] { lock.withLock { held } }
  var endCount: Int { lock.withLock { ends } }
  var wasOverfilled: Bool { lock.withLock { overfilled } }
  var inputRoom: Int { lock.withLock { limit - held.count } }

  func makeRoom(_ count: Int) { lock.withLock { limit += count } }

  func takeInput(_ bytes: Span<UInt8>) {
    lock.withLock {
      for index in 0..<bytes.count { held.append(bytes[index]) }
      if held.count > limit { overfilled = true }
    }
  }

  func endInput() { lock.withLock { ends += 1 } }
}

private final class EscapeLog: InputPumpClient {
  var escapes: [Escape] = []
  func typed(_ escape: Escape) { escapes.append(escape) }
}

@Suite("Input pump", .timeLimit(.minutes(1)))
struct InputPumpTests {
  private let loop: EventLoop
  private let log = EscapeLog()

  init() throws { loop = try EventLoop() }

  private func pump(_ number: Int32, _ consumer: FakeConsumer, escapes: Bool = false) throws -> InputPump {
    let pump = try InputPump(inherited: number, loop: loop, consumer: consumer, escapes: escapes, client: log)
    try pump.start()
    return pump
  }

  /// Runs the loop until `done` or five seconds.
  private func run(until done: () -> Bool) throws {
    let deadline = Deadline(seconds: 5)
    while !done() && !deadline.passed { try loop.runOnce(timeoutMilliseconds: 20) }
  }

  /// Runs the loop for a while; returns how often it woke up.
  private func settle() throws -> Int {
    let deadline = Deadline(seconds: 0.1)
    var rounds = 0
    while !deadline.passed {
      try loop.runOnce(timeoutMilliseconds: 20)
      rounds += 1
    }
    return rounds
  }

  @Test("a pipe is read as far as the consumer has room, and to its end")
  func pipe() throws {
    let pipe = try FileDescriptor.pipe()
    let consumer = FakeConsumer(room: 100)
    let pump = try pump(pipe.read.rawValue, consumer)
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
    try pipe.write.writeFully(bytes)
    try run { consumer.bytes.count == 100 }
    #expect(try settle() < 20, "the loop must not spin while the consumer is full")
    #expect(consumer.bytes.count == 100)
    var left: Int32 = 0
    #expect(clinux_ioctl_pointer(pipe.read.rawValue, UInt(FIONREAD), &left) == 0)
    #expect(left == 900, "what the guest does not want stays in the pipe")
    let other = try System.Thread {
      consumer.makeRoom(2000)
      pump.resume()
    }
    try run { consumer.bytes.count == 1000 }
    other.join()
    #expect(consumer.endCount == 0)
    let writeEnd = pipe.write.rawValue
    dup2(pipe.read.rawValue, writeEnd)
    try run { consumer.endCount > 0 }
    _ = try settle()
    #expect(consumer.endCount == 1)
    #expect(consumer.bytes == bytes)
    #expect(!consumer.wasOverfilled)
  }

  @Test("a writer that hangs up while the consumer is full does not make the loop spin")
  func hangUp() throws {
    let consumer = FakeConsumer(room: 2)
    let pump: InputPump
    do {
      let pipe = try FileDescriptor.pipe()
      try pipe.write.writeFully([1, 2, 3, 4])
      pump = try self.pump(pipe.read.rawValue, consumer)
    }
    try run { consumer.bytes.count == 2 }
    #expect(try settle() < 20)
    #expect(consumer.endCount == 0)
    consumer.makeRoom(10)
    pump.resume()
    try run { consumer.endCount == 1 }
    #expect(consumer.bytes == [1, 2, 3, 4])
    #expect(consumer.endCount == 1)
  }

  @Test("files are read without epoll, in steps that leave the loop to others")
  func file() throws {
    var template = Array("/tmp/vmrun-input-XXXXXX".utf8CString)
    let file = FileDescriptor(owning: mkstemp(&template))
    unlink(&template)
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 17) }
    try file.writeFully(bytes)
    lseek(file.rawValue, 0, SEEK_SET)
    let consumer = FakeConsumer(room: 50_000)
    let pump = try pump(file.rawValue, consumer)
    try run { consumer.bytes.count == 50_000 }
    #expect(try settle() < 20)
    #expect(lseek(file.rawValue, 0, SEEK_CUR) == 50_000, "the rest is left to whoever reads the file next")
    consumer.makeRoom(60_000)
    pump.resume()
    try run { consumer.endCount == 1 }
    #expect(consumer.bytes.checksum == bytes.checksum)
    #expect(consumer.endCount == 1)
  }

  @Test("/dev/null, a folder and a closed descriptor are at their end at once")
  func ends() throws {
    let null = try FileDescriptor.open("/dev/null", O_RDONLY)
    let folder = try FileDescriptor.open("/", O_RDONLY)
    for number in [null.rawValue, folder.rawValue, 9999] {
      let consumer = FakeConsumer(room: 10)
      _ = try pump(number, consumer)
      try run { consumer.endCount == 1 }
      #expect(consumer.endCount == 1)
      #expect(consumer.bytes.isEmpty)
    }
    #expect(try settle() < 30)
  }

  @Test("the end is told even to a consumer without room")
  func endWithoutRoom() throws {
    let consumer = FakeConsumer(room: 0)
    _ = try pump(9999, consumer)
    #expect(consumer.endCount == 1)
  }

  @Test("on a terminal the escape works while the guest takes nothing, and what was typed is kept")
  func terminal() throws {
    let pty = try PseudoTerminal()
    let consumer = FakeConsumer(room: 0)
    let pump = try pump(pty.slave.rawValue, consumer, escapes: true)
    try pty.master.writeFully(Array("typed ahead\u{1}".utf8))
    _ = try settle()
    try pty.master.writeFully(Array("h more\u{1}xlost".utf8))
    try run { log.escapes == [.help, .end] }
    #expect(log.escapes == [.help, .end])
    #expect(consumer.bytes.isEmpty)
    consumer.makeRoom(100)
    pump.resume()
    try run { consumer.bytes.count == 16 }
    #expect(String(decoding: consumer.bytes, as: UTF8.self) == "typed ahead more")
    pump.stop()
    try pty.master.writeFully(Array("after".utf8))
    _ = try settle()
    #expect(consumer.bytes.count == 16)
    #expect(consumer.endCount == 0)
  }

  @Test("a terminal that hangs up is at its end")
  func terminalHangUp() throws {
    let consumer = FakeConsumer(room: 100)
    let pump: InputPump
    do {
      let pty = try PseudoTerminal()
      pump = try self.pump(pty.slave.rawValue, consumer, escapes: true)
      try pty.master.writeFully(Array("bye".utf8))
      try run { consumer.bytes.count == 3 }
    }
    try run { consumer.endCount == 1 }
    #expect(consumer.endCount == 1)
    pump.stop()
  }

  @Test("an endless file is taken at the consumer's pace")
  func endless() throws {
    let zero = try FileDescriptor.open("/dev/zero", O_RDONLY)
    let consumer = FakeConsumer(room: 0)
    let pump = try pump(zero.rawValue, consumer)
    for step in 1...20 {
      consumer.makeRoom(10_000)
      pump.resume()
      try run { consumer.bytes.count == step * 10_000 }
    }
    #expect(consumer.bytes.count == 200_000)
    #expect(!consumer.wasOverfilled)
    #expect(consumer.endCount == 0)
  }
}
