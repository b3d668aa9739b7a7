import CLinux
import System
import Testing

@testable import Devices

extension OutputPump {
  func push(_ bytes: [UInt8]) { write(bytes.span) }
  func add(_ bytes: [UInt8]) { append(bytes.span) }
}

/// Reads a descriptor to its end.
func readToEnd(_ file: borrowing FileDescriptor, limit: Int = .max, chunk: Int = 65536, pause: UInt32 = 0) -> [UInt8] {
  var result: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: chunk)
  while result.count < limit {
    let count = read(file.rawValue, &buffer, min(chunk, limit - result.count))
    if count <= 0 { break }
    result += buffer[..<count]
    if pause > 0 { usleep(pause) }
  }
  return result
}

/// What a pump lost, and when it had room.
private final class PumpLog: @unchecked Sendable {
  private let lock = Lock()
  private var held: [OutputLoss] = []
  let room = InterruptRequest()
  var losses: [OutputLoss] { lock.withLock { held } }
  func attach(_ pump: OutputPump) {
    pump.onLoss { [self] loss in lock.withLock { held.append(loss) } }
    pump.onRoom { [self] in room.raise() }
  }
}

@Suite("Output pump", .timeLimit(.minutes(1)))
struct OutputPumpTests {
  private let log = PumpLog()

  private func waitUntilFull(_ pump: OutputPump) {
    let deadline = Deadline(seconds: 10)
    while pump.room > 0 && !deadline.passed { usleep(100) }
    #expect(pump.room == 0)
  }

  @Test("a flood by two threads through a slow pipe: nothing lost, doubled or reordered", arguments: [false, true])
  func flood(coalesce: Bool) throws {
    let pipe = try FileDescriptor.pipe()
    let flags = clinux_fcntl(pipe.write.rawValue, F_GETFL, 0)
    let pump = try OutputPump(inherited: pipe.write.rawValue, capacity: 10_000, coalesce: coalesce)
    // Each thread's bytes carry its number in the top bit, so that their orders can be told apart.
    let streams = [0, 1].map { id in
      var random = SeededGenerator(seed: UInt64(41 + id))
      return random.bytes(400_000).map { $0 & 0x7F | UInt8(id << 7) }
    }
    func writer(_ id: Int) throws -> System.Thread {
      let stream = streams[id]
      return try System.Thread {
        var random = SeededGenerator(seed: UInt64(51 + id))
        var done = 0
        while done < stream.count {
          let length = min(Int.random(in: 1...12_000, using: &random), stream.count - done)
          pump.push(Array(stream[done..<done + length]))
          done += length
        }
      }
    }
    let first = try writer(0)
    let second = try writer(1)
    let received = readToEnd(pipe.read, limit: 800_000, chunk: 5000, pause: 20)
    first.join()
    second.join()
    #expect(pump.finish(milliseconds: 10_000))
    #expect(received.filter { $0 < 128 }.checksum == streams[0].checksum)
    #expect(received.filter { $0 >= 128 }.checksum == streams[1].checksum)
    #expect(clinux_fcntl(pipe.write.rawValue, F_GETFL, 0) == flags)
  }

  @Test("a description that somebody else made non-blocking works, and stays so")
  func nonBlocking() throws {
    let pipe = try FileDescriptor.pipe()
    try pipe.write.setNonBlocking()
    let pump = try OutputPump(inherited: pipe.write.rawValue)
    let bytes = (0..<250_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    pump.push(bytes)
    #expect(readToEnd(pipe.read, limit: bytes.count, chunk: 3000, pause: 10).checksum == bytes.checksum)
    #expect(pump.finish(milliseconds: 10_000))
    #expect(clinux_fcntl(pipe.write.rawValue, F_GETFL, 0) & O_NONBLOCK != 0)
  }

  @Test("files, which epoll refuses")
  func file() throws {
    var template = Array("/tmp/vmrun-pump-XXXXXX".utf8CString)
    let raw = mkstemp(&template)
    try #require(raw >= 0)
    unlink(&template)
    let file = FileDescriptor(owning: raw)
    let pump = try OutputPump(FileDescriptor.duplicate(of: file.rawValue), capacity: 1000)
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }
    pump.push(bytes)
    #expect(pump.finish(milliseconds: 10_000))
    lseek(file.rawValue, 0, SEEK_SET)
    #expect(readToEnd(file).checksum == bytes.checksum)
  }

  @Test("/dev/null takes everything, a closed descriptor discards everything, and neither is a loss")
  func discarding() throws {
    let null = try FileDescriptor.open("/dev/null", O_WRONLY)
    for number in [null.rawValue, 9999] {
      let pump = try OutputPump(inherited: number, capacity: 100)
      log.attach(pump)
      for _ in 0..<1000 { pump.push([UInt8](repeating: 1, count: 64)) }
      pump.add([UInt8](repeating: 1, count: 1000))
      #expect(pump.finish(milliseconds: 10_000))
      #expect(pump.room == 100)
    }
    #expect(log.losses.isEmpty)
  }

  @Test("a reader that goes is reported once; then nobody waits and credit comes back")
  func readerGone() throws {
    let pipe = try FileDescriptor.pipe()
    let pump: OutputPump
    do {
      let ends = consume pipe
      pump = try OutputPump(inherited: ends.write.rawValue, capacity: 1000)
      log.attach(pump)
    }
    // SIGPIPE has its default action here: it would end the test.
    for _ in 0..<1000 { pump.push([UInt8](repeating: 1, count: 500)) }
    let deadline = Deadline(seconds: 10)
    while (log.losses.isEmpty || log.room.edges == 0) && !deadline.passed { usleep(100) }
    #expect(log.losses == [.readerGone])
    #expect(log.room.edges > 0)
    #expect(pump.room == 1000)
    #expect(pump.finish(milliseconds: 10_000))
    #expect(log.losses == [.readerGone])
  }

