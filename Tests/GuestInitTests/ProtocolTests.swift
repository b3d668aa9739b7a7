import GuestProtocol
import Testing

@testable import GuestInit

@Suite("Protocol")
struct ProtocolTests {
  static let messages: [GuestMessage] = [
    .hello(version: 1), .started, .exited(code: 255), .killed(signal: 9), .failure(code: 127, message: "größer"),
    .failure(code: 125, message: ""), .stdinWindow(131_072),
  ]
  static let requests: [HostMessage] = [
    .stdinEnd, .signal(2), .windowSize(WindowSize(rows: 65535, columns: 1, xPixels: 2, yPixels: 3)),
  ]

  private final class Reader: FrameReceiver {
    var guestMessages: [GuestMessage] = []
    var hostMessages: [HostMessage] = []
    func receive(data: UnsafeRawBufferPointer, kind: FrameKind) {}
    func receive(message: [UInt8], kind: FrameKind) throws(ProtocolError) {
      if kind.rawValue < 0x80 {
        guestMessages.append(try GuestMessage(kind: kind, payload: message))
      } else {
        hostMessages.append(try HostMessage(kind: kind, payload: message))
      }
    }
  }

  @Test("messages survive the way") func roundTrip() throws {
    var bytes: [UInt8] = []
    for message in Self.messages { message.encode(into: &bytes) }
    for message in Self.requests { message.encode(into: &bytes) }
    let reader = Reader()
    var parser = FrameParser()
    try bytes.withUnsafeBytes { try parser.parse($0, into: reader) }
    #expect(reader.guestMessages == Self.messages)
    #expect(reader.hostMessages == Self.requests)
  }

  @Test("the bytes on the wire") func goldenBytes() {
    var bytes: [UInt8] = []
    GuestMessage.failure(code: 126, message: "no").encode(into: &bytes)
    #expect(bytes == [6, 0, 0, 0, 6, 0, 0, 0, 126, 0, 0, 0, 0x6E, 0x6F])
    bytes = []
    HostMessage.windowSize(WindowSize(rows: 24, columns: 80)).encode(into: &bytes)
    #expect(bytes == [0x84, 0, 0, 0, 8, 0, 0, 0, 24, 0, 80, 0, 0, 0, 0, 0])
  }

  @Test("a long failure is cut") func longFailure() throws {
    var bytes: [UInt8] = []
    GuestMessage.failure(code: 125, message: String(repeating: "x", count: 100_000)).encode(into: &bytes)
    #expect(bytes.count == FrameHeader.size + FrameHeader.messageLimit)
    let reader = Reader()
    var parser = FrameParser()
    try bytes.withUnsafeBytes { try parser.parse($0, into: reader) }
    #expect(reader.guestMessages.count == 1)
  }

  @Test("what makes no sense is refused by name")
  func hostile() {
    let table: [([UInt8], ProtocolError)] = [
      ([0, 0, 0, 0, 0, 0, 0, 0], .unknownKind(0)),
      ([8, 0, 0, 0, 0, 0, 0, 0], .unknownKind(8)),
      ([0x85, 0, 0, 0, 0, 0, 0, 0], .unknownKind(0x85)),
      ([2, 1, 0, 0, 0, 0, 0, 0], .reservedBits),
      ([2, 0, 0, 1, 0, 0, 0, 0], .reservedBits),
      ([2, 0, 0, 0, 1, 0, 1, 0], .tooLong(kind: 2, length: 65537)),
      ([2, 0, 0, 0, 255, 255, 255, 255], .tooLong(kind: 2, length: .max)),
      ([6, 0, 0, 0, 1, 16, 0, 0], .tooLong(kind: 6, length: 4097)),
      ([1, 0, 0, 0, 3, 0, 0, 0, 1, 1, 1], .malformed(kind: 1)),
      ([1, 0, 0, 0, 5, 0, 0, 0, 1, 1, 1, 1, 1], .malformed(kind: 1)),
      ([4, 0, 0, 0, 1, 0, 0, 0, 1], .malformed(kind: 4)),
      ([5, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0], .malformed(kind: 5)),
      ([6, 0, 0, 0, 2, 0, 0, 0, 1, 1], .malformed(kind: 6)),
      ([0x82, 0, 0, 0, 1, 0, 0, 0, 1], .malformed(kind: 0x82)),
      ([0x83, 0, 0, 0, 0, 0, 0, 0], .malformed(kind: 0x83)),
      ([0x84, 0, 0, 0, 4, 0, 0, 0, 1, 1, 1, 1], .malformed(kind: 0x84)),
    ]
    for (bytes, expected) in table {
      var parser = FrameParser()
      #expect(throws: expected, "\(bytes)") {
        try bytes.withUnsafeBytes { try parser.parse($0, into: Reader()) }
      }
    }
  }
}

