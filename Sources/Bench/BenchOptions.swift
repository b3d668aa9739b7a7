import Report

/// How a bench measures.
public struct BenchOptions: Sendable {
  /// When it is enough.
  public var goal = Schedule.Goal(runs: nil, precision: 0.02, budget: 60_000_000_000)
  /// Runs of each arm that are made first and not counted, one of them to see whether it works.
  public var warmUps = 2
  /// States of the page cache, each of which has rounds of its own.
  public var caches: [PageCache] = [.warm]
  public var seed: UInt64 = 1
  /// Nanoseconds that one run may take.
  public var timeout: UInt64 = 60_000_000_000
  /// How many run at once; empty leaves the measurement out.
  public var levels: [Int] = []
  /// Runs of each arm at each level.
  public var concurrentRuns = 32
  /// Instances that wait at once at most; 0 leaves the measurement out.
  public var density = 0
  /// Whether system calls are counted and memory is looked at, once for each arm.
  public var looksCloser = true

  public init() {}
}

/// What a bench tells while it runs.
public enum BenchEvent: Sendable {
  /// An arm is tried for the first time.
  case trying(String)
  /// An arm is left out.
  case missing(Fact)
  /// A round begins.
  case round(RoundProgress)
  /// Another part begins: "system calls", "4 at once" ...
  case part(String)
}

/// Where the rounds stand.
public struct RoundProgress: Sendable {
  public var cache: PageCache
  public var round: Int
  /// Nanoseconds since the first round, and how many there may be; nil for a fixed number of runs.
  public var elapsed: UInt64
  public var budget: UInt64?
  /// Runs made and to be made, for a fixed number of runs.
  public var done: (runs: Int, of: Int)?
  /// The arm whose interval is widest, its width and what it shall be; nil for a fixed number of runs.
  public var worst: (arm: String, runs: Int, width: Double, goal: Double)?
}
