import Foundation
import Glibc
import GuestProtocol
import System
import Testing

@testable import GuestInit

/// Init over a serial line: a socket whose buffers are small, and a terminal.
@Suite("Serial line", .serialized)
struct SerialTransportTests {
  private func pair(_ size: Int32 = 1) throws -> (line: SerialTransport, host: Int32) {
    var ends: [Int32] = [-1, -1]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
    var size = size
    for end in ends {
      setsockopt(end, SOL_SOCKET, SO_SNDBUF, &size, 4)
      setsockopt(end, SOL_SOCKET, SO_RCVBUF, &size, 4)
    }
    return (SerialTransport(line: FileDescriptor(owning: ends[0])), ends[1])
  }

  private func read(_ descriptor: Int32, _ limit: Int = 4096) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: limit)
    return Array(bytes[..<max(0, bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, limit) })])
  }

  @Test("what the line does not take waits, credit says how much more may, and nothing is lost")
  func pending() throws {
    let (line, host) = try pair()
    defer { close(host) }
    let full = line.credit()
    #expect(full >= FrameHeader.size + FrameHeader.dataLimit && !line.wantsOutput)
    let data = (0..<full).map { UInt8(truncatingIfNeeded: $0 >> 5) }
    data.withUnsafeBytes { line.send($0) }
    #expect(line.wantsOutput && line.credit() < full)
    var received: [UInt8] = []
    while received.count < data.count {
      let piece = read(host)
      received += piece
      line.silenceDoorbell()
      if piece.isEmpty && !line.wantsOutput { break }
    }
    #expect(received == data && !line.wantsOutput && line.credit() == full)
  }

  @Test("settling waits until everything is out")
  func settling() throws {
    let (line, host) = try pair()
    let data = [UInt8](repeating: 7, count: 60_000)
    data.withUnsafeBytes { line.send($0) }
    let done = DispatchSemaphore(value: 0)
    let reader = Foundation.Thread {
      var count = 0
      while count < data.count {
        let piece = self.read(host)
        count += piece.count
        if piece.isEmpty { usleep(2000) }
      }
      done.signal()
    }
    reader.start()
    line.settle()
    #expect(!line.wantsOutput)
    done.wait()
    close(host)
  }

  @Test("a line that has hung up takes everything and gives nothing")
  func hangUp() throws {
    signal(SIGPIPE, SIG_IGN)
    let (line, host) = try pair()
    close(host)
    [UInt8](repeating: 7, count: 60_000).withUnsafeBytes { line.send($0) }
    line.settle()
    var buffer = [UInt8](repeating: 0, count: 16)
    #expect(!line.wantsOutput && buffer.withUnsafeMutableBytes { line.receive(into: $0) } == 0)
  }

  @Test("a terminal carries every byte as it is, both ways")
  func terminal() throws {
    let master = posix_openpt(O_RDWR | O_NOCTTY)
    #expect(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0)
    defer { close(master) }
    let line = try SerialTransport(path: String(cString: ptsname(master)))
    let data = (0...255).map { UInt8($0) }
    data.withUnsafeBytes { line.send($0) }
    #expect(read(master) == data)
    _ = data.withUnsafeBytes { Glibc.write(master, $0.baseAddress, $0.count) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    var received: [UInt8] = []
    for _ in 0..<50 where received.count < 256 {
      let count = buffer.withUnsafeMutableBytes { line.receive(into: $0) }
      received += buffer[..<count]
      if count == 0 { usleep(2000) }
    }
    #expect(received == data)
  }

  @Test("a port that is no serial line is refused by name")
  func noLine() {
    #expect(throws: Failure.self) { try SerialTransport(path: "/dev/null") }
    #expect(throws: Failure.self) { try SerialTransport(path: "/dev/no-such-port") }
  }

  @Test("a command runs over a line as over the ports")
  func command() throws {
    let host = try GuestHost(sh: "echo out; echo err >&2; exit 7", options: ["--serial"])
    #expect(try host.finish() == .exited(code: 7))
    #expect(host.output == "out\n" && host.errorOutput == "err\n")
  }

  @Test("much output and input go through a line, and no more input is asked for than a line keeps")
  func much() throws {
    let host = try GuestHost(sh: "head -c 1000000 /dev/zero; cat", options: ["--serial"])
    let data = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 >> 3) }
    var most = 0
    var sent = 0
    while sent < data.count {
      try host.wait("window") { host.window > 0 }
      most = max(most, host.window)
      let count = min(host.window, data.count - sent)
      try host.send(input: Array(data[sent..<sent + count]))
      sent += count
    }
    try host.send(.stdinEnd)
    #expect(try host.finish() == .exited(code: 0))
    #expect(most <= 16 << 10)
    #expect(host.stdout.count == 1_300_000 && Array(host.stdout.suffix(data.count)) == data)
  }
}
