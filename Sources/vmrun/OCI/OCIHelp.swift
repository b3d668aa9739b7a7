/// The texts of `vmrun VERB --help`.
enum OCIHelp {
  /// How each verb's errors in the command line end.
  static func pointer(_ verb: OCIVerb?) -> String {
    verb.map { "see vmrun \($0.rawValue) --help" } ?? Help.pointer
  }

  /// The verbs, as lines of `vmrun --help`.
  static var overview: String {
    var text = ""
    for verb in OCIVerb.allCases { text += "  " + pad(verb.rawValue, 12) + verb.summary + "\n" }
    return text
  }

  /// The options before the verb.
  static var global: String {
    "usage:\n  vmrun [global options] VERB [options] [ID]\n\n" + list("global options", OCIVerb.globalOptions)
      + "\nverbs:\n"
      + overview + "\nvmrun VERB --help explains each.\n"
  }

  /// The whole help of one verb.
  static func text(_ verb: OCIVerb) -> String {
    var usage = "vmrun \(verb.rawValue)"
    if !verb.options.isEmpty { usage += " [options]" }
    if !verb.operands.isEmpty { usage += " \(verb.operands)" }
    var text = "vmrun \(verb.rawValue) \(verb.summary).\n\nusage:\n  \(usage)\n"
    if !verb.details.isEmpty { text += "\n\(verb.details)\n" }
    if !verb.options.isEmpty { text += "\n" + list("options", verb.options) }
    return text
  }

  private static func list(_ title: String, _ options: [OCIOption]) -> String {
    var text = "\(title):\n"
    for option in options {
      var names = option.names[0]
      if let value = option.value { names += " \(value)" }
      if option.names.count > 1 { names += ", \(option.names[1])" }
      text += "  " + pad(names, 30) + option.about + "\n"
    }
    return text
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.utf8.count))
  }
}
