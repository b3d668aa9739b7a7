/// What the command line asks for, in words separated by blanks. The README beside this folder lists them.
struct CommandLine {
  /// How the guest ends.
  enum Ending {
    case exit, powerOff, reset, fault, halt, spin
  }

  /// A word that the guest does not know, or whose value makes no sense.
  struct Mistake: Error {
    let word: Text
  }

  private(set) var ending = Ending.exit
  private(set) var exitCode: UInt32 = 0
  private(set) var isQuiet = false
  private(set) var repeatsInput = false
  /// Bytes of filling to send.
  private(set) var flood: UInt64 = 0
  private(set) var echo: Text?

  /// - Throws: `Mistake` for the first word that is not understood.
  init(_ text: Text) throws(Mistake) {
    var start = 0
    while start < text.count {
      var end = start
      while end < text.count && text[end] != Text.blank { end += 1 }
      if end > start { try take(text[start..<end]) }
      start = end + 1
    }
  }

  private mutating func take(_ word: Text) throws(Mistake) {
    if let value = word.after("exit=") {
      guard let code = value.number, code <= 255 else { throw Mistake(word: word) }
      exitCode = UInt32(truncatingIfNeeded: code)
    } else if let value = word.after("echo=") {
      echo = value
    } else if let value = word.after("flood=") {
      guard let count = value.number else { throw Mistake(word: word) }
      flood = count
    } else if word == "quiet" {
      isQuiet = true
    } else if word == "cat" {
      repeatsInput = true
    } else if word == "poweroff" {
      ending = .powerOff
    } else if word == "reset" {
      ending = .reset
    } else if word == "fault" {
      ending = .fault
    } else if word == "halt" {
      ending = .halt
    } else if word == "spin" {
      ending = .spin
    } else {
      throw Mistake(word: word)
    }
  }
}
