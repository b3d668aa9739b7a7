@testable import Devices
import Testing

@Suite("Console capture")
struct ConsoleCaptureTests {
  private func capture(_ text: String, capacity: Int = 64 << 10) -> ConsoleCapture {
    let capture = ConsoleCapture(capacity: capacity)
    capture.write(Array(text.utf8).span)
    return capture
  }

  private let trace = (1...40).map { "[    1.0] ? function_\($0)+0x10/0x20\r\n" }.joined()

  @Test("the reason of a panic that ends in a reset")
  func panic() {
    let reason = "VFS: Unable to mount root fs on unknown-block(0,0)"
    let text = "[    0.9] Run /init\r\n[    1.0] Kernel panic - not syncing: \(reason)\r\n"
    #expect(capture(text + trace + "[    1.1] Rebooting in 1 seconds..").panicMessage() == reason)
  }

  @Test("the reason of a panic that waits for ever, named twice")
  func panicThatWaits() {
    let reason = "Attempted to kill init! exitcode=0x00000100"
    let mark = "Kernel panic - not syncing: \(reason)"
    let text = "\(mark)\r\n\(trace)---[ end \(mark) ]---\r\n"
    #expect(capture(text).panicMessage() == reason)
  }

  @Test("the last of several panics, and one cut off in the middle of its line")
  func last() {
    let text = "Kernel panic - not syncing: old\nmore\nKernel panic - not syncing: new and unfin"
    #expect(capture(text).panicMessage() == "new and unfin")
  }

  @Test("an old log shown by a program is no panic when the kernel restarted in order or lived on")
  func old() {
    let text = "Kernel panic - not syncing: yesterday\n"
    #expect(capture(text + "[ 5.0] reboot: Restarting system\n").panicMessage() == nil)
    #expect(capture(text + "[ 5.0] reboot: Power down\n").panicMessage() == nil)
    #expect(capture(text + String(repeating: "still alive\n", count: 200)).panicMessage() == nil)
    #expect(capture("no panic at all\n").panicMessage() == nil)
    #expect(capture("").panicMessage() == nil)
  }

  @Test("a panic's reason cannot carry escape sequences to the user's terminal")
  func sanitised() {
    #expect(capture("Kernel panic - not syncing: a\u{1B}[2Jb\u{7F}\n").panicMessage() == "a?[2Jb?")
  }

  @Test("the tail, in lines")
  func tail() {
    let log = capture("one\r\ntwo\r\nthree\r\n")
    #expect(log.tail(lines: 2) == "two\nthree\n")
    #expect(log.tail(lines: 3) == "one\ntwo\nthree\n")
    #expect(log.tail(lines: 99) == "one\ntwo\nthree\n")
    #expect(log.tail(lines: 0) == "")
    #expect(capture("one\ntwo").tail(lines: 1) == "two\n")
    #expect(capture("\n\n").tail(lines: 5) == "\n\n")
    #expect(capture("").tail(lines: 5) == "")
    // Bytes that are no UTF-8 do no harm.
    let binary = ConsoleCapture()
    binary.write([0xFF, 0xC3, 0x28, 0x0A].span)
    #expect(binary.tail(lines: 1) == "\u{FFFD}\u{FFFD}(\n")
  }

  @Test("old bytes are forgotten, in whatever pieces they came", arguments: [1, 3, 7, 64, 100, 1000])
  func bounded(chunk: Int) {
    let log = ConsoleCapture(capacity: 100)
    let text = Array((0..<200).map { "line \($0)\n" }.joined().utf8)
    var done = 0
    while done < text.count {
      let end = min(done + chunk, text.count)
      log.write(Array(text[done..<end]).span)
      done = end
    }
    #expect(Array(log.tail(lines: 1000).utf8) == Array(text.suffix(100)))
  }
}
