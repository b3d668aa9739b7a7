import JSON
import Report

/// What vmrun's --timings=json tells of one start.
struct Timings {
  /// The backend of a virtual machine.
  struct Backend: Equatable {
    var name = ""
    var acceleration = ""
    var machine = ""
    var reason = ""
  }

  /// CLOCK_MONOTONIC at the beginning of vmrun's main.
  var start: UInt64
  var phases: [PhaseEnd]
  var backend: Backend?

  /// Most phases that are believed.
  private static let mostPhases = 64

  /// Reads the last line of `text` that is such an object; nil when there is none.
  init?(_ text: [UInt8]) {
    for line in text.split(separator: UInt8(ascii: "\n")).reversed() where line.first == UInt8(ascii: "{") {
      guard let json = try? JSON.parse(Array(line)), let start = json["start_ns"]?.natural,
        case .array(let entries)? = json["phases"], entries.count <= Self.mostPhases
      else { continue }
      self.start = start
      phases = []
      for entry in entries {
        guard case .string(let name)? = entry["phase"], let end = entry["end_ns"]?.natural else { return nil }
        phases.append(PhaseEnd(name: name, end: end))
      }
      if let object = json["backend"] {
        var backend = Backend()
        if case .string(let text)? = object["name"] { backend.name = text }
        if case .string(let text)? = object["acceleration"] { backend.acceleration = text }
        if case .string(let text)? = object["machine"] { backend.machine = text }
        if case .string(let text)? = object["reason"] { backend.reason = text }
        self.backend = backend
      }
      return
    }
    return nil
  }

  /// The phases on the clock of a process that was made at `made` and ended `wall` nanoseconds later: one for its execution before
  /// main, the program's own, and one from the last of them to wait4(2).
  func phases(since made: UInt64, wall: UInt64) -> [PhaseEnd] {
    guard start >= made, start - made <= wall else { return [] }
    let offset = start - made
    var result = [PhaseEnd(name: "exec", end: offset)]
    for phase in phases {
      let (end, exceeds) = phase.end.addingReportingOverflow(offset)
      guard !exceeds, end <= wall else { return [] }
      result.append(PhaseEnd(name: phase.name, end: end))
    }
    result.append(PhaseEnd(name: "reap", end: wall))
    return result
  }
}

extension JSON {
  /// A whole number from 0.
  var natural: UInt64? {
    switch self {
    case .integer(let value): return value >= 0 ? UInt64(value) : nil
    case .unsigned(let value): return value
    default: return nil
    }
  }
}
