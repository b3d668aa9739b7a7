extension BenchReport {
  /// One line for each sample (RFC 4180: CRLF, fields quoted where they must be), times in nanoseconds, sizes in bytes. An empty
  /// field is what was not measured. Behind the fixed columns stands one for each phase that any arm tells, "phase:NAME": when it
  /// ended, counted from the start of the process.
  public func csv() -> String {
    var phases: [String] = []
    for series in series {
      for sample in series.samples {
        for phase in sample.phases where !phases.contains(phase.name) { phases.append(phase.name) }
      }
    }
    var text = "arm,cache,order,wall_ns,first_byte_ns,user_ns,system_ns,peak_resident_bytes,exit_code"
    for phase in phases {
      text += ","
      text += Escaping.csv("phase:" + phase)
    }
    text += "\r\n"
    for series in series {
      for sample in series.samples {
        text += Escaping.csv(series.arm)
        text += ","
        text += series.cache.rawValue
        for number in [sample.order, sample.wall] { Self.add(number, to: &text) }
        Self.add(sample.firstByte, to: &text)
        for number in [sample.user, sample.system, sample.peakResident] { Self.add(number, to: &text) }
        text += ","
        text += String(sample.exitCode)
        for name in phases { Self.add(sample.phases.last { $0.name == name }?.end, to: &text) }
        text += "\r\n"
      }
    }
    return text
  }

  private static func add(_ number: UInt64?, to text: inout String) {
    text += ","
    if let number { text += String(number) }
  }
}
