import Bench
import CLinux
import Report
import System

/// What the bench says on standard error while it runs: one line that changes on a terminal, lines now and then elsewhere.
final class BenchProgress {
  private let isQuiet: Bool
  private let isTerminal: Bool
  /// When the last line was written.
  private var last: UInt64 = 0
  private var hasLine = false

  init(isQuiet: Bool) {
    self.isQuiet = isQuiet
    isTerminal = isatty(2) == 1
  }

  /// The columns of the terminal `descriptor`; 100 where it is none.
  static func width(of descriptor: Int32) -> Int {
    var size = winsize()
    // unsafe: TIOCGWINSZ fills the one struct it is given.
    let result = unsafe withUnsafeMutablePointer(to: &size) {
      unsafe clinux_ioctl_pointer(descriptor, UInt(TIOCGWINSZ), $0)
    }
    return result == 0 && size.ws_col >= 40 ? Int(size.ws_col) : 100
  }

  func begin(seed: UInt64, missing: [Fact]) {
    guard !isQuiet else { return }
    Log.message("bench: seed \(seed)")
    for fact in missing { Log.message("\(fact.name): left out: \(fact.value)") }
  }

  func show(_ event: BenchEvent) {
    guard !isQuiet else { return }
    switch event {
    case .trying(let arm): change("trying \(arm)")
    case .missing(let fact):
      end()
      Log.message("\(fact.name): left out: \(fact.value)")
    case .part(let text): change(text)
    case .round(let progress): change(ProgressText.line(progress))
    }
  }

  /// Shows `text`: ten times a second on a terminal, every ten seconds elsewhere.
  private func change(_ text: String) {
    let now = Clock.now()
    guard now - last >= (isTerminal ? 100_000_000 : 10_000_000_000) else { return }
    last = now
    guard isTerminal else {
      Log.message(text)
      return
    }
    let room = Self.width(of: 2) - 1
    // All of it is ASCII: a byte is a column.
    Log.raw("\r\u{1B}[K" + String(decoding: text.utf8.prefix(room), as: UTF8.self))
    hasLine = true
  }

  /// Takes the changing line away.
  func end() {
    if hasLine { Log.raw("\r\u{1B}[K") }
    hasLine = false
  }
}
