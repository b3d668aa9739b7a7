/// What is wrong with a configuration: where, what, and what would be right.
public struct SpecError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The path of the value in the file, for example "process.rlimits[2].type"; empty for the whole.
  public private(set) var path: String
  /// What is wrong with it.
  public let problem: String
  /// Whether the value is right by the specification, and vmrun does not offer what it asks for.
  public let isUnsupported: Bool

  /// "process.rlimits[2].type: 'RLIMIT_X' is no resource limit".
  public var description: String { path.isEmpty ? problem : "\(path): \(problem)" }

  init(_ problem: String, path: String = "", isUnsupported: Bool = false) {
    self.path = path
    self.problem = problem
    self.isUnsupported = isUnsupported
  }

  /// The same error as seen from the container of the value, which knows it as `step`: a member's name or "[index]".
  func inside(_ step: String) -> SpecError {
    var error = self
    error.path = SpecPath.join(step, path)
    return error
  }
}

/// Paths of values in a configuration.
enum SpecPath {
  /// "mounts" and "[1].type" are "mounts[1].type"; "process" and "cwd" are "process.cwd".
  static func join(_ step: String, _ rest: String) -> String {
    rest.isEmpty || rest.utf8.first == UInt8(ascii: "[") ? step + rest : "\(step).\(rest)"
  }

  /// A member's name of a map, which may hold dots.
  static func key(_ name: String) -> String { "[\(quoted(name))]" }
}

/// `text` in quotes for a message: shortened, and without what a terminal would obey.
func quoted(_ text: String) -> String {
  let most = 80
  var shown = "'"
  var count = 0
  for scalar in text.unicodeScalars {
    if count == most {
      shown += "..."
      break
    }
    count += 1
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069: shown += "?"
    default: shown.unicodeScalars.append(scalar)
    }
  }
  return shown + "'"
}
