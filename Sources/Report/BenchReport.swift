/// One fact about where the bench ran.
public struct Fact: Equatable, Sendable {
  public var name: String
  public var value: String

  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// All that one bench run found: plain data, from which every output is made.
public struct BenchReport: Sendable {
  /// The program's version that measured.
  public var version = ""
  /// Seconds since 1970.
  public var date: Int64 = 0
  /// The command line that makes the same run again.
  public var command: [String] = []
  public var seed: UInt64 = 0
  /// The arm that ratios refer to.
  public var reference = ""
  public var environment: [Fact] = []
  public var arms: [Arm] = []
  public var series: [Series] = []
  public var concurrency: [ConcurrencyPoint] = []
  public var density: [DensityPoint] = []
  /// Arms that were asked for or might have been there, and why they were not run.
  public var missing: [Fact] = []
  /// Whether it was ended before everything was measured.
  public var isInterrupted = false
  /// What `vmrun isolation` found, when it ran too.
  public var isolation: IsolationReport?

  public init() {}
}
