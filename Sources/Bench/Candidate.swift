import Report

/// An arm that is ready to be run: its command in all forms, and how its payload is known.
public struct Candidate: Sendable {
  /// What the report says of it.
  public var arm: Arm
  /// The program, by its absolute path, and its arguments; `Candidate.instance` in one stands for a name that no other run has.
  public var arguments: [String]
  /// The same with a payload that prints its line and waits for the end of its input; nil where there is none.
  public var waiting: [String]?
  /// What ends the waiting payload beside the end of its input.
  public var farewell: [UInt8] = []
  /// Whether it tells its phases on standard error as vmrun's --timings=json does. That costs nothing measurable (medians of 150
  /// interleaved runs, with and without: container 8.73 and 8.80 ms, built-in guest 2.73 and 2.75 ms), so that all runs do.
  public var tellsPhases = false
  /// "NAME=VALUE": variables beside the bench's own.
  public var environment: [String] = []
  /// What the payload's output begins with; what comes before it is the launcher's or kernel's.
  public var marker: [UInt8]
  /// The exit code of a run that went well.
  public var exitCode: Int32 = 0
  /// Files that a start reads, as far as they are known: what a cold start finds dropped from memory.
  public var files: [String] = []
  /// Commands that remove what is left of an instance whose launcher was killed.
  public var undo: [[String]] = []
  /// Commands, each tried once before any measuring, that `arguments` may be replaced by when they fail, with what to note then.
  public var alternatives: [(arguments: [String], note: String)] = []
  /// The forms for a host on which vmrun's own Linux guests run on KVM, and what to note then; nil where that makes no difference.
  public var accelerated: (arguments: [String], waiting: [String], note: String)?
  /// Bytes of guest memory; 0 for what has none. Mappings of guest memory are told from the monitor's own by it.
  public var guestMemory: UInt64 = 0

  /// Stands for the instance's own name in arguments.
  public static let instance = "{id}"

  public init(arm: Arm, arguments: [String], marker: [UInt8]) {
    self.arm = arm
    self.arguments = arguments
    self.marker = marker
  }

  /// `words` with the instance's name put in.
  static func words(_ words: [String], instance: String) -> [[UInt8]] {
    words.map { Array(($0 == Self.instance ? instance : $0).utf8) }
  }
}
