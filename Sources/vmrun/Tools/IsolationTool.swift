/// `vmrun isolation`.
enum IsolationTool {
  /// Runs it with the words behind its name; returns the exit code.
  static func run(_ words: [[UInt8]]) -> Int32 { 125 }
}
