/// A value of the D-Bus types that vmrun sends and reads (D-Bus specification, "Type System").
indirect enum DBusValue: Equatable {
  case byte(UInt8)
  case boolean(Bool)
  case uint32(UInt32)
  case uint64(UInt64)
  case string(String)
  case path(String)
  case signature(String)
  /// The elements and their signature, which an empty array needs too.
  case array(String, [DBusValue])
  case structure([DBusValue])
  case variant(DBusValue)

  var signature: String {
    switch self {
    case .byte: return "y"
    case .boolean: return "b"
    case .uint32: return "u"
    case .uint64: return "t"
    case .string: return "s"
    case .path: return "o"
    case .signature: return "g"
    case .array(let element, _): return "a" + element
    case .structure(let members): return members.reduce("(") { $0 + $1.signature } + ")"
    case .variant: return "v"
    }
  }

  static func strings(_ values: [String]) -> DBusValue { .array("s", values.map { .string($0) }) }
  static func bytes(_ values: [UInt8]) -> DBusValue { .array("y", values.map { .byte($0) }) }
}

/// Writes values in little-endian wire format; alignment counts from the start of the message.
struct DBusWriter {
  private(set) var bytes: [UInt8] = []

  mutating func align(_ boundary: Int) {
    while bytes.count % boundary != 0 { bytes.append(0) }
  }

  mutating func uint32(_ value: UInt32) {
    align(4)
    for shift: UInt32 in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  mutating func patch(_ offset: Int, _ value: UInt32) {
    for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(index * 8)) }
  }

  mutating func append(_ value: DBusValue) {
    switch value {
    case .byte(let byte): bytes.append(byte)
    case .boolean(let flag): uint32(flag ? 1 : 0)
    case .uint32(let number): uint32(number)
    case .uint64(let number):
      align(8)
      for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
    case .string(let text), .path(let text):
      uint32(UInt32(truncatingIfNeeded: text.utf8.count))
      bytes += text.utf8
      bytes.append(0)
    case .signature(let text):
      bytes.append(UInt8(truncatingIfNeeded: text.utf8.count))
      bytes += text.utf8
      bytes.append(0)
    case .array(let element, let values):
      uint32(0)
      let length = bytes.count - 4
      align(DBusWriter.alignment(element.utf8.first ?? 0))
      let start = bytes.count
      for value in values { append(value) }
      patch(length, UInt32(truncatingIfNeeded: bytes.count - start))
    case .structure(let members):
      align(8)
      for member in members { append(member) }
    case .variant(let inner):
      append(.signature(inner.signature))
      append(inner)
    }
  }

  static func alignment(_ type: UInt8) -> Int {
    switch type {
    case UInt8(ascii: "y"), UInt8(ascii: "g"), UInt8(ascii: "v"): return 1
    case UInt8(ascii: "n"), UInt8(ascii: "q"): return 2
    case UInt8(ascii: "x"), UInt8(ascii: "t"), UInt8(ascii: "d"), UInt8(ascii: "("), UInt8(ascii: "{"): return 8
    default: return 4
    }
  }
}

/// A message (D-Bus specification, "Message Format").
struct DBusMessage: Equatable {
  enum Kind: UInt8, Equatable { case call = 1, reply = 2, error = 3, signal = 4 }

  var kind: Kind
  var serial: UInt32 = 0
  var path: String?
  var interface: String?
  var member: String?
  var errorName: String?
  var replySerial: UInt32?
  var destination: String?
  var body: [DBusValue] = []

  /// A call of `member`.
  static func call(_ destination: String?, _ path: String, _ interface: String, _ member: String, _ body: [DBusValue])
    -> DBusMessage
  {
    var message = DBusMessage(kind: .call)
    message.destination = destination
    message.path = path
    message.interface = interface
    message.member = member
    message.body = body
    return message
  }

  /// The message as it is sent.
  var encoded: [UInt8] {
    // The header's length is a multiple of eight, so the body's alignment counts from its own start as well.
    var content = DBusWriter()
    for value in body { content.append(value) }
    var header = DBusWriter()
    for byte in [UInt8(ascii: "l"), kind.rawValue, 0, 1] { header.append(.byte(byte)) }
    header.uint32(UInt32(truncatingIfNeeded: content.bytes.count))
    header.uint32(serial)
    var fields: [DBusValue] = []
    func field(_ code: UInt8, _ value: DBusValue?) {
      if let value { fields.append(.structure([.byte(code), .variant(value)])) }
    }
    field(1, path.map { .path($0) })
    field(2, interface.map { .string($0) })
    field(3, member.map { .string($0) })
    field(4, errorName.map { .string($0) })
    field(5, replySerial.map { .uint32($0) })
    field(6, destination.map { .string($0) })
    if !body.isEmpty { field(8, .signature(body.reduce("") { $0 + $1.signature })) }
    header.append(.array("(yv)", fields))
    header.align(8)
    return header.bytes + content.bytes
  }

  /// The most that a peer may send in one message.
  static let sizeLimit = 1 << 20

