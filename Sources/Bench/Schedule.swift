import Statistics

/// Which arm runs next, and when it is enough.
///
/// All runs are in rounds, in which each arm has its turn once, in a new random order: what the machine does meanwhile hits all
/// alike. Arms that take long have rounds of their own (`slow`), spread between the others', so that they do not use up the time.
/// An arm's part is over when every arm of its rounds is known well enough, and all are when the time is.
public struct Schedule: Sendable {
  /// What ends it.
  public struct Goal: Sendable {
    /// Exactly so many runs of each arm; nil: as many as the precision asks for.
    public var runs: Int?
    /// The interval of every arm's median is to be within this part of the median: 0.02 is 2 %.
    public var precision: Double
    /// Nanoseconds that all may take, where `runs` is nil.
    public var budget: UInt64

    public init(runs: Int?, precision: Double, budget: UInt64) {
      self.runs = runs
      self.precision = precision
      self.budget = budget
    }
  }

  /// Where an arm stands.
  public struct Progress: Equatable, Sendable {
    public var arm: Int
    public var runs: Int
    /// As `Interval.relativeWidth`; infinite at first.
    public var width: Double
  }

  private struct Entry: Sendable {
    var values: [Double] = []
    var estimate: UInt64 = 0
    var isSlow = false
    var isDropped = false
    var width = Double.infinity
    /// Runs at which the width is computed anew: it costs time that grows with the runs.
    var nextCheck = 0
  }

  private let goal: Goal
  private var random: Random
  private let seed: UInt64
  private var entries: [Entry]
  /// Nanoseconds spent in rounds of fast and slow arms.
  private var spent: (fast: UInt64, slow: UInt64) = (0, 0)

  /// Arms whose run takes longer have rounds of their own, in nanoseconds.
  public static let slow: UInt64 = 250_000_000
  /// Runs of an arm before its interval is believed.
  public static let fewest = 10
  /// Runs of a slow arm that are made even when the time is over.
  public static let fewestSlow = 3
  /// Runs of an arm at most.
  public static let most = 2000

  /// A plan for `count` arms. The same `seed` gives the same orders.
  public init(count: Int, goal: Goal, seed: UInt64) {
    self.goal = goal
    self.seed = seed
    random = Random(seed: seed)
    entries = [Entry](repeating: Entry(), count: count)
  }

  /// How long a run of `arm` takes, as its warm-up showed, in nanoseconds.
  public mutating func estimate(_ arm: Int, _ nanoseconds: UInt64) {
    entries[arm].estimate = nanoseconds
    entries[arm].isSlow = goal.runs == nil && nanoseconds > Self.slow
  }

  /// Leaves `arm` out from now on.
  public mutating func drop(_ arm: Int) { entries[arm].isDropped = true }

  /// Notes a run of `arm`.
  public mutating func record(_ arm: Int, _ nanoseconds: UInt64) {
    entries[arm].values.append(Double(nanoseconds))
    if entries[arm].isSlow { spent.slow += nanoseconds } else { spent.fast += nanoseconds }
    let count = entries[arm].values.count
    guard goal.runs == nil, count >= Self.fewestSlow, count >= entries[arm].nextCheck else { return }
    entries[arm].width = Bootstrap.median(entries[arm].values, seed: seed).relativeWidth
    entries[arm].nextCheck = count + max(1, count / 10)
  }

  /// The arms of the next round in their order, `elapsed` nanoseconds after the first; nil when it is enough.
  public mutating func next(elapsed: UInt64) -> [Int]? {
    let (fast, slow) = (members(isSlow: false), members(isSlow: true))
    let isOver = goal.runs == nil && elapsed >= goal.budget
    let wantsFast = wants(fast, isOver: isOver, elapsed)
    let wantsSlow = wants(slow, isOver: isOver, elapsed)
    guard wantsFast || wantsSlow else { return nil }
    // Slow arms may use twice the time of the others, and go on alone when those are done.
    var round = wantsSlow && (!wantsFast || spent.slow < 2 * spent.fast) ? slow : fast
    random.shuffle(&round)
    return round
  }

  /// The arm that is known worst among those that still run; nil with a fixed number of runs.
  public var worst: Progress? {
    guard goal.runs == nil else { return nil }
    var worst: Progress?
    for (index, entry) in entries.enumerated() where !entry.isDropped {
      if worst.map({ entry.width > $0.width }) ?? true {
        worst = Progress(arm: index, runs: entry.values.count, width: entry.width)
      }
    }
    return worst
  }

  /// Runs that were made of all that are to be made, with a fixed number of runs.
  public var done: (runs: Int, of: Int)? {
    guard let runs = goal.runs else { return nil }
    let active = entries.filter { !$0.isDropped }
    return (active.reduce(0) { $0 + min(runs, $1.values.count) }, runs * active.count)
  }

  private func members(isSlow: Bool) -> [Int] {
    entries.indices.filter { !entries[$0].isDropped && entries[$0].isSlow == isSlow }
  }

  /// Whether these arms are to have another round.
  private func wants(_ arms: [Int], isOver: Bool, _ elapsed: UInt64) -> Bool {
    guard let fewest = arms.map({ entries[$0].values.count }).min() else { return false }
    if let runs = goal.runs { return fewest < runs }
    if isOver { return fewest < Self.fewestSlow }
    guard fewest < Self.most else { return false }
    // A round that would end far behind the time is not begun.
    var cost: UInt64 = 0
    for arm in arms { cost += entries[arm].estimate }
    if fewest >= Self.fewestSlow, elapsed + cost / 2 > goal.budget { return false }
    if fewest < Self.fewest { return true }
    return arms.contains { entries[$0].width > goal.precision }
  }
}
