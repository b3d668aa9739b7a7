import Foundation
import GuestProtocol
import Glibc
import Testing

@Suite("Terminals")
struct TerminalTests {
  private let window = WindowSize(rows: 33, columns: 101, xPixels: 5, yPixels: 6)

  @Test("the command's three descriptors are a terminal of the size asked for, and its own")
  func size() throws {
    let host = try GuestHost(
      sh: "test -t 0 && test -t 1 && test -t 2 && stty size && echo >/dev/tty mine && echo $TERM", terminal: window)
    #expect(try host.finish() == .exited(code: 0))
    #expect(host.output == "33 101\r\nmine\r\nxterm\r\n")
    #expect(host.stderr.isEmpty)
  }

  @Test("a new size reaches the command")
  func resize() throws {
    let host = try GuestHost(
      sh: "trap 'stty size; exit 8' WINCH; echo ready; while :; do sleep 0.05; done", terminal: window)
    try host.wait("the trap") { host.output == "ready\r\n" }
    try host.send(.windowSize(WindowSize(rows: 50, columns: 160)))
    #expect(try host.finish() == .exited(code: 8))
    #expect(host.output == "ready\r\n50 160\r\n")
  }

  @Test("control-C interrupts what is in the foreground")
  func interrupt() throws {
    let host = try GuestHost(sh: "echo ready; sleep 60", terminal: window)
    try host.wait("the start") { host.output == "ready\r\n" }
    let end = try host.finish { try host.send(input: [3]) }
    #expect(end == .killed(signal: UInt32(SIGINT)))
  }

  @Test("the end of the input is the end of the file", arguments: ["abc\n", "abc", ""])
  func endOfInput(_ text: String) throws {
    let host = try GuestHost(sh: "stty -echo; echo ready; wc -c", terminal: window)
    try host.wait("the start") { host.output == "ready\r\n" }
    try host.send(input: Array(text.utf8))
    try host.send(.stdinEnd)
    #expect(try host.finish() == .exited(code: 0))
    #expect(host.output == "ready\r\n\(text.utf8.count)\r\n")
  }

  @Test("much output is complete at the end")
  func muchOutput() throws {
    let host = try GuestHost(sh: "stty -opost; seq 1 100000", terminal: window)
    #expect(try host.finish() == .exited(code: 0))
    #expect(host.output == (1...100_000).map { "\($0)\n" }.joined())
  }

  @Test("a process that keeps the terminal open does not keep the command from ending")
  func backgroundHolder() throws {
    let host = try GuestHost(sh: "trap '' HUP; setsid sleep 20 & sleep 0.1; echo bye; exit 2", terminal: window)
    let start = Date()
    #expect(try host.finish() == .exited(code: 2))
    #expect(Date().timeIntervalSince(start) < 10)
    #expect(host.output == "bye\r\n")
  }
}
