import System

/// How `--timings` is printed.
public enum TimingsFormat: UInt8, Sendable {
  case table = 1
  case json = 2
}

/// `--timings`: the phases of one start, on CLOCK_MONOTONIC.
public struct TimingsReport {
  /// One phase: its own time, and the time at its end, both in nanoseconds, the latter from vmrun's start.
  private struct Row {
    let name: String
    let length: UInt64
    let end: UInt64
  }

  private let start: UInt64
  private let rows: [Row]
  /// Which rung a virtual machine ran on; nil for a container.
  public var backend: BackendReport?

  /// The phases of a virtual machine.
  public init(_ timeline: Timeline, backend: BackendReport? = nil) {
    self.backend = backend
    start = timeline.start
    rows = timeline.waterfall.map { Row(name: $0.phase.name, length: $0.length, end: $0.end) }
  }

  /// The phases that end at `ends`, in nanoseconds from `start`. Of two at the same time the one that is named first comes first.
  public init(start: UInt64, ends: [(name: String, end: UInt64)]) {
    var sorted: [(name: String, end: UInt64)] = []
    for entry in ends { sorted.insert(entry, at: sorted.firstIndex { $0.end > entry.end } ?? sorted.count) }
    var rows: [Row] = []
    for entry in sorted {
      rows.append(Row(name: entry.name, length: entry.end - (rows.last?.end ?? 0), end: entry.end))
    }
    self.start = start
    self.rows = rows
  }

  /// Writes it to standard error in `format`; nothing for nil.
  public func print(_ format: TimingsFormat?, exitCode: Int32) {
    switch format {
    case .table: Log.raw(table)
    case .json: Log.raw(json(exitCode: exitCode))
    case nil: break
    }
  }

  /// A small table.
  public var table: String {
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
  public func json(exitCode: Int32) -> String {
    var phases = ""
    for row in rows {
      if !phases.isEmpty { phases += "," }
      phases += "{\"phase\":\"\(row.name)\",\"took_ns\":\(row.length),\"end_ns\":\(row.end)}"
    }
    var text = "{\"clock\":\"CLOCK_MONOTONIC\",\"start_ns\":\(start),\"exit_code\":\(exitCode)"
    if let backend { text += "," + backend.json }
    text += ",\"phases\":["
    text += phases
    return text + "]}\n"
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
