import Statistics

/// Several runs of one arm at once. Times in nanoseconds.
public struct ConcurrencySummary: Sendable {
  /// Index into the report's arms.
  public let arm: Int
  public let level: UInt32
  /// Runs that ended in a second of the whole sweep; nil where the sweep took no time.
  public let throughput: Double?
  /// Of the runs' wall times.
  public let latency: Statistics.Summary
  /// Ascending.
  public let sorted: [Double]
}

/// The ratio of two of vmrun's own arms.
public struct Comparison: Sendable {
  /// Indices into the report's arms.
  public let arm: Int
  public let other: Int
  public let ratio: Interval
}

/// All figures that the outputs show: worked out once, so that all show the same.
public struct ReportSummary: Sendable {
  /// Of each series that has samples and whose arm is known, warm ones first, else in the report's order.
  public let series: [SeriesSummary]
  public let concurrency: [ConcurrencySummary]
  /// Each VM of vmrun by vmrun's first container, with a warm page cache.
  public let machinesByContainer: [Comparison]
  /// Index of the reference arm.
  public let reference: Int?

  public init(_ report: BenchReport) {
    let arms = report.arms
    func index(_ id: String) -> Int? { arms.firstIndex { $0.id == id } }
    reference = index(report.reference)
    var summaries: [SeriesSummary] = []
    for cache in [PageCache.warm, .cold] {
      let reference = report.series.first { $0.cache == cache && $0.arm == report.reference && !$0.samples.isEmpty }
      for (place, series) in report.series.enumerated() where series.cache == cache && !series.samples.isEmpty {
        guard let arm = index(series.arm) else { continue }
        summaries.append(SeriesSummary(series, at: place, arm: arm, reference: reference, seed: report.seed))
      }
    }
    series = summaries
    concurrency = report.concurrency.compactMap { point in
      guard let arm = index(point.arm), !point.latencies.isEmpty else { return nil }
      let sorted = point.latencies.map { Double($0) }.sorted()
      return ConcurrencySummary(
        arm: arm, level: point.level,
        throughput: point.elapsed > 0 ? Double(sorted.count) * 1e9 / Double(point.elapsed) : nil,
        latency: Statistics.Summary(sorted), sorted: sorted)
    }
    machinesByContainer = Self.compare(report, summaries)
  }

  private static func compare(_ report: BenchReport, _ summaries: [SeriesSummary]) -> [Comparison] {
    func own(_ kind: Arm.Kind) -> [SeriesSummary] {
      summaries.filter {
        $0.cache == .warm && report.arms[$0.arm].kind == kind && !report.arms[$0.arm].isPeer
      }
    }
    func times(_ summary: SeriesSummary) -> [Double] {
      report.series[summary.index].samples.sorted { $0.order < $1.order }.map { Double($0.wall) }
    }
    guard let container = own(.container).first else { return [] }
    let others = times(container)
    return own(.machine).compactMap { machine in
      let ratio = Bootstrap.ratio(times(machine), others, seed: report.seed)
      guard ratio.middle.isFinite, ratio.middle > 0 else { return nil }
      return Comparison(arm: machine.arm, other: container.arm, ratio: ratio)
    }
  }

  /// The series with one state of the page cache.
  public func series(_ cache: PageCache) -> [SeriesSummary] { series.filter { $0.cache == cache } }
}
