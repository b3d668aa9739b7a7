import Report

/// Progress as a line of text.
public enum ProgressText {
  /// Columns of the bar.
  private static let bar = 24

  /// "[######------] vm-linux within 4.1 % of 2 %, 23 runs, 12 of 60 s": the bar shows the interval of the arm that is known worst
  /// closing, on a scale of its width's inverse square, which grows as evenly as the runs do.
  public static func line(_ progress: RoundProgress) -> String {
    var part = 0.0
    var words = progress.cache == .cold ? "cold cache, " : ""
    if let done = progress.done {
      part = done.of > 0 ? Double(done.runs) / Double(done.of) : 1
      words += "\(done.runs) of \(done.of) runs"
    } else if let worst = progress.worst {
      if worst.width.isFinite && worst.width > 0 {
        let closeness = worst.goal / worst.width
        part = min(1, closeness * closeness)
        words += "\(worst.arm) within \(Decimal.text(worst.width * 100, places: 1)) % of "
        words += "\(Decimal.text(worst.goal * 100, places: 1)) %"
      } else {
        words += "\(worst.arm) not yet known"
      }
      words += ", \(worst.runs) runs"
    }
    if let budget = progress.budget {
      words += ", \(progress.elapsed / 1_000_000_000) of \(budget / 1_000_000_000) s"
      // At the end of the time it is over, however wide the interval is.
      if budget > 0 { part = max(part, min(1, Double(progress.elapsed) / Double(budget))) }
    }
    let filled = Int(part * Double(bar))
    return "[" + String(repeating: "#", count: filled) + String(repeating: "-", count: bar - filled) + "] " + words
  }
}
