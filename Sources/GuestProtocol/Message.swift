/// The size of a terminal: characters, and pixels where they are known.
public struct WindowSize: Equatable, Sendable {
  public var rows: UInt16
  public var columns: UInt16
  public var xPixels: UInt16
  public var yPixels: UInt16

  public init(rows: UInt16 = 0, columns: UInt16 = 0, xPixels: UInt16 = 0, yPixels: UInt16 = 0) {
    self.rows = rows
    self.columns = columns
    self.xPixels = xPixels
    self.yPixels = yPixels
  }
}

/// What init tells the host besides the command's output.
public enum GuestMessage: Equatable, Sendable {
  /// The first frame: the protocol's version, which is 1.
  case hello(version: UInt32)
  /// The command was executed.
  case started
  /// The command ended by itself with this code.
  case exited(code: UInt32)
  /// A signal ended the command.
  case killed(signal: UInt32)
  /// There is no command, or no longer one: the exit code for vmrun (125, 126 or 127), and why.
  case failure(code: UInt32, message: String)
  /// The host may send this many more bytes of standard input.
  case stdinWindow(UInt32)

  /// The protocol's version that this code speaks.
  public static let version: UInt32 = 1

  /// Appends the whole frame, header and payload.
  public func encode(into bytes: inout [UInt8]) {
    switch self {
    case .hello(let version): bytes.appendFrame(.hello, [version])
    case .started: bytes.appendFrame(.started, [])
    case .exited(let code): bytes.appendFrame(.exit, [0, code])
    case .killed(let signal): bytes.appendFrame(.exit, [1, signal])
    case .failure(let code, let message):
      let text = message.utf8.prefix(FrameHeader.messageLimit - 4)
      bytes.append(little: FrameHeader(kind: .failure, length: 4 + text.count).encoded)
      bytes.append(little: code)
      bytes.append(contentsOf: text)
    case .stdinWindow(let count): bytes.appendFrame(.stdinWindow, [count])
    }
  }

  /// Reads a payload that the guest sent.
  public init(kind: FrameKind, payload: [UInt8]) throws(ProtocolError) {
    var reader = LittleEndianReader(payload)
    switch kind {
    case .hello: self = .hello(version: try reader.word(of: kind))
    case .started: self = .started
    case .exit:
      let cause = try reader.word(of: kind)
      let value = try reader.word(of: kind)
      switch cause {
      case 0: self = .exited(code: value)
      case 1: self = .killed(signal: value)
      default: throw .malformed(kind: kind.rawValue)
      }
    case .failure:
      let code = try reader.word(of: kind)
      self = .failure(code: code, message: String(decoding: reader.rest(), as: UTF8.self))
    case .stdinWindow: self = .stdinWindow(try reader.word(of: kind))
    case .stdout, .stderr, .stdin, .stdinEnd, .signal, .windowSize: throw .malformed(kind: kind.rawValue)
    }
    guard reader.isAtEnd else { throw .malformed(kind: kind.rawValue) }
  }
}

/// What the host tells init besides the command's input.
public enum HostMessage: Equatable, Sendable {
  /// Nothing follows on standard input.
  case stdinEnd
  /// Send this signal to the command.
  case signal(UInt32)
  /// The user's terminal has this size now.
  case windowSize(WindowSize)

  /// Appends the whole frame, header and payload.
  public func encode(into bytes: inout [UInt8]) {
    switch self {
    case .stdinEnd: bytes.appendFrame(.stdinEnd, [])
    case .signal(let number): bytes.appendFrame(.signal, [number])
    case .windowSize(let size):
      bytes.appendFrame(
        .windowSize,
        [
          UInt32(size.rows) | UInt32(size.columns) << 16,
          UInt32(size.xPixels) | UInt32(size.yPixels) << 16,
        ])
    }
  }

  /// Reads a payload that the host sent.
  public init(kind: FrameKind, payload: [UInt8]) throws(ProtocolError) {
    var reader = LittleEndianReader(payload)
    switch kind {
    case .stdinEnd: self = .stdinEnd
    case .signal: self = .signal(try reader.word(of: kind))
    case .windowSize:
      let characters = try reader.word(of: kind)
      let pixels = try reader.word(of: kind)
      self = .windowSize(
        WindowSize(
          rows: UInt16(truncatingIfNeeded: characters), columns: UInt16(truncatingIfNeeded: characters >> 16),
          xPixels: UInt16(truncatingIfNeeded: pixels), yPixels: UInt16(truncatingIfNeeded: pixels >> 16)))
    case .hello, .started, .exit, .failure, .stdinWindow, .stdout, .stderr, .stdin:
      throw .malformed(kind: kind.rawValue)
    }
    guard reader.isAtEnd else { throw .malformed(kind: kind.rawValue) }
  }
}

extension Array<UInt8> {
  /// Appends an integer, lowest byte first.
  mutating func append(little value: some FixedWidthInteger) {
    var rest = value
    for _ in 0..<value.bitWidth / 8 {
      append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  fileprivate mutating func appendFrame(_ kind: FrameKind, _ words: [UInt32]) {
    append(little: FrameHeader(kind: kind, length: 4 * words.count).encoded)
    for word in words { append(little: word) }
  }
}

/// Takes integers and byte strings off the front of bytes that another side wrote; nothing is read past the end.
struct LittleEndianReader {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Bytes not taken yet.
  var count: Int { bytes.count - position }
  var isAtEnd: Bool { count == 0 }

  /// The next integer, or nil when fewer bytes than it needs are left.
  mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(_ type: Value.Type) -> Value? {
    guard count >= Value.bitWidth / 8 else { return nil }
    var value: Value = 0
    for shift in stride(from: 0, to: Value.bitWidth, by: 8) {
      value |= Value(truncatingIfNeeded: bytes[position]) << Value(truncatingIfNeeded: shift)
      position += 1
    }
    return value
  }

  /// The next `length` bytes, or nil when fewer are left.
  mutating func bytes(_ length: UInt32) -> [UInt8]? {
    guard length <= count else { return nil }
    defer { position += Int(length) }
    return Array(bytes[position..<position + Int(length)])
  }

  /// All that is left.
  mutating func rest() -> [UInt8] {
    defer { position = bytes.count }
    return Array(bytes[position...])
  }

  fileprivate mutating func word(of kind: FrameKind) throws(ProtocolError) -> UInt32 {
    guard let value = integer(UInt32.self) else { throw .malformed(kind: kind.rawValue) }
    return value
  }
}
