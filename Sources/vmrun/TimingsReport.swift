import Container
import Machine
import System

/// `--timings`: the phases of one start, on CLOCK_MONOTONIC.
struct TimingsReport {
  /// One phase: its own time, and the time at its end, both in nanoseconds, the latter from vmrun's start.
  private struct Row {
    let name: String
    let length: UInt64
    let end: UInt64
  }

  private let start: UInt64
  private let rows: [Row]
  /// Of a virtual machine.
  private let backend: BackendReport?

  /// The phases of a virtual machine on `backend`.
  init(_ timeline: Timeline, backend: BackendReport) {
    self.backend = backend
    start = timeline.start
    rows = timeline.waterfall.map { Row(name: $0.phase.name, length: $0.length, end: $0.end) }
  }

  /// The phases of a container: vmrun's own, and those that parent and child have noted.
  init(_ timeline: Timeline, _ clock: SetupClock?) {
    var ends: [(name: String, end: UInt64)] = []
    if let parsed = timeline.reached(.parse) { ends.append((Timeline.Phase.parse.name, parsed)) }
    for moment in SetupClock.Moment.allCases {
      if let time = clock?.time(of: moment), time >= timeline.start {
        ends.append((moment.name, time - timeline.start))
      }
    }
    if let ended = timeline.reached(.teardown) { ends.append((Timeline.Phase.teardown.name, ended)) }
    self.init(start: timeline.start, ends: ends)
  }

  /// The phases that end at `ends`, in nanoseconds from `start`. Of two at the same time the one that is named first comes first.
  init(start: UInt64, ends: [(name: String, end: UInt64)]) {
    var sorted: [(name: String, end: UInt64)] = []
    for entry in ends { sorted.insert(entry, at: sorted.firstIndex { $0.end > entry.end } ?? sorted.count) }
    var rows: [Row] = []
    for entry in sorted {
      rows.append(Row(name: entry.name, length: entry.end - (rows.last?.end ?? 0), end: entry.end))
    }
    self.start = start
    self.rows = rows
    backend = nil
  }

  /// Writes it to standard error in `format`; nothing for nil.
  func print(_ format: TimingsFormat?, exitCode: Int32) {
    switch format {
    case .table: Log.raw(table)
    case .json: Log.raw(json(exitCode: exitCode))
    case nil: break
    }
  }

  /// A small table.
  var table: String {
    var text = backend?.line ?? ""
    text += "phase              took     at (ms)\n"
    for row in rows {
      text +=
        Self.pad(row.name, 12) + Self.pad(Self.milliseconds(row.length), 11, left: true)
        + Self.pad(Self.milliseconds(row.end), 12, left: true) + "\n"
    }
    return text
  }

  /// One JSON object: nanoseconds, since programs divide better than they multiply.
  func json(exitCode: Int32) -> String {
    var phases = ""
    for row in rows {
      if !phases.isEmpty { phases += "," }
      phases += "{\"phase\":\"\(row.name)\",\"took_ns\":\(row.length),\"end_ns\":\(row.end)}"
    }
    var text = "{\"clock\":\"CLOCK_MONOTONIC\",\"start_ns\":\(start),\"exit_code\":\(exitCode),"
    if let backend { text += backend.json + "," }
    return text + "\"phases\":[\(phases)]}\n"
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
