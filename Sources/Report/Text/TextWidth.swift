/// How many columns of a terminal text takes.
enum TextWidth {
  /// The sum over the scalars: 0 for what combines, 2 for what is wide (Unicode Standard Annex 11, the large blocks), else 1.
  static func of(_ text: String) -> Int {
    var width = 0
    for scalar in text.unicodeScalars { width += of(scalar) }
    return width
  }

  private static func of(_ scalar: Unicode.Scalar) -> Int {
    switch scalar.value {
    case 0..<0x300: return 1
    case 0x300...0x36F, 0x200B...0x200D, 0xFE00...0xFE0F, 0x1AB0...0x1AFF, 0x20D0...0x20FF: return 0
    case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
      0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
      return 2
    default: return 1
    }
  }

  /// `text` in at most `width` columns, with "…" where it was cut.
  static func cut(_ text: String, to width: Int) -> String {
    guard of(text) > width else { return text }
    guard width > 0 else { return "" }
    var (result, used) = (String.UnicodeScalarView(), 0)
    for scalar in text.unicodeScalars {
      guard used + of(scalar) < width else { break }
      used += of(scalar)
      result.append(scalar)
    }
    result.append("…")
    return String(result)
  }

  /// `text` with spaces up to `width` columns, behind it or before it.
  static func padded(_ text: String, to width: Int, isRight: Bool) -> String {
    let missing = width - of(text)
    guard missing > 0 else { return text }
    var spaces = ""
    for _ in 0..<missing { spaces += " " }
    return isRight ? spaces + text : text + spaces
  }

  /// `text` in lines of at most `width` columns, broken at spaces: the first begins where `start` columns are taken already, the
  /// others behind `indentation` spaces.
  static func wrapped(_ text: String, to width: Int, start: Int = 0, indentation: Int = 0) -> String {
    let room = max(20, width)
    var (result, used, isLineStart) = ("", start, true)
    for word in text.split(separator: " ", omittingEmptySubsequences: true) {
      let wide = of(String(word))
      // A word that is longer than a line stays whole, so that it can be copied.
      if isLineStart ? start > indentation && used + wide > room : used + 1 + wide > room {
        result += "\n"
        for _ in 0..<indentation { result += " " }
        used = indentation
      } else if !isLineStart {
        result += " "
        used += 1
      }
      result += word
      used += wide
      isLineStart = false
    }
    return result
  }
}
