import CContainer
import CLinux

/// One message of the kernel's routing socket, as it came. Reading it is total: what does not fit ends the walk.
struct NetlinkAnswer {
  /// NLMSG_ or RTM_ number.
  let type: UInt16
  let flags: UInt16
  let sequence: UInt32
  /// What follows the header.
  let body: ArraySlice<UInt8>

  /// The messages of one datagram; nil when a length does not fit.
  static func split(_ datagram: [UInt8]) -> [NetlinkAnswer]? {
    var answers: [NetlinkAnswer] = []
    var rest = datagram[...]
    while !rest.isEmpty {
      let size = NetlinkMessage.headerSize
      guard rest.count >= size, let length = rest.word32(at: 0).map({ Int($0) }), length >= size, length <= rest.count,
        let type = rest.word16(at: 4), let flags = rest.word16(at: 6), let sequence = rest.word32(at: 8)
      else { return nil }
      let start = rest.startIndex
      answers.append(
        NetlinkAnswer(type: type, flags: flags, sequence: sequence, body: rest[start + size..<start + length]))
      rest = rest.dropFirst(aligned(length))
    }
    return answers
  }

  /// The attributes behind a fixed part of `fixed` bytes; nil when it is shorter or a length does not fit.
  func attributes(after fixed: Int) -> NetlinkAttributes? {
    guard body.count >= fixed else { return nil }
    return NetlinkAttributes(body.dropFirst(Self.aligned(fixed)))
  }

  static func aligned(_ length: Int) -> Int {
    (length + NetlinkMessage.alignment - 1) & ~(NetlinkMessage.alignment - 1)
  }
}

/// The attributes of a message or of another attribute; of two with one number the later one counts.
struct NetlinkAttributes {
  private let entries: [(type: UInt16, data: ArraySlice<UInt8>)]

  /// Reads them; nil when a length does not fit.
  init?(_ bytes: ArraySlice<UInt8>) {
    var entries: [(type: UInt16, data: ArraySlice<UInt8>)] = []
    var rest = bytes
    let size = NetlinkMessage.attributeHeaderSize
    // Less than a header is the padding of what came before.
    while rest.count >= size {
      guard let length = rest.word16(at: 0).map({ Int($0) }), let type = rest.word16(at: 2), length >= size,
        length <= rest.count
      else { return nil }
      let start = rest.startIndex
      // The upper two bits are flags: NLA_F_NESTED, NLA_F_NET_BYTEORDER.
      entries.append((type & 0x3FFF, rest[start + size..<start + length]))
      rest = rest.dropFirst(NetlinkAnswer.aligned(length))
    }
    self.entries = entries
  }

  func bytes(_ type: Int) -> ArraySlice<UInt8>? { entries.last { Int($0.type) == type }?.data }

  func word32(_ type: Int) -> UInt32? {
    guard let data = bytes(type), data.count == 4 else { return nil }
    return data.word32(at: 0)
  }

  /// A string, with or without its NUL.
  func text(_ type: Int) -> String? {
    guard let data = bytes(type) else { return nil }
    return String(decoding: data.prefix { $0 != 0 }, as: UTF8.self)
  }

  func nested(_ type: Int) -> NetlinkAttributes? {
    guard let data = bytes(type) else { return nil }
    return NetlinkAttributes(data)
  }
}

extension ArraySlice where Element == UInt8 {
  /// 16 bits at `offset` from the start in the host's byte order; nil when they are not all there.
  func word16(at offset: Int) -> UInt16? {
    guard offset >= 0, count >= 2, offset <= count - 2 else { return nil }
    let at = startIndex + offset
    return UInt16(self[at]) | UInt16(self[at + 1]) << 8
  }

  /// 32 bits at `offset` from the start in the host's byte order; nil when they are not all there.
  func word32(at offset: Int) -> UInt32? {
    guard let low = word16(at: offset), let high = word16(at: offset + 2) else { return nil }
    return UInt32(low) | UInt32(high) << 16
  }
}
