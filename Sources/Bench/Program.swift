import CLinux
import System

/// Programs that are run beside the measurement.
enum Program {
  /// What a program said, and how it ended.
  struct Outcome {
    /// nil when it was killed or ended by a signal.
    var exitCode: Int32?
    var output: [UInt8]
    var errors: [UInt8]

    /// "exit code 1: last words".
    var text: String {
      let words = LastWords.of(errors.isEmpty ? output : errors)
      let how = exitCode.map { "exit code \($0)" } ?? "no end"
      return words.isEmpty ? how : "\(how): \(words)"
    }
  }

  /// Runs `words` to the end, with nothing to read, `timeout` nanoseconds at most.
  static func run(
    _ words: [[UInt8]], environment: [[UInt8]], timeout: UInt64, _ interruption: Interruption? = nil
  ) -> Outcome? {
    guard let never = try? Interruption(takesSignals: false),
      let child = try? Child(words, environment: environment, marker: [], instance: "", holdsInput: false)
    else { return nil }
    Child.wait(for: [child], until: Clock.now() &+ timeout, interruption ?? never) { child.end != nil }
    if child.end == nil { Child.end([child], patience: 1_000_000_000) }
    var code: Int32?
    if let end = child.end, clinux_wifexited(end.status) { code = clinux_wexitstatus(end.status) }
    return Outcome(exitCode: code, output: child.output(limit: 64 << 10), errors: child.errorText)
  }
}
