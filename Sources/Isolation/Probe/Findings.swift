/// What a probe said: names with their values, each name as often as it was said.
///
/// A probe runs inside what it looks at, and its text is as little trusted as any guest's: lines of `name=value`, in printable ASCII.
struct Findings: Equatable {
  /// Longest line, and most lines and bytes, that are taken from one probe.
  static let mostLine = 1 << 16
  static let mostLines = 20_000
  static let mostBytes = 4 << 20

  private var values: [String: [String]] = [:]

  /// The first value of `name`.
  subscript(_ name: String) -> String? { values[name]?.first }

  /// Every value of `name`.
  func all(_ name: String) -> [String] { values[name] ?? [] }

  mutating func add(_ name: String, _ value: String) { values[name, default: []].append(value) }

  /// The name and value of one line.
  /// - Throws: `IsolationError` when it is none that a probe writes.
  static func parse(_ line: ArraySlice<UInt8>) throws(IsolationError) -> (name: String, value: String) {
    guard line.count <= mostLine else { throw IsolationError("a line of \(line.count) bytes") }
    guard let border = line.firstIndex(of: UInt8(ascii: "=")) else { throw IsolationError("a line without '='") }
    let name = line[..<border]
    guard !name.isEmpty, name.count <= 48, name.allSatisfy({ isNameByte($0) }) else {
      throw IsolationError("a line whose name is none: \(Text.string(name.prefix(48)))")
    }
    let value = line[(border + 1)...]
    guard value.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else {
      throw IsolationError("a value with bytes that are not printable")
    }
    return (String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self))
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    (byte >= 0x61 && byte <= 0x7A) || (byte >= 0x30 && byte <= 0x39) || byte == 0x2E || byte == 0x2D || byte == 0x5F
  }
}

/// Takes a probe's bytes as they come, and gives its lines.
struct FindingsReader {
  private(set) var findings = Findings()
  private var rest: [UInt8] = []
  private var lines = 0
  private var bytes = 0

  /// Takes more bytes; returns the names of the points at which the probe now waits, and "end" for its last line.
  /// - Throws: `IsolationError` for what no probe says, or too much of it.
  mutating func take(_ more: [UInt8]) throws(IsolationError) -> [String] {
    bytes += more.count
    guard bytes <= Findings.mostBytes else { throw IsolationError("more than \(Findings.mostBytes) bytes") }
    rest += more
    var points: [String] = []
    var start = 0
    while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
      lines += 1
      guard lines <= Findings.mostLines else { throw IsolationError("more than \(Findings.mostLines) lines") }
      var line = rest[start..<end]
      // A serial line ends its lines so.
      if line.last == UInt8(ascii: "\r") { line = line.dropLast() }
      start = end + 1
      let (name, value) = try Findings.parse(line)
      switch name {
      case "sync": points.append(value)
      case "end": points.append("end")
      default: findings.add(name, value)
      }
    }
    rest = Array(rest[start...])
    guard rest.count <= Findings.mostLine else {
      throw IsolationError("a line of more than \(Findings.mostLine) bytes")
    }
    return points
  }
}
