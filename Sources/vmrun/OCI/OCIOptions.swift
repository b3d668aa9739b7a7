/// One option of the runtime's command line.
struct OCIOption: Sendable {
  /// "--bundle", "-b".
  let names: [String]
  /// What its value is called in the help; nil for a switch.
  let value: String?
  let about: String

  init(_ name: String, short: String? = nil, value: String? = nil, _ about: String) {
    names = short.map { [name, $0] } ?? [name]
    self.value = value
    self.about = about
  }
}

/// A command line's options and what is left of it.
struct OCIWords: Equatable {
  /// The option's long name and its value ("" for a switch), in the order given.
  private(set) var options: [(name: String, value: String)] = []
  /// The words that are no options.
  private(set) var operands: [[UInt8]] = []

  static func == (left: OCIWords, right: OCIWords) -> Bool {
    left.operands == right.operands && left.options.count == right.options.count
      && zip(left.options, right.options).allSatisfy { $0.name == $1.name && $0.value == $1.value }
  }

  mutating func append(operand: [UInt8]) { operands.append(operand) }

  /// Whether the switch was given.
  func has(_ name: String) -> Bool { options.contains { $0.name == name } }

  /// The value of the option, the last where it was given more than once.
  func value(_ name: String) -> String? { options.last { $0.name == name }?.value }

  /// As `value`; an empty one, as from a variable that is not set, is an error.
  func path(_ name: String) throws(UsageError) -> String? {
    guard let path = value(name) else { return nil }
    guard !path.isEmpty else { throw UsageError("\(name) was given an empty path") }
    return path
  }

  /// All values of the option.
  func values(_ name: String) -> [String] { options.filter { $0.name == name }.map { $0.value } }

  /// The value of the option as a number.
  func integer(_ name: String, _ range: ClosedRange<Int64> = .min ... .max) throws(UsageError) -> Int64? {
    guard let text = value(name) else { return nil }
    guard let number = Int64(text), range.contains(number) else {
      let limits = range == .min ... .max ? "" : " from \(range.lowerBound) to \(range.upperBound)"
      throw UsageError("\(name) \(text): expected a whole number\(limits)")
    }
    return number
  }

  /// Reads `words` from `index` on.
  ///
  /// As in the command lines of runc, an option is "--name value", "--name=value", "-n value" or "-name value", and a switch can
  /// be given as "--name=true" or "--name=false".
  /// - Parameter mixed: whether options may stand behind operands; without, the first operand ends them, and so does "--".
  /// - Returns: where reading stopped: behind the last word with `mixed`, at the first operand without.
  mutating func read(_ words: [[UInt8]], from index: Int, _ known: [OCIOption], mixed: Bool) throws(UsageError) -> Int {
    var index = index
    var onlyOperands = false
    while index < words.count {
      let word = String(decoding: words[index], as: UTF8.self)
      let isOption = !onlyOperands && word.utf8.count > 1 && word.utf8.first == UInt8(ascii: "-")
      if !isOption {
        guard mixed else { return index }
        operands.append(words[index])
        index += 1
        continue
      }
      index += 1
      if word == "--" {
        guard mixed else { return index }
        onlyOperands = true
        continue
      }
      let (name, attached) = Self.split(word)
      guard let option = Self.find(name, known) else {
        throw UsageError("unknown option \(name)\(Self.suggestion(name, known))")
      }
      let long = option.names[0]
      guard option.value != nil else {
        switch attached {
        case nil, "true", "1": options.append((long, ""))
        case "false", "0": options.removeAll { $0.name == long }
        case let other?: throw UsageError("\(long)=\(other): it is a switch, and takes at most true or false")
        }
        continue
      }
      if let attached {
        options.append((long, attached))
      } else {
        guard index < words.count else { throw UsageError("\(long) needs a value: \(long) \(option.value ?? "")") }
        options.append((long, String(decoding: words[index], as: UTF8.self)))
        index += 1
      }
    }
    return index
  }

  private static func split(_ word: String) -> (name: String, value: String?) {
    guard let equals = word.utf8.firstIndex(of: UInt8(ascii: "=")) else { return (word, nil) }
    return (String(word[..<equals]), String(word[word.utf8.index(after: equals)...]))
  }

  static func find(_ name: String, _ known: [OCIOption]) -> OCIOption? {
    for option in known where option.names.contains(name) || option.names[0] == "-" + name { return option }
    return nil
  }

  private static func suggestion(_ name: String, _ known: [OCIOption]) -> String {
    for option in known where ArgumentParser.isNear(Array(name.utf8), Array(option.names[0].utf8)) {
      return ": did you mean \(option.names[0])?"
    }
    return ""
  }
}
