/// The kinds of frames on the two streams. Those below 0x80 go to the host.
public enum FrameKind: UInt8, Sendable {
  case hello = 1
  case stdout = 2
  case stderr = 3
  case started = 4
  case exit = 5
  case failure = 6
  case stdinWindow = 7
  case stdin = 0x81
  case stdinEnd = 0x82
  case signal = 0x83
  case windowSize = 0x84

  /// Whether the payload is a piece of a byte stream, as opposed to a message.
  public var isData: Bool {
    switch self {
    case .stdout, .stderr, .stdin: true
    case .hello, .started, .exit, .failure, .stdinWindow, .stdinEnd, .signal, .windowSize: false
    }
  }
}

/// Why the other side's bytes make no sense. There is no way to go on after it.
public enum ProtocolError: Error, Equatable, CustomStringConvertible {
  /// A kind that this version does not know.
  case unknownKind(UInt8)
  /// Flags or reserved bytes that are not zero.
  case reservedBits
  /// A payload longer than the limit of its kind.
  case tooLong(kind: UInt8, length: UInt32)
  /// A message whose payload has the wrong size or content.
  case malformed(kind: UInt8)

  public var description: String {
    switch self {
    case .unknownKind(let kind): "channel: unknown frame kind \(kind)"
    case .reservedBits: "channel: reserved bits are set"
    case .tooLong(let kind, let length): "channel: frame of kind \(kind) claims \(length) bytes"
    case .malformed(let kind): "channel: malformed frame of kind \(kind)"
    }
  }
}

/// The eight bytes before each payload: kind, flags (0), 16 reserved bits (0), and the payload's length, little-endian.
public struct FrameHeader: Equatable, Sendable {
  /// Bytes of an encoded header.
  public static let size = 8
  /// Longest payload of a data frame.
  public static let dataLimit = 65536
  /// Longest payload of a message; a failure's text is cut to fit.
  public static let messageLimit = 4096

  public let kind: FrameKind
  /// Bytes of payload, at most `dataLimit` or `messageLimit`.
  public let length: Int

  public init(kind: FrameKind, length: Int) {
    self.kind = kind
    self.length = length
  }

  /// The header's eight bytes, the first one lowest.
  public var encoded: UInt64 { UInt64(kind.rawValue) | UInt64(UInt32(truncatingIfNeeded: length)) << 32 }

  /// Checks what another side sent.
  public init(decoding raw: UInt64) throws(ProtocolError) {
    let number = UInt8(truncatingIfNeeded: raw)
    let length = UInt32(truncatingIfNeeded: raw >> 32)
    guard let kind = FrameKind(rawValue: number) else { throw .unknownKind(number) }
    guard raw >> 8 & 0xFF_FFFF == 0 else { throw .reservedBits }
    guard length <= (kind.isData ? Self.dataLimit : Self.messageLimit) else {
      throw .tooLong(kind: number, length: length)
    }
    self.init(kind: kind, length: Int(length))
  }
}

/// Who is told what a stream holds. Class bound, so that Embedded mode can hold it as an existential.
public protocol FrameReceiver: AnyObject {
  /// A piece of a data frame's payload, in order; a frame may come in several pieces. The bytes are valid during the call.
  func receive(data: UnsafeRawBufferPointer, kind: FrameKind)
  /// A whole message.
  func receive(message: [UInt8], kind: FrameKind) throws(ProtocolError)
}

/// Cuts a stream into frames, wherever the pieces of the stream begin and end. Keeps at most one message in memory.
public struct FrameParser {
  private var header: UInt64 = 0
  private var headerBytes = 0
  private var current: FrameHeader?
  private var left = 0
  private var message: [UInt8] = []

  public init() {}

  /// Hands the next bytes of the stream on to `receiver`.
  /// - Throws: the first thing that makes no sense; the parser must not be used afterwards.
  public mutating func parse(
    _ bytes: UnsafeRawBufferPointer, into receiver: any FrameReceiver
  ) throws(ProtocolError) {
    var position = 0
    while true {
      if let frame = current {
        let count = min(left, bytes.count - position)
        if count == 0 && left > 0 { return }
        // unsafe: position + count <= bytes.count by the minimum above.
        let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
        position += count
        left -= count
        if frame.kind.isData {
          if count > 0 { unsafe receiver.receive(data: piece, kind: frame.kind) }
        } else {
          unsafe message.append(contentsOf: piece)
        }
        guard left == 0 else { return }
        current = nil
        if !frame.kind.isData {
          try receiver.receive(message: message, kind: frame.kind)
          message.removeAll(keepingCapacity: true)
        }
      } else {
        guard position < bytes.count else { return }
        // unsafe: position < bytes.count.
        header |= unsafe UInt64(bytes[position]) << UInt64(8 * headerBytes)
        position += 1
        headerBytes += 1
        guard headerBytes == FrameHeader.size else { continue }
        let frame = try FrameHeader(decoding: header)
        (header, headerBytes) = (0, 0)
        current = frame
        left = frame.length
      }
    }
  }
}