  /// How long the message is whose first 16 bytes `start` holds.
  /// - Throws: when they begin no message that vmrun takes.
  static func length(_ start: [UInt8]) throws(ContainerError) -> Int {
    guard start.count >= 16, start[0] == UInt8(ascii: "l"), start[3] == 1 else { throw DBusReader.malformed }
    func word(_ offset: Int) -> Int {
      (0..<4).reduce(0) { $0 | Int(start[offset + $1]) << ($1 * 8) }
    }
    let (body, fields) = (word(4), word(12))
    guard body <= sizeLimit, fields <= sizeLimit else { throw DBusReader.malformed }
    let total = (16 + fields + 7) / 8 * 8 + body
    guard total <= sizeLimit else { throw DBusReader.malformed }
    return total
  }

  /// Reads one whole message. A body of types that vmrun does not know is left empty.
  init(decoding bytes: [UInt8]) throws(ContainerError) {
    guard try DBusMessage.length(bytes) == bytes.count, let kind = Kind(rawValue: bytes[1]) else {
      throw DBusReader.malformed
    }
    self.kind = kind
    var reader = DBusReader(bytes: bytes, position: 8)
    serial = try reader.uint32()
    let end = Int(try reader.uint32()) + 16
    var signature = ""
    while reader.position < end {
      try reader.align(8)
      let code = try reader.byte()
      let value = try reader.value(try reader.signature())
      switch (code, value) {
      case (1, .path(let text)): path = text
      case (2, .string(let text)): interface = text
      case (3, .string(let text)): member = text
      case (4, .string(let text)): errorName = text
      case (5, .uint32(let number)): replySerial = number
      case (6, .string(let text)): destination = text
      case (8, .signature(let text)): signature = text
      default: break
      }
    }
    try reader.align(8)
    var types = Array(signature.utf8)[...]
    while !types.isEmpty {
      guard let type = DBusReader.first(types) else { return }
      guard let value = try reader.known(type) else { return }
      body.append(value)
      types = types.dropFirst(type.utf8.count)
    }
  }

  init(kind: Kind) { self.kind = kind }
}

/// Reads values; everything is checked against the message's end.
struct DBusReader {
  let bytes: [UInt8]
  var position: Int

  static let malformed = ContainerError(.system, "systemd: the bus sent something that is no message")

  mutating func align(_ boundary: Int) throws(ContainerError) {
    let next = (position + boundary - 1) / boundary * boundary
    guard next <= bytes.count else { throw DBusReader.malformed }
    position = next
  }

  private mutating func take(_ count: Int) throws(ContainerError) -> ArraySlice<UInt8> {
    guard count >= 0, count <= bytes.count - position else { throw DBusReader.malformed }
    defer { position += count }
    return bytes[position..<position + count]
  }

  mutating func byte() throws(ContainerError) -> UInt8 {
    let slice = try take(1)
    return slice[slice.startIndex]
  }

  mutating func uint32() throws(ContainerError) -> UInt32 {
    try align(4)
    return try take(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  mutating func uint64() throws(ContainerError) -> UInt64 {
    try align(8)
    return try take(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  mutating func string() throws(ContainerError) -> String {
    let text = try take(Int(try uint32()))
    _ = try byte()
    return String(decoding: text, as: UTF8.self)
  }

  mutating func signature() throws(ContainerError) -> String {
    let text = try take(Int(try byte()))
    _ = try byte()
    return String(decoding: text, as: UTF8.self)
  }

  /// The first complete basic type, variant or array of basic types in `types`; nil for others.
  static func first(_ types: ArraySlice<UInt8>) -> String? {
    guard let type = types.first else { return nil }
    if type == UInt8(ascii: "a") {
      guard let element = types.dropFirst().first, isBasic(element) else { return nil }
      return String(decoding: [type, element], as: UTF8.self)
    }
    return isBasic(type) || type == UInt8(ascii: "v") ? String(decoding: [type], as: UTF8.self) : nil
  }

  private static func isBasic(_ type: UInt8) -> Bool { "ybutsog".utf8.contains(type) }

  /// A value of `type`, or an error when its type is not known.
  mutating func value(_ type: String) throws(ContainerError) -> DBusValue {
    guard let value = try known(type) else { throw DBusReader.malformed }
    return value
  }

  /// A value of `type`; nil when the type is one that vmrun does not read.
  mutating func known(_ type: String, depth: Int = 0) throws(ContainerError) -> DBusValue? {
    switch type {
    case "y": return .byte(try byte())
    case "b": return .boolean(try uint32() != 0)
    case "u": return .uint32(try uint32())
    case "t": return .uint64(try uint64())
    case "s": return .string(try string())
    case "o": return .path(try string())
    case "g": return .signature(try signature())
    case "v":
      guard depth < 4 else { throw DBusReader.malformed }
      let inner = try signature()
      guard DBusReader.first(Array(inner.utf8)[...]) == inner else { return nil }
      guard let value = try known(inner, depth: depth + 1) else { return nil }
      return .variant(value)
    default:
      guard type.utf8.first == UInt8(ascii: "a"), type.utf8.count == 2 else { return nil }
      let element = String(decoding: type.utf8.dropFirst(), as: UTF8.self)
      let count = Int(try uint32())
      try align(DBusWriter.alignment(element.utf8.first ?? 0))
      guard count <= bytes.count - position else { throw DBusReader.malformed }
      let end = position + count
      var values: [DBusValue] = []
      while position < end {
        guard let value = try known(element, depth: depth + 1) else { return nil }
        values.append(value)
      }
      return .array(element, values)
    }
  }
}
