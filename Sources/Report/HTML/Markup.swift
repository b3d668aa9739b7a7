/// XHTML-compatible markup that grows: elements are always closed, text is always escaped.
struct Markup {
  private(set) var text = ""

  /// Text, escaped.
  mutating func write(_ string: String) { text += Escaping.markup(string) }

  /// Markup that the caller made of constants and numbers alone.
  mutating func raw(_ markup: String) { text += markup }

  private mutating func open(_ name: String, _ attributes: [String]) {
    text += "<"
    text += name
    for index in stride(from: 0, to: attributes.count - 1, by: 2) {
      text += " "
      text += attributes[index]
      text += "=\""
      text += Escaping.markup(attributes[index + 1])
      text += "\""
    }
  }

  /// An element; `attributes` are names and values in turn.
  mutating func element(_ name: String, _ attributes: [String] = [], _ body: (inout Markup) -> Void) {
    open(name, attributes)
    text += ">"
    body(&self)
    text += "</"
    text += name
    text += ">"
  }

  /// An element that holds text alone.
  mutating func leaf(_ name: String, _ attributes: [String] = [], _ content: String) {
    element(name, attributes) { $0.write(content) }
  }

  /// An element without content.
  mutating func void(_ name: String, _ attributes: [String] = []) {
    open(name, attributes)
    text += "/>"
  }

  mutating func line() { text += "\n" }

  /// A length within a drawing: at most two digits behind the point, 0 for what is no number.
  static func length(_ value: Double) -> String {
    guard value.isFinite, value.magnitude < 1e6 else { return "0" }
    let hundredths = Int((value * 100).rounded())
    var digits = String(hundredths.magnitude / 100)
    let rest = hundredths.magnitude % 100
    if rest != 0 {
      digits += "."
      if rest < 10 { digits += "0" }
      digits += rest % 10 == 0 ? String(rest / 10) : String(rest)
    }
    return hundredths < 0 ? "-" + digits : digits
  }

  /// A place from 0 to 1 across a drawing.
  static func percent(_ place: Double) -> String { length(place * 100) + "%" }
}
