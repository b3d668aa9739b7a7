import Report
import Statistics

/// This run beside a saved one.
public enum Comparison {
  /// One arm then and now.
  public struct Row: Equatable, Sendable {
    public var arm: String
    public var cache: PageCache
    /// Medians in nanoseconds.
    public var then: Double
    public var now: Double
    /// Now by then.
    public var ratio: Interval

    /// Whether the interval leaves out "no change".
    public var hasChanged: Bool { !ratio.contains(1) }
  }

  /// The rows of all arms that both have.
  public static func rows(_ now: BenchReport, baseline: BenchReport) -> [Row] {
    var rows: [Row] = []
    for series in now.series {
      let other = baseline.series.first { $0.arm == series.arm && $0.cache == series.cache }
      guard let other, !other.samples.isEmpty, !series.samples.isEmpty else { continue }
      let (new, old) = (series.samples.map { Double($0.wall) }, other.samples.map { Double($0.wall) })
      rows.append(
        Row(
          arm: series.arm, cache: series.cache, then: median(old), now: median(new),
          ratio: Bootstrap.ratio(new, old, seed: now.seed)))
    }
    return rows
  }

  /// A table of `rows`; those that changed beyond their interval are marked.
  public static func table(_ rows: [Row]) -> String {
    guard !rows.isEmpty else { return "baseline: no arm is in both\n" }
    let width = rows.reduce(4) { max($0, label($1).utf8.count) }
    var text = "against the baseline (ratio now / then, 95 % interval)\n"
    for row in rows {
      let name = label(row)
      text += "  " + name + String(repeating: " ", count: width - name.utf8.count)
      text +=
        "  " + Decimal.text(row.then / 1e6, places: 3) + " -> " + Decimal.text(row.now / 1e6, places: 3) + " ms  x"
      text += Decimal.text(row.ratio.middle, places: 3) + " ["
      text += Decimal.text(row.ratio.low, places: 3) + ", " + Decimal.text(row.ratio.high, places: 3) + "]"
      text += row.hasChanged ? (row.ratio.middle > 1 ? "  slower" : "  faster") : "  no change seen"
      text += "\n"
    }
    return text
  }

  private static func label(_ row: Row) -> String { row.cache == .warm ? row.arm : row.arm + ", cold" }
}
