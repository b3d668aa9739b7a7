/// A writer of ACPI Machine Language, for the few terms that the DSDT needs (ACPI 6.5, 20.2). Each function returns the bytes of
/// one term; terms nest by concatenation.
enum AML {
  /// NameSeg (20.2.2): four characters, padded with '_'. `name` is one of this room's literals, 1 to 4 characters long.
  static func segment(_ name: String) -> [UInt8] {
    let bytes = Array(name.utf8.prefix(4))
    return bytes + [UInt8](repeating: UInt8(ascii: "_"), count: 4 - bytes.count)
  }

  /// A name below the root of the name space, "\name".
  static func root(_ name: String) -> [UInt8] { [0x5C] + segment(name) }

  /// PkgLength (20.2.4) of `count` bytes that follow it; it counts its own bytes too.
  static func packageLength(_ count: Int) -> [UInt8] {
    if count + 1 < 1 << 6 { return [UInt8(count + 1)] }
    var extra = 1
    while count + 1 + extra >= 1 << (4 + 8 * extra) { extra += 1 }
    let total = count + 1 + extra
    var bytes = [UInt8(extra << 6 | total & 0xF)]
    for index in 0..<extra { bytes.append(UInt8(truncatingIfNeeded: total >> (4 + 8 * index))) }
    return bytes
  }

  private static func package(_ opcode: [UInt8], _ body: [UInt8]) -> [UInt8] {
    opcode + packageLength(body.count) + body
  }

  /// DefScope (20.2.5.1).
  static func scope(_ path: [UInt8], _ terms: [UInt8]) -> [UInt8] { package([0x10], path + terms) }
  /// DefDevice (20.2.5.2).
  static func device(_ name: String, _ terms: [UInt8]) -> [UInt8] { package([0x5B, 0x82], segment(name) + terms) }
  /// DefName (20.2.5.1).
  static func name(_ path: [UInt8], _ value: [UInt8]) -> [UInt8] { [0x08] + path + value }
  /// DefName of one segment.
  static func name(_ name: String, _ value: [UInt8]) -> [UInt8] { self.name(segment(name), value) }

  /// The shortest ConstObj or integer (20.2.3) of `value`.
  static func integer(_ value: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    switch value {
    case 0, 1: bytes.append(UInt8(value))
    case ...0xFF: bytes = [0x0A, UInt8(value)]
    case ...0xFFFF:
      bytes = [0x0B]
      bytes.appendLittleEndian(UInt16(value))
    case ...0xFFFF_FFFF:
      bytes = [0x0C]
      bytes.appendLittleEndian(UInt32(value))
    default:
      bytes = [0x0E]
      bytes.appendLittleEndian(value)
    }
    return bytes
  }

  /// String (20.2.3).
  static func string(_ text: String) -> [UInt8] { [0x0D] + Array(text.utf8) + [0] }

  /// DefPackage (20.2.5.4) of integers.
  static func package(_ values: [UInt64]) -> [UInt8] {
    var body = [UInt8(values.count)]
    for value in values { body += integer(value) }
    return package([0x12], body)
  }

  /// DefBuffer (20.2.5.4).
  static func buffer(_ bytes: [UInt8]) -> [UInt8] { package([0x11], integer(UInt64(bytes.count)) + bytes) }

  /// EISAID (19.6.36): three letters of five bits and four hexadecimal digits, big-endian in a DWord. `id` is a literal such as "PNP0501".
  static func eisaID(_ id: String) -> [UInt8] {
    let characters = Array(id.utf8)
    var value: UInt32 = 0
    for letter in characters.prefix(3) { value = value << 5 | UInt32(letter - 0x40) }
    for digit in characters.dropFirst(3) { value = value << 4 | UInt32(digit - (digit < 0x3A ? 0x30 : 0x37)) }
    return integer(UInt64(value.byteSwapped))
  }

  // MARK: Resource descriptors (6.4)

  /// I/O Port Descriptor (6.4.2.5): `count` ports from `port`, all 16 address bits decoded.
  static func ioPorts(_ port: UInt16, _ count: UInt8) -> [UInt8] {
    var bytes: [UInt8] = [0x47, 0x01]
    bytes.appendLittleEndian(port)
    bytes.appendLittleEndian(port)
    return bytes + [0x01, count]
  }

  /// Extended Interrupt Descriptor (6.4.3.6): consumer, edge triggered, active high, exclusive.
  static func interrupt(_ gsi: UInt32) -> [UInt8] {
    var bytes: [UInt8] = [0x89, 6, 0, 0b0011, 1]
    bytes.appendLittleEndian(gsi)
    return bytes
  }

  /// 32-Bit Fixed Memory Range Descriptor (6.4.3.4), writable.
  static func memory(_ address: UInt32, _ count: UInt32) -> [UInt8] {
    var bytes: [UInt8] = [0x86, 9, 0, 1]
    bytes.appendLittleEndian(address)
    bytes.appendLittleEndian(count)
    return bytes
  }

  /// _CRS with `descriptors` and the end tag (6.4.2.9), whose checksum 0 means "none".
  static func currentResources(_ descriptors: [UInt8]) -> [UInt8] { name("_CRS", buffer(descriptors + [0x79, 0])) }
}
