import JSON

/// A value of a file that is not trusted, with its place for error messages: "series[3].wall[17]".
struct Field {
  /// Whole numbers beyond this are refused: a Double no longer holds each, and sums might overflow.
  static let most: UInt64 = 1 << 53

  let path: String
  /// nil where the member is absent.
  let value: JSON?

  init(root: JSON) {
    path = ""
    value = root
  }

  private init(path: String, value: JSON?) {
    self.path = path
    self.value = value
  }

  /// The member `name`, absent where there is none or this is no object.
  subscript(name: String) -> Field {
    Field(path: path.isEmpty ? name : path + "." + name, value: value?[name])
  }

  private var isAbsent: Bool { value == nil || value == .null }

  private func fault(_ expected: String) -> ReportError {
    let found: String
    switch value {
    case nil: found = "it is missing"
    case .null: found = "found null"
    case .boolean: found = "found a boolean"
    case .integer(let number): found = "found " + String(number)
    case .unsigned(let number): found = "found " + String(number)
    case .number: found = "found a number with a fraction or an exponent"
    case .string: found = "found a string"
    case .array: found = "found an array"
    case .object: found = "found an object"
    }
    return ReportError((path.isEmpty ? "the top level" : path) + ": expected " + expected + ", " + found)
  }

  func problem(_ text: String) -> ReportError { ReportError(path + ": " + text) }

  func string() throws(ReportError) -> String {
    guard case .string(let text) = value else { throw fault("a string") }
    return text
  }

  func boolean() throws(ReportError) -> Bool {
    guard case .boolean(let flag) = value else { throw fault("true or false") }
    return flag
  }

  /// A whole number from 0 to `most`.
  func count(most: UInt64 = Field.most) throws(ReportError) -> UInt64 {
    guard case .integer(let number) = value, number >= 0, UInt64(number) <= most else {
      throw fault("a whole number from 0 to " + String(most))
    }
    return UInt64(number)
  }

  func optionalCount() throws(ReportError) -> UInt64? { isAbsent ? nil : try count() }

  /// Any number of 64 bits without a sign.
  func word() throws(ReportError) -> UInt64 {
    if case .unsigned(let number) = value { return number }
    guard case .integer(let number) = value, number >= 0 else { throw fault("a whole number of 64 bits") }
    return UInt64(number)
  }

  /// A whole number whose magnitude is at most `most`.
  func signed(most: UInt64 = Field.most) throws(ReportError) -> Int64 {
    guard case .integer(let number) = value, number.magnitude <= most else {
      throw fault("a whole number from -" + String(most) + " to " + String(most))
    }
    return number
  }

  /// The elements, and with `count` just so many.
  func elements(_ count: Int? = nil) throws(ReportError) -> [Field] {
    guard case .array(let values) = value else { throw fault("an array") }
    if let count, values.count != count {
      throw problem("expected \(count) elements, as many as its neighbours have, found \(values.count)")
    }
    var fields: [Field] = []
    fields.reserveCapacity(values.count)
    for (index, value) in values.enumerated() {
      fields.append(Field(path: path + "[" + String(index) + "]", value: value))
    }
    return fields
  }

  func strings() throws(ReportError) -> [String] {
    var texts: [String] = []
    for element in try elements() { texts.append(try element.string()) }
    return texts
  }

  /// None where the member is absent.
  func facts() throws(ReportError) -> [Fact] {
    var facts: [Fact] = []
    for element in try optionalElements() {
      facts.append(Fact(try element["name"].string(), try element["value"].string()))
    }
    return facts
  }

  func optionalElements() throws(ReportError) -> [Field] { isAbsent ? [] : try elements() }

  /// Whether this is an object, which members are looked for in.
  func checkObject() throws(ReportError) {
    guard case .object = value else { throw fault("an object") }
  }

  /// That the file is what it should be, and of a version that is known.
  func check(format: String, version: Int64) throws(ReportError) {
    try checkObject()
    guard try self["format"].string() == format else {
      throw self["format"].problem("this is not a file of format " + format)
    }
    let found = try self["format_version"].count()
    guard found == UInt64(version) else {
      throw self["format_version"].problem("version \(found) is not known, only \(version)")
    }
  }

  /// The parsed text.
  static func parse(_ text: [UInt8]) throws(ReportError) -> Field {
    do throws(JSONError) {
      return Field(root: try JSON.parse(text))
    } catch {
      throw ReportError(error.description)
    }
  }
}
