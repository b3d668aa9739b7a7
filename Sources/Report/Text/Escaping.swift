/// Text that others wrote (names of arms, command lines, findings), made harmless for where it goes.
enum Escaping {
  /// Without what would act on a terminal or be no XML: control characters and noncharacters become U+FFFD, line ends a space.
  static func plain(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { result.append(harmless(scalar)) }
    return String(result)
  }

  private static func harmless(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
    switch scalar.value {
    case 0x09, 0x0A, 0x0D: return " "
    case 0..<0x20, 0x7F...0x9F, 0xFFFE, 0xFFFF: return "\u{FFFD}"
    // What reorders the text around it could make one figure look like another's.
    case 0x202A...0x202E, 0x2066...0x2069, 0x200E, 0x200F, 0x2028, 0x2029: return "\u{FFFD}"
    default: return scalar
    }
  }

  /// For XHTML, within elements and within quoted attributes.
  static func markup(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result.append(contentsOf: "&amp;".unicodeScalars)
      case "<": result.append(contentsOf: "&lt;".unicodeScalars)
      case ">": result.append(contentsOf: "&gt;".unicodeScalars)
      case "\"": result.append(contentsOf: "&quot;".unicodeScalars)
      case "'": result.append(contentsOf: "&#39;".unicodeScalars)
      default: result.append(harmless(scalar))
      }
    }
    return String(result)
  }

  /// For GitHub's Markdown, within a cell of a table or a paragraph: nothing in it is markup, a link or a mention.
  static func markdown(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result.append(contentsOf: "&amp;".unicodeScalars)
      case "<": result.append(contentsOf: "&lt;".unicodeScalars)
      case ">": result.append(contentsOf: "&gt;".unicodeScalars)
      case "@": result.append(contentsOf: "&#64;".unicodeScalars)
      case "#": result.append(contentsOf: "&#35;".unicodeScalars)
      case "\\", "|", "`", "*", "_", "[", "]", "~", "$":
        result.append("\\")
        result.append(scalar)
      default: result.append(harmless(scalar))
      }
    }
    return String(result)
  }

  /// One field of CSV (RFC 4180, section 2): quoted where it must be.
  static func csv(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0 == "," || $0 == "\"" || $0 == "\r" || $0 == "\n" }) else {
      return text
    }
    var result: String.UnicodeScalarView = "\"".unicodeScalars
    for scalar in text.unicodeScalars {
      if scalar == "\"" { result.append(scalar) }
      result.append(scalar)
    }
    result.append("\"")
    return String(result)
  }

  /// The words as one line that a shell (POSIX, 2.2.2 Single-Quotes) reads as just these words.
  static func shell(_ words: [String]) -> String {
    var line = ""
    for word in words {
      if !line.isEmpty { line += " " }
      line += isPlainWord(word) ? word : quoted(word)
    }
    return line
  }

  private static func isPlainWord(_ word: String) -> Bool {
    !word.isEmpty
      && word.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "+")...UInt8(ascii: ":"), UInt8(ascii: "="), UInt8(ascii: "@"), UInt8(ascii: "_"),
          UInt8(ascii: "%"):
          return true
        default: return false
        }
      }
  }

  private static func quoted(_ word: String) -> String {
    var text = "'"
    for scalar in word.unicodeScalars {
      if scalar == "'" { text += "'\\''" } else { text.unicodeScalars.append(scalar) }
    }
    return text + "'"
  }
}
