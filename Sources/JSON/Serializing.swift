extension JSON {
  /// The value as UTF-8 text (RFC 8259), without a line end behind it; `pretty` puts each member and element on a line
  /// of its own, indented by two spaces. A number that is not finite, which JSON lacks, becomes null.
  public func serialized(pretty: Bool = false) -> [UInt8] {
    var text: [UInt8] = []
    write(to: &text, indentation: pretty ? 0 : nil)
    return text
  }

  private func write(to text: inout [UInt8], indentation: Int?) {
    switch self {
    case .null: text += "null".utf8
    case .boolean(let value): text += (value ? "true" : "false").utf8
    case .integer(let value): text += String(value).utf8
    case .unsigned(let value): text += String(value).utf8
    case .number(let value): text += (value.isFinite ? "\(value)" : "null").utf8
    case .string(let value): Self.quote(value, to: &text)
    case .array(let values):
      Self.writeList(values.count, "[", "]", to: &text, indentation) { text, index, inner in
        values[index].write(to: &text, indentation: inner)
      }
    case .object(let members):
      Self.writeList(members.count, "{", "}", to: &text, indentation) { text, index, inner in
        Self.quote(members[index].name, to: &text)
        text += (inner == nil ? ":" : ": ").utf8
        members[index].value.write(to: &text, indentation: inner)
      }
    }
  }

  private static func writeList(
    _ count: Int, _ open: String, _ close: String, to text: inout [UInt8], _ indentation: Int?,
    _ element: (inout [UInt8], Int, Int?) -> Void
  ) {
    text += open.utf8
    let inner = indentation.map { $0 + 2 }
    for index in 0..<count {
      if index > 0 { text.append(UInt8(ascii: ",")) }
      if let inner { newLine(inner, to: &text) }
      element(&text, index, inner)
    }
    if let indentation, count > 0 { newLine(indentation, to: &text) }
    text += close.utf8
  }

  private static func newLine(_ indentation: Int, to text: inout [UInt8]) {
    text.append(UInt8(ascii: "\n"))
    text += [UInt8](repeating: UInt8(ascii: " "), count: indentation)
  }

  private static func quote(_ value: String, to text: inout [UInt8]) {
    let digits = Array("0123456789abcdef".utf8)
    text.append(UInt8(ascii: "\""))
    for byte in value.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
      case UInt8(ascii: "\n"): text += "\\n".utf8
      case UInt8(ascii: "\r"): text += "\\r".utf8
      case UInt8(ascii: "\t"): text += "\\t".utf8
      case 0..<0x20, 0x7F:
        text += "\\u00".utf8
        text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      default: text.append(byte)
      }
    }
    text.append(UInt8(ascii: "\""))
  }
}
