import CLinux
import System

/// The probe's way out: its findings on standard output, and the launcher's leave to go on on standard input.
struct ProbeChannel {
  private var text: [UInt8] = []

  /// Says `name=value`.
  mutating func put(_ name: String, _ value: String) {
    text += name.utf8
    text.append(UInt8(ascii: "="))
    for byte in value.utf8.prefix(Findings.mostLine - 64) {
      text.append(byte >= 0x20 && byte < 0x7F ? byte : UInt8(ascii: "?"))
    }
    text.append(UInt8(ascii: "\n"))
    if text.count > 1 << 14 { flush() }
  }

  mutating func put(_ name: String, _ value: Int) { put(name, "\(value)") }

  /// Writes out what was said. When nobody listens any more, the probe has no purpose, and ends.
  mutating func flush() {
    var done = 0
    while done < text.count {
      let start = done
      let all = text.count
      // unsafe: start < all, so the rest lies inside the array.
      let count = unsafe text.withUnsafeBytes { unsafe write(1, $0.baseAddress?.advanced(by: start), all - start) }
      if count < 0, Errno.current == .interrupted { continue }
      if count <= 0 { _exit(1) }
      done += count
    }
    text.removeAll(keepingCapacity: true)
  }

  /// Says that it waits at `point`, and waits until the launcher answers; ends the process when the launcher has gone.
  mutating func wait(_ point: String) {
    put("sync", point)
    flush()
    var byte: UInt8 = 0
    while true {
      // unsafe: one byte is read into one byte.
      let count = unsafe read(0, &byte, 1)
      if count < 0, Errno.current == .interrupted { continue }
      guard count == 1 else { _exit(1) }
      if byte == UInt8(ascii: "\n") { return }
    }
  }
}
