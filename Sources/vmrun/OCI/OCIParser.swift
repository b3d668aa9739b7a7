import Container

/// `--log-format`.
enum OCILogFormat: Equatable, Sendable { case text, json }

/// The options before the verb.
struct OCIGlobals: Equatable, Sendable {
  /// Absolute; nil for the default.
  var root: String?
  var log: String?
  var format = OCILogFormat.text
  var debug = false
  var systemdCgroup = false
  var rootless: Bool?
}

/// What a command line of the runtime asks for.
enum OCIInvocation: Equatable {
  case help(OCIVerb?)
  case version
  case verb(OCIVerb, OCIWords)
}

/// Reads command lines of the runtime: `[global options] verb [options] operands`.
struct OCIParser {
  private let words: [[UInt8]]
  /// As far as they were read when an error came: so that it can be logged where the caller looks for it.
  private(set) var globals = OCIGlobals()

  init(_ words: [[UInt8]]) { self.words = words }

  /// Whether a command line is one of the runtime: it begins with a verb or what may be a mistyped one, or with an option that
  /// only the runtime has.
  static func takes(_ words: [[UInt8]]) -> Bool {
    guard let first = words.first else { return false }
    if OCIVerb(word: first) != nil { return true }
    let name = String(decoding: first.prefix { $0 != UInt8(ascii: "=") }, as: UTF8.self)
    if name.utf8.first != UInt8(ascii: "-") { return suggestion(for: name) != nil }
    switch name {
    case "--help", "-h", "--version", "-v": return false
    default: return OCIVerb.globalOptions.contains { $0.names.contains(name) }
    }
  }

  /// The verb that a word which is neither option nor verb may have meant.
  static func suggestion(for word: String) -> String? {
    for verb in OCIVerb.allCases where ArgumentParser.isNear(Array(word.utf8), Array(verb.rawValue.utf8)) {
      return verb.rawValue
    }
    return nil
  }

  mutating func parse() throws(UsageError) -> OCIInvocation {
    var global = OCIWords()
    let position = try global.read(words, from: 0, OCIVerb.globalOptions, mixed: false)
    // Where to tell of errors comes first.
    globals.log = try global.path("--log")
    globals.debug = global.has("--debug")
    switch global.value("--log-format") {
    case nil, "text": globals.format = .text
    case "json": globals.format = .json
    case let other?: throw UsageError("--log-format \(other): expected text or json")
    }
    globals.root = try global.path("--root")
    globals.systemdCgroup = global.has("--systemd-cgroup")
    switch global.value("--rootless") {
    case nil, "auto": globals.rootless = nil
    case "true": globals.rootless = true
    case "false": globals.rootless = false
    case let other?: throw UsageError("--rootless \(other): expected true, false or auto")
    }
    if global.has("--help") { return .help(nil) }
    if global.has("--version") { return .version }
    guard position < words.count else {
      throw UsageError("a verb is missing: create, start, run, state, kill, delete ...")
    }
    guard let verb = OCIVerb(word: words[position]) else {
      let word = String(decoding: words[position], as: UTF8.self)
      throw UsageError("unknown verb '\(word)'" + (Self.suggestion(for: word).map { ": did you mean \($0)?" } ?? ""))
    }
    return try parse(verb, from: position + 1)
  }

  private func parse(_ verb: OCIVerb, from position: Int) throws(UsageError) -> OCIInvocation {
    var arguments = OCIWords()
    if verb == .checkpoint || verb == .restore {
      // Refused whatever they are given: their many options need no understanding.
      let asksHelp = words[position...].contains { $0.elementsEqual("--help".utf8) || $0.elementsEqual("-h".utf8) }
      return asksHelp ? .help(verb) : .verb(verb, arguments)
    }
    let known = verb.options + [OCIOption("--help", short: "-h", "")]
    // What follows the ID belongs to the command, or to ps.
    let mixed = verb != .exec && verb != .ps
    do throws(UsageError) {
      let rest = try arguments.read(words, from: position, known, mixed: mixed)
      if !mixed { arguments.add(words[rest...]) }
    } catch {
      throw UsageError("\(verb.rawValue): \(error.message)")
    }
    if arguments.has("--help") { return .help(verb) }
    let count = arguments.operands.count
    guard verb.operandCount.contains(count) else {
      throw UsageError(
        count < verb.operandCount.lowerBound
          ? "\(verb.rawValue): the container's ID is missing: vmrun \(verb.rawValue) \(verb.operands)"
          : "\(verb.rawValue): too many words: vmrun \(verb.rawValue) \(verb.operands)")
    }
    return .verb(verb, arguments)
  }
}

extension OCIWords {
  /// Takes `words` as operands.
  mutating func add(_ words: ArraySlice<[UInt8]>) {
    for word in words { append(operand: word) }
  }

  /// The container's ID: the first operand.
  var id: String { operands.first.map { String(decoding: $0, as: UTF8.self) } ?? "" }
}
