import Statistics

/// What the figures say, in sentences that say no more than they do.
struct Wording {
  let report: BenchReport
  let summary: ReportSummary

  /// "1.80 times as long (95 % interval 1.71 to 1.92)"; that no difference was shown, where 1 is inside.
  static func ratio(_ ratio: Interval, to other: String) -> String {
    var text = ""
    if !ratio.low.isFinite || !ratio.high.isFinite {
      text += Figures.three(ratio.middle)
      text += " times as long as "
      text += other
      return text + ", of too few runs for an interval"
    }
    if ratio.contains(1) {
      text += "no difference from "
      text += other
      text += " was shown (ratio "
      text += Figures.three(ratio.middle)
      text += ", 95 % interval "
      text += range(ratio)
      return text + ")"
    }
    text += Figures.three(ratio.middle)
    text += " times as long as "
    text += other
    text += " (95 % interval "
    text += range(ratio)
    return text + ")"
  }

  /// "1.71 to 1.92", with as many digits as the middle has.
  static func range(_ interval: Interval, unit: Double = 1) -> String {
    guard interval.low.isFinite, interval.high.isFinite else { return "unknown" }
    let decimals = Figures.decimals(of: interval.middle / unit)
    var text = Figures.fixed(interval.low / unit, decimals: decimals)
    text += " to "
    return text + Figures.fixed(interval.high / unit, decimals: decimals)
  }

  /// "2.31 ms (95 % interval 2.25 to 2.40)".
  static func duration(_ interval: Interval) -> String {
    let unit = Unit.time(for: [interval.middle])
    var text = unit.labelled(interval.middle)
    guard interval.low.isFinite, interval.high.isFinite else { return text + " (too few runs for an interval)" }
    text += " (95 % interval "
    text += range(interval, unit: unit.size)
    return text + ")"
  }

  func name(_ arm: Int) -> String { Escaping.plain(report.arms[arm].name) }

  /// The main findings, in order of importance.
  func findings() -> [String] {
    var sentences: [String] = []
    let warm = summary.series(.warm)
    let main = warm.isEmpty ? summary.series(.cold) : warm
    for comparison in summary.machinesByContainer where comparison.other != summary.reference {
      var text = name(comparison.arm)
      text += Self.verb(comparison.ratio)
      text += Self.ratio(comparison.ratio, to: name(comparison.other))
      sentences.append(text + ".")
    }
    if let reference = main.first(where: { $0.arm == summary.reference }) {
      var text = "The reference, "
      text += name(reference.arm)
      text += ", took "
      text += Self.duration(reference.interval)
      text += warm.isEmpty ? " with a cold page cache" : ""
      sentences.append(text + ": the median of " + Figures.grouped(UInt64(reference.wall.count)) + " runs.")
    }
    for series in main where series.arm != summary.reference {
      var text = name(series.arm)
      text += " took "
      text += Self.duration(series.interval)
      if let ratio = series.ratio, let reference = summary.reference {
        text += ratio.contains(1) ? "; " : ", "
        text += Self.ratio(ratio, to: name(reference))
      }
      sentences.append(text + ".")
    }
    return sentences
  }

  private static func verb(_ ratio: Interval) -> String { ratio.contains(1) ? ": " : " took " }

  /// What a reader must know before trusting a figure: groups, drift, few runs, a run ended early, notes of arms.
  func cautions() -> [String] {
    var sentences: [String] = []
    if report.isInterrupted { sentences.append("The bench was ended early: these are the runs made until then.") }
    for series in summary.series {
      var subject = name(series.arm)
      if series.cache == .cold { subject += " (cold page cache)" }
      if let groups = series.groups {
        var text = subject
        text += ": the runs fall into two groups, near "
        text += Figures.duration(groups.lowerMode)
        text += " and near "
        text += Figures.duration(groups.upperMode)
        text += " ("
        text += Figures.fixed(groups.upperShare * 100, decimals: 0)
        sentences.append(text + " % of the runs); one median does not describe both.")
      }
      if let drift = series.drift {
        var text = subject
        text += ": the runs grew "
        text += drift.change > 0 ? "slower" : "faster"
        text += " by about "
        text += Figures.fixed(drift.change.magnitude * 100, decimals: 0)
        sentences.append(text + " % from the first to the last; its interval is too narrow.")
      }
    }
    if let few = summary.series.map({ $0.wall.count }).min(), few < 100 {
      var text = "The smallest series has "
      text += Figures.grouped(UInt64(few))
      sentences.append(text + " runs: with fewer than 100, p99 is the slowest run or close to it.")
    }
    for arm in report.arms where !arm.note.isEmpty {
      sentences.append(Escaping.plain(arm.name) + ": " + Escaping.plain(arm.note) + (Self.ends(arm.note) ? "" : "."))
    }
    return sentences
  }

  private static func ends(_ text: String) -> Bool { text.utf8.last == UInt8(ascii: ".") }
}