  @Test("a full disk is reported once, with its reason")
  func full() throws {
    let pump = try OutputPump(FileDescriptor.open("/dev/full", O_WRONLY), capacity: 1000)
    log.attach(pump)
    for _ in 0..<100 { pump.push([UInt8](repeating: 1, count: 500)) }
    #expect(pump.finish(milliseconds: 10_000))
    #expect(log.losses == [.failed(.noSpace)])
  }

  @Test("a writer that waits for a reader who never reads is let go by abort")
  func abort() throws {
    let pipe = try FileDescriptor.pipe()
    try pipe.write.writeFully([UInt8](repeating: 0, count: 65536))
    let pump = try OutputPump(inherited: pipe.write.rawValue, capacity: 1000)
    let done = InterruptRequest()
    let writer = try System.Thread {
      pump.push([UInt8](repeating: 1, count: 1_000_000))
      done.raise()
    }
    waitUntilFull(pump)
    #expect(!pump.drain(milliseconds: 100))
    #expect(done.edges == 0, "the writer should be waiting")
    pump.abort()
    writer.join()
    #expect(done.edges == 1)
    // What fits no more is dropped, and does not wait either.
    pump.push([UInt8](repeating: 1, count: 5000))
    let started = Clock.now()
    #expect(!pump.finish(milliseconds: 50))
    #expect(Clock.now() - started < 5_000_000_000)
    // A reader after all.
    try pipe.read.setNonBlocking()
    var count = 0
    let deadline = Deadline(seconds: 10)
    repeat { count += readToEnd(pipe.read).count } while !pump.drain(milliseconds: 5) && !deadline.passed
    #expect(pump.finish(milliseconds: 0))
    count += readToEnd(pipe.read).count
    #expect(count == 65536 + 1000, "the full pipe, and the full pump")
  }

  @Test("draining ends when a signal comes")
  func interrupted() throws {
    let pipe = try FileDescriptor.pipe()
    let pump = try OutputPump(inherited: pipe.write.rawValue)
    pump.push([UInt8](repeating: 1, count: 200_000))
    let signal = try EventFD()
    signal.signal()
    #expect(!pump.drain(milliseconds: -1, interruption: signal.descriptor.rawValue))
    #expect(readToEnd(pipe.read, limit: 200_000).count == 200_000)
    #expect(pump.finish(milliseconds: 10_000))
  }

  @Test("append takes bytes beyond the capacity, and room comes back as they are written")
  func beyondCapacity() throws {
    let pipe = try FileDescriptor.pipe()
    let pump = try OutputPump(inherited: pipe.write.rawValue, capacity: 100_000)
    log.attach(pump)
    let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 11) }
    pump.add(bytes)
    #expect(pump.room == 0)
    #expect(readToEnd(pipe.read, limit: bytes.count).checksum == bytes.checksum)
    #expect(pump.drain(milliseconds: 10_000))
    #expect(pump.room == 100_000)
    #expect(log.room.edges > 1)
    #expect(pump.finish(milliseconds: 10_000))
  }

  @Test("a console's lines are gathered, and a line that does not end is not held back for long")
  func coalescing() throws {
    // A pipe in packet mode: each read returns one write.
    var ends: [Int32] = [-1, -1]
    try #require(pipe2(&ends, O_CLOEXEC | O_DIRECT) == 0)
    let reader = FileDescriptor(owning: ends[0])
    let pump = try OutputPump(FileDescriptor(owning: ends[1]), coalesce: true)
    var packets: [[UInt8]] = []
    let text = (0..<50).map { "line number \($0)\n" }.joined() + "login: "
    for byte in text.utf8 { pump.push([byte]) }
    var received = 0
    var buffer = [UInt8](repeating: 0, count: 4096)
    while received < text.utf8.count {
      let count = read(reader.rawValue, &buffer, buffer.count)
      if count <= 0 { break }
      packets.append(Array(buffer[..<count]))
      received += count
    }
    #expect(packets.flatMap { $0 } == Array(text.utf8))
    // A thread that is kept from running for longer than the time to wait may cut a line, now and then.
    #expect(packets.count <= 100)
    #expect(pump.finish(milliseconds: 10_000))
  }

  @Test("a terminal that is stopped (Ctrl-S) holds the output, and goes on with all of it")
  func stoppedTerminal() throws {
    let pty = try PseudoTerminal()
    try #require(tcflow(pty.slave.rawValue, TCOOFF) == 0)
    let pump = try OutputPump(inherited: pty.slave.rawValue, capacity: 2000)
    var random = SeededGenerator(seed: 61)
    let bytes = random.bytes(20_000)
    let writer = try System.Thread { pump.push(bytes) }
    waitUntilFull(pump)
    #expect(!pump.drain(milliseconds: 50))
    try #require(tcflow(pty.slave.rawValue, TCOON) == 0)
    let received = readToEnd(pty.master, limit: bytes.count, chunk: 700)
    writer.join()
    #expect(received.checksum == bytes.checksum)
    #expect(pump.finish(milliseconds: 10_000))
  }
}
