import JSON

/// The members of one object, read by name and checked by type. A member that is null counts as absent, as it does for the
/// programs that write configurations; members that nobody asks for are ignored (config.md, "Extensibility").
struct Fields {
  let members: [JSON.Member]

  init(_ value: JSON) throws(SpecError) {
    guard case .object(let members) = value else { throw SpecError.expected("an object", value) }
    self.members = members
  }

  /// The member `name` unless it is absent or null; the last where the name stands twice.
  subscript(_ name: String) -> JSON? {
    for member in members.reversed() where member.name == name { return member.value == .null ? nil : member.value }
    return nil
  }

  /// What `decode` makes of the member `name`, or nil; errors learn its name.
  func optional<Value>(_ name: String, _ decode: (JSON) throws(SpecError) -> Value) throws(SpecError) -> Value? {
    guard let value = self[name] else { return nil }
    do throws(SpecError) { return try decode(value) } catch { throw error.inside(name) }
  }

  /// As `optional`, of a member that must be there.
  func required<Value>(_ name: String, _ decode: (JSON) throws(SpecError) -> Value) throws(SpecError) -> Value {
    guard let value = try optional(name, decode) else { throw SpecError("missing, but required", path: name) }
    return value
  }

  /// The elements of the array `name`; none when it is absent.
  func array<Value>(_ name: String, _ decode: (JSON) throws(SpecError) -> Value) throws(SpecError) -> [Value] {
    try optional(name) { (value) throws(SpecError) in try Self.elements(value, decode) } ?? []
  }

  static func elements<Value>(_ value: JSON, _ decode: (JSON) throws(SpecError) -> Value) throws(SpecError) -> [Value] {
    guard case .array(let elements) = value else { throw SpecError.expected("an array", value) }
    var values: [Value] = []
    values.reserveCapacity(elements.count)
    for index in elements.indices {
      do throws(SpecError) { values.append(try decode(elements[index])) } catch { throw error.inside("[\(index)]") }
    }
    return values
  }

  /// The members of the object `name`, in the file's order; none when it is absent.
  func map<Value>(_ name: String, _ decode: (String, JSON) throws(SpecError) -> Value) throws(SpecError) -> [Value] {
    let values = try optional(name) { (value) throws(SpecError) -> [Value] in
      var values: [Value] = []
      for member in try Fields(value).members {
        do throws(SpecError) { values.append(try decode(member.name, member.value)) } catch {
          throw error.inside(SpecPath.key(member.name))
        }
      }
      return values
    }
    return values ?? []
  }

  // MARK: Values

  func boolean(_ name: String) throws(SpecError) -> Bool? { try optional(name, Self.boolean) }
  func string(_ name: String) throws(SpecError) -> String? { try optional(name, Self.string) }
  func strings(_ name: String) throws(SpecError) -> [String] { try array(name, Self.string) }

  /// As `string`, nil also when empty.
  func text(_ name: String) throws(SpecError) -> String? {
    guard let text = try string(name), !text.isEmpty else { return nil }
    return text
  }

  func unsigned(_ name: String, most: UInt64 = .max) throws(SpecError) -> UInt64? {
    try optional(name) { (value) throws(SpecError) in try Self.unsigned(value, most: most) }
  }

  func signed(_ name: String, _ range: ClosedRange<Int64> = .min ... .max) throws(SpecError) -> Int64? {
    try optional(name) { (value) throws(SpecError) in try Self.signed(value, range) }
  }

  func unsigned32(_ name: String) throws(SpecError) -> UInt32? {
    try unsigned(name, most: UInt64(UInt32.max)).map { UInt32($0) }
  }

  static func boolean(_ value: JSON) throws(SpecError) -> Bool {
    guard case .boolean(let flag) = value else { throw SpecError.expected("true or false", value) }
    return flag
  }

  /// A string, which may become one of C's: without NUL.
  static func string(_ value: JSON) throws(SpecError) -> String {
    guard case .string(let text) = value else { throw SpecError.expected("a string", value) }
    guard !text.utf8.contains(0) else { throw SpecError("holds a NUL (\\u0000), which no string for the kernel can") }
    return text
  }

  static func bytes(_ value: JSON) throws(SpecError) -> [UInt8] { Array(try string(value).utf8) }

  static func absolutePath(_ value: JSON) throws(SpecError) -> String {
    let path = try string(value)
    guard path.utf8.first == UInt8(ascii: "/") else {
      throw SpecError("\(quoted(path)) is not absolute: it must begin with '/'")
    }
    return path
  }

  static func unsigned(_ value: JSON, most: UInt64 = .max) throws(SpecError) -> UInt64 {
    let number: UInt64
    switch value {
    case .integer(let signed) where signed >= 0: number = UInt64(signed)
    case .unsigned(let unsigned): number = unsigned
    case .integer(let signed): throw SpecError("\(signed) is below 0")
    default: throw SpecError.expected("a whole number", value)
    }
    guard number <= most else { throw SpecError("\(number) is out of range: at most \(most)") }
    return number
  }

  static func unsigned32(_ value: JSON) throws(SpecError) -> UInt32 {
    UInt32(try unsigned(value, most: UInt64(UInt32.max)))
  }

  static func signed(_ value: JSON, _ range: ClosedRange<Int64>) throws(SpecError) -> Int64 {
    switch value {
    case .integer(let number) where range.contains(number): return number
    case .integer(let number):
      throw SpecError("\(number) is out of range: \(range.lowerBound) to \(range.upperBound)")
    case .unsigned(let number):
      throw SpecError("\(number) is out of range: \(range.lowerBound) to \(range.upperBound)")
    default: throw SpecError.expected("a whole number", value)
    }
  }
}

extension SpecError {
  static func expected(_ what: String, _ found: JSON) -> SpecError {
    SpecError("expected \(what), found \(found.kind)")
  }
}

extension JSON {
  /// The value's type in a message's words.
  var kind: String {
    switch self {
    case .null: return "null"
    case .boolean: return "true or false"
    case .integer, .unsigned: return "a number"
    case .number: return "a number with a fraction or exponent"
    case .string: return "a string"
    case .array: return "an array"
    case .object: return "an object"
    }
  }
}

/// A fixed set of names and what each stands for.
struct Names<Value: Sendable>: Sendable {
  /// What one of them is called in a message: "resource limit".
  let what: String
  let entries: [(name: String, value: Value)]

  /// The value of `name`, or nil.
  subscript(_ name: String) -> Value? {
    for entry in entries where entry.name == name { return entry.value }
    return nil
  }

  func decode(_ value: JSON) throws(SpecError) -> Value {
    let name = try Fields.string(value)
    if let found = self[name] { return found }
    throw SpecError("\(quoted(name)) is no \(what); there are \(list)")
  }

  /// The names, with commas.
  var list: String {
    var text = ""
    for entry in entries { text += text.isEmpty ? entry.name : ", \(entry.name)" }
    return text
  }
}