@Suite("Configuration")
struct ConfigurationTests {
  private let full = CommandConfiguration(
    arguments: [Array("sh".utf8), [], Array("-c".utf8), [0xFF, 0x01]],
    environment: [Array("A=b=c".utf8), Array("EMPTY=".utf8)], workingDirectory: Array("/srv".utf8),
    hostname: Array("box".utf8), userID: 1000, groupID: 100, supplementaryGroups: [5, 6, 7], hasTerminal: true,
    windowSize: WindowSize(rows: 24, columns: 80, xPixels: 640, yPixels: 480))

  @Test("a configuration survives the way") func roundTrip() throws {
    #expect(try CommandConfiguration(decoding: full.encoded()) == full)
    let small = CommandConfiguration(arguments: [Array("true".utf8)])
    #expect(try CommandConfiguration(decoding: small.encoded()) == small)
  }

  @Test("the bytes in the file") func goldenBytes() {
    let configuration = CommandConfiguration(
      arguments: [Array("ls".utf8)], environment: [Array("A=1".utf8)], hostname: Array("h".utf8), userID: 1,
      groupID: 2, supplementaryGroups: [3], hasTerminal: true, windowSize: WindowSize(rows: 4, columns: 5))
    let expected: [UInt8] =
      Array("VMRC".utf8) + [1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 5, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]
      + [1, 0, 0, 0] + Array("h".utf8) + [0, 0, 0, 0]
      + [1, 0, 0, 0, 2, 0, 0, 0] + Array("ls".utf8)
      + [1, 0, 0, 0, 3, 0, 0, 0] + Array("A=1".utf8)
      + [1, 0, 0, 0, 3, 0, 0, 0]
    #expect(configuration.encoded() == expected)
  }

  @Test("every truncation is refused") func truncated() {
    let bytes = full.encoded()
    for count in 0..<bytes.count {
      #expect(throws: ConfigurationError.truncated, "\(count) bytes") {
        try CommandConfiguration(decoding: Array(bytes[..<count]))
      }
    }
  }

  @Test("no change of a byte crashes the reader") func changed() {
    let bytes = full.encoded()
    var accepted = 0
    for index in bytes.indices {
      for value in [0, 1, 0x7F, 0x80, 0xFF] as [UInt8] {
        var copy = bytes
        copy[index] = value
        if let read = try? CommandConfiguration(decoding: copy) {
          accepted += 1
          #expect(read.encoded() == copy)
        }
      }
    }
    #expect(accepted > 0)
  }

  @Test("what makes no sense is refused by name") func hostile() {
    func variant(_ change: (inout CommandConfiguration) -> Void) -> [UInt8] {
      var configuration = full
      change(&configuration)
      return configuration.encoded()
    }
    func patched(_ offset: Int, _ bytes: [UInt8]) -> [UInt8] {
      var encoded = full.encoded()
      encoded.replaceSubrange(offset..<offset + bytes.count, with: bytes)
      return encoded
    }
    let huge: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF]
    let table: [([UInt8], ConfigurationError)] = [
      (patched(0, [0]), .notAConfiguration),
      (patched(4, [2]), .unknownVersion(2)),
      (patched(8, [3]), .unknownFlags(3)),
      (patched(20, huge), .badIdentity),
      (patched(24, huge), .badIdentity),
      (patched(28, huge), .truncated),
      (variant { $0.hostname = [UInt8](repeating: 65, count: 65) }, .badHostname),
      (variant { $0.arguments = [] }, .noCommand),
      (variant { $0.arguments = [[65, 0, 66]] }, .containsZero),
      (variant { $0.workingDirectory = [0] }, .containsZero),
      (variant { $0.environment = [Array("NOTHING".utf8)] }, .badVariable),
      (variant { $0.environment = [Array("=x".utf8)] }, .badVariable),
      (variant { $0.environment = [[]] }, .badVariable),
      (variant { $0.supplementaryGroups = [.max] }, .badIdentity),
      (
        variant { $0.supplementaryGroups = [UInt32](repeating: 1, count: 65537) }, .tooManyGroups(65537)
      ),
      (full.encoded() + [0], .trailingBytes),
      ([UInt8](repeating: 0, count: CommandConfiguration.sizeLimit + 1), .tooLarge(CommandConfiguration.sizeLimit + 1)),
    ]
    for (bytes, expected) in table {
      #expect(throws: expected) { try CommandConfiguration(decoding: bytes) }
    }
  }
}
