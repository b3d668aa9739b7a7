import Machine

/// `--timings`: the phases of one start.
enum TimingsReport {
  /// A small table: each phase's own time, and the time at its end.
  static func table(_ timeline: Timeline) -> String {
    var text = "phase              took     at (ms)\n"
    for row in timeline.waterfall {
      text +=
        pad(row.phase.name, 12) + pad(milliseconds(row.length), 11, left: true)
        + pad(milliseconds(row.end), 12, left: true) + "\n"
    }
    return text
  }

  /// One JSON object: nanoseconds, since programs divide better than they multiply.
  static func json(_ timeline: Timeline, exitCode: Int32) -> String {
    var phases = ""
    for row in timeline.waterfall {
      if !phases.isEmpty { phases += "," }
      phases += "{\"phase\":\"\(row.phase.name)\",\"took_ns\":\(row.length),\"end_ns\":\(row.end)}"
    }
    return
      "{\"clock\":\"CLOCK_MONOTONIC\",\"start_ns\":\(timeline.start),\"exit_code\":\(exitCode),\"phases\":[\(phases)]}\n"
  }

  private static func milliseconds(_ nanoseconds: UInt64) -> String {
    let thousandths = nanoseconds / 1000
    let part = String(thousandths % 1000)
    return "\(thousandths / 1000)." + String(repeating: "0", count: 3 - part.utf8.count) + part
  }

  private static func pad(_ text: String, _ width: Int, left: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - text.utf8.count))
    return left ? space + text : text + space
  }
}
