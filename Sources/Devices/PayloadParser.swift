/// Frame types and limits of the payload channel, protocol version 1. A frame is type (u8), flags (u8, 0), zero (u16),
/// length (u32, little-endian), then `length` bytes.
public enum PayloadFrame {
  /// The version that HELLO carries.
  public static let version: UInt32 = 1
  /// Bytes of a frame's header.
  public static let headerSize = 8
  /// Bytes that follow a header at most.
  public static let maximumLength = 65536

  // Guest to host.
  public static let hello: UInt8 = 1
  public static let standardOutput: UInt8 = 2
  public static let standardError: UInt8 = 3
  public static let started: UInt8 = 4
  public static let exit: UInt8 = 5
  public static let failure: UInt8 = 6
  public static let inputWindow: UInt8 = 7

  // Host to guest.
  public static let standardInput: UInt8 = 0x81
  public static let endOfInput: UInt8 = 0x82
  public static let signal: UInt8 = 0x83
  public static let windowSize: UInt8 = 0x84
}

/// Takes the guest's stream apart, in whatever pieces it comes. Nothing in it is believed: a frame that is not exactly what the
/// protocol allows ends the stream.
struct PayloadParser {
  /// What the first bytes of the input were.
  enum Step: Equatable {
    /// So many bytes of frame headers and small payloads.
    case consumed(Int)
    /// So many bytes of standard output.
    case output(Int)
    /// So many bytes of standard error.
    case errors(Int)
    /// So many bytes, which completed a grant of `granted` more bytes of standard input.
    case window(Int, granted: UInt32)
    /// The stream has ended; the rest does not count.
    case ended
  }

  private enum Phase { case greeting, running, started, ended }

  private var phase = Phase.greeting
  private var header = InlineArray<8, UInt8>(repeating: 0)
  private var headerCount = 0
  private var type: UInt8 = 0
  /// Bytes of the current frame's payload that are still to come.
  private var remaining = 0
  /// The payload so far of a frame that is acted on as a whole.
  private var payload: [UInt8] = []

  /// Ends the stream because of `reason`.
  mutating func fail(_ reason: String, _ events: inout [PayloadEvent]) {
    if phase == .ended { return }
    phase = .ended
    events.append(.violated(reason))
  }

  /// Takes one step into `bytes`, which is not empty. Every step but `.ended` takes at least one byte.
  mutating func step(_ bytes: Span<UInt8>, _ events: inout [PayloadEvent]) -> Step {
    if phase == .ended { return .ended }
    if headerCount < PayloadFrame.headerSize {
      let count = takeHeader(bytes)
      if headerCount == PayloadFrame.headerSize { beginFrame(&events) }
      return phase == .ended ? .ended : .consumed(count)
    }
    let count = min(remaining, bytes.count)
    remaining -= count
    if type == PayloadFrame.standardOutput || type == PayloadFrame.standardError {
      if remaining == 0 { headerCount = 0 }
      return type == PayloadFrame.standardOutput ? .output(count) : .errors(count)
    }
    for index in 0..<count { payload.append(bytes[index]) }
    if remaining > 0 { return .consumed(count) }
    let granted = endFrame(&events)
    if let granted { return .window(count, granted: granted) }
    return phase == .ended ? .ended : .consumed(count)
  }

  private mutating func takeHeader(_ bytes: Span<UInt8>) -> Int {
    let count = min(PayloadFrame.headerSize - headerCount, bytes.count)
    for index in 0..<count { header[headerCount + index] = bytes[index] }
    headerCount += count
    return count
  }

  /// The header is complete: checks it against what the protocol allows now.
  private mutating func beginFrame(_ events: inout [PayloadEvent]) {
    type = header[0]
    let length = word(4)
    guard header[1] == 0, header[2] == 0, header[3] == 0 else {
      return fail("frame type \(type) with flags set", &events)
    }
    guard let range = Self.lengths(of: type) else { return fail("unknown frame type \(type)", &events) }
    guard range.contains(Int(length)) else { return fail("frame type \(type) of \(length) bytes", &events) }
    guard type == PayloadFrame.hello ? phase == .greeting : phase != .greeting else {
      return fail(type == PayloadFrame.hello ? "a second greeting" : "frame type \(type) before the greeting", &events)
    }
    remaining = Int(length)
    payload.removeAll(keepingCapacity: true)
    if remaining == 0 { _ = endFrame(&events) }
  }

  /// The lengths that a frame of `type` may have; nil for a type that does not exist.
  private static func lengths(of type: UInt8) -> ClosedRange<Int>? {
    switch type {
    case PayloadFrame.standardOutput, PayloadFrame.standardError: 0...PayloadFrame.maximumLength
    case PayloadFrame.hello, PayloadFrame.inputWindow: 4...4
    case PayloadFrame.started: 0...0
    case PayloadFrame.exit: 8...8
    case PayloadFrame.failure: 4...PayloadFrame.maximumLength
    default: nil
    }
  }

  /// The frame is complete. Returns what a STDIN_WINDOW grants.
  private mutating func endFrame(_ events: inout [PayloadEvent]) -> UInt32? {
    headerCount = 0
    switch type {
    case PayloadFrame.hello:
      let version = payloadWord(0)
      guard version == PayloadFrame.version else {
        fail("its version is \(version), vmrun's \(PayloadFrame.version)", &events)
        return nil
      }
      phase = .running
      events.append(.hello)
    case PayloadFrame.started:
      guard phase == .running else {
        fail("the command started twice", &events)
        return nil
      }
      phase = .started
      events.append(.started)
    case PayloadFrame.exit: endByExit(&events)
    case PayloadFrame.failure: endByFailure(&events)
    case PayloadFrame.inputWindow: return payloadWord(0)
    default: break
    }
    return nil
  }

  private mutating func endByExit(_ events: inout [PayloadEvent]) {
    let kind = payloadWord(0)
    let value = payloadWord(4)
    switch (kind, value) {
    case (0, 0...255): events.append(.exited(code: UInt8(value)))
    case (1, 1...64): events.append(.killed(signal: UInt8(value)))
    default: return fail("exit of kind \(kind) with value \(value)", &events)
    }
    phase = .ended
  }

  private mutating func endByFailure(_ events: inout [PayloadEvent]) {
    let code = payloadWord(0)
    guard (125...127).contains(code) else { return fail("failure with exit code \(code)", &events) }
    events.append(.failed(code: UInt8(code), message: String(printable: payload[4...])))
    phase = .ended
  }

  private func word(_ offset: Int) -> UInt32 {
    UInt32(header[offset]) | UInt32(header[offset + 1]) << 8 | UInt32(header[offset + 2]) << 16
      | UInt32(header[offset + 3]) << 24
  }

  /// The payload's little-endian word at `offset`; the caller's frame type guarantees that it is there.
  private func payloadWord(_ offset: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(payload[offset + $1]) << UInt32(8 * $1) }
  }
}
