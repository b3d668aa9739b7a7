import Statistics

/// A phase of a start: medians over the runs, in nanoseconds from the start of the process.
public struct PhaseSummary: Equatable, Sendable {
  public let name: String
  public let start: Double
  public let end: Double
}

/// What one series says. Times in nanoseconds, sizes in bytes.
public struct SeriesSummary: Sendable {
  /// Index into the report's arms.
  public let arm: Int
  /// Index into the report's series.
  public let index: Int
  public let cache: PageCache
  /// Of the wall time.
  public let wall: Statistics.Summary
  /// The median of the wall time; unbounded for a single run.
  public let interval: Interval
  /// By the reference arm's median with the same page cache; nil for the reference itself and where it has no such series.
  public let ratio: Interval?
  /// Medians; nil where nothing was measured.
  public let firstByte: Double?
  public let user: Double
  public let system: Double
  public let peakResident: Double?
  /// Where the runs fall into two groups beyond chance.
  public let groups: Modality?
  /// Where the runs grow slower or faster over the bench beyond chance.
  public let drift: Drift?
  /// In order of time, of the runs that tell the phases that most runs tell.
  public let phases: [PhaseSummary]
  /// How many runs these are.
  public let phaseRuns: Int

  init(_ series: Series, at index: Int, arm: Int, reference: Series?, seed: UInt64) {
    self.index = index
    self.arm = arm
    cache = series.cache
    let samples = series.samples.sorted { $0.order < $1.order }
    let times = samples.map { Double($0.wall) }
    wall = Statistics.Summary(times)
    interval = Bootstrap.median(times, seed: seed)
    if let reference, reference.arm != series.arm {
      let others = reference.samples.sorted { $0.order < $1.order }.map { Double($0.wall) }
      let ratio = Bootstrap.ratio(times, others, seed: seed)
      self.ratio = ratio.middle.isFinite && ratio.middle > 0 ? ratio : nil
    } else {
      ratio = nil
    }
    let firsts = samples.compactMap { sample in sample.firstByte.map { Double($0) } }
    firstByte = firsts.isEmpty ? nil : median(firsts)
    user = median(samples.map { Double($0.user) })
    system = median(samples.map { Double($0.system) })
    let peak = median(samples.map { Double($0.peakResident) })
    peakResident = peak > 0 ? peak : nil
    let modality = Modality(times, seed: seed)
    groups = modality.flatMap { $0.isMultimodal ? $0 : nil }
    let drift = Drift(times)
    self.drift = drift.flatMap { $0.isDrifting ? $0 : nil }
    (phases, phaseRuns) = Self.phases(samples)
  }

  /// Only runs with the same phases are put together: then medians of ends ascend as the ends do.
  private static func phases(_ samples: [Sample]) -> ([PhaseSummary], Int) {
    var lists: [(names: [String], samples: [Int])] = []
    for (index, sample) in samples.enumerated() where !sample.phases.isEmpty {
      let names = sample.phases.map { $0.name }
      if let place = lists.firstIndex(where: { $0.names == names }) {
        lists[place].samples.append(index)
      } else if lists.count < 16 {
        lists.append((names, [index]))
      }
    }
    guard let most = lists.max(by: { $0.samples.count < $1.samples.count }) else { return ([], 0) }
    var phases: [PhaseSummary] = []
    var start = 0.0
    for (place, name) in most.names.enumerated() {
      let end = max(start, median(most.samples.map { Double(samples[$0].phases[place].end) }))
      phases.append(PhaseSummary(name: name, start: start, end: end))
      start = end
    }
    return (phases, most.samples.count)
  }
}
