import JSON
import Statistics

/// Short names for building JSON.
private func number(_ value: UInt64) -> JSON { value > UInt64(Int64.max) ? .unsigned(value) : .integer(Int64(value)) }
private func optional(_ value: UInt64?) -> JSON { value.map { number($0) } ?? .null }
private func seconds(_ nanoseconds: Double) -> JSON { .number(nanoseconds / 1e9) }
private func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
private func facts(_ facts: [Fact]) -> JSON {
  .array(facts.map { .object([.init("name", .string($0.name)), .init("value", .string($0.value))]) })
}
private func interval(_ interval: Interval?, unit: Double) -> JSON {
  guard let interval else { return .null }
  // Unbounded ends become null: JSON has no infinity.
  return .object([
    .init("low", .number(interval.low / unit)), .init("middle", .number(interval.middle / unit)),
    .init("high", .number(interval.high / unit)),
  ])
}

extension BenchReport {
  /// What the decoder looks for first.
  static let format = "vmrun-bench"
  static let formatVersion: Int64 = 1

  /// The report as JSON (RFC 8259), a member of the top level on each line.
  ///
  /// `results` is hyperfine's layout where the fields mean the same: `command`, `mean`, `stddev`, `median`, `user`, `system`,
  /// `min`, `max`, `times` in seconds, `memory_usage_byte`, `exit_codes`; beside them `arm`, `cache`, `p90`, `p99`,
  /// `median_interval`, `ratio`. The other members are the report itself, times in nanoseconds and a column for each quantity, from
  /// which `decode(_:)` makes it again.
  public func json() -> String {
    let summary = ReportSummary(self)
    var members: [JSON.Member] = [
      .init("format", .string(Self.format)), .init("format_version", .integer(Self.formatVersion)),
      .init("version", .string(version)), .init("date", .integer(date)), .init("command", strings(command)),
      .init("seed", number(seed)), .init("reference", .string(reference)),
      .init("interrupted", .boolean(isInterrupted)),
      .init("results", .array(summary.series.map { result($0) })), .init("environment", facts(environment)),
      .init("missing", facts(missing)), .init("arms", .array(arms.map { Self.json($0) })),
      .init("series", .array(series.map { Self.json($0) })),
      .init("concurrency", .array(concurrency.map { Self.json($0) })),
      .init("density", .array(density.map { Self.json($0) })),
    ]
    if let isolation { members.append(.init("isolation", isolation.value)) }
    return JSON.lines(members)
  }

  private func result(_ one: SeriesSummary) -> JSON {
    let samples = series[one.index].samples
    let arm = arms[one.arm]
    var squares = 0.0
    for sample in samples {
      let distance = Double(sample.wall) - one.wall.mean
      squares += distance * distance
    }
    let deviation = samples.count > 1 ? (squares / Double(samples.count - 1)).squareRoot() : 0
    return .object([
      .init("command", .string(Escaping.shell(arm.command))), .init("mean", seconds(one.wall.mean)),
      .init("stddev", seconds(deviation)), .init("median", seconds(one.wall.median)),
      .init("user", seconds(mean(samples.map { Double($0.user) }))),
      .init("system", seconds(mean(samples.map { Double($0.system) }))), .init("min", seconds(one.wall.minimum)),
      .init("max", seconds(one.wall.maximum)), .init("times", .array(samples.map { seconds(Double($0.wall)) })),
      .init("memory_usage_byte", .array(samples.map { number($0.peakResident) })),
      .init("exit_codes", .array(samples.map { .integer(Int64($0.exitCode)) })), .init("arm", .string(arm.id)),
      .init("cache", .string(one.cache.rawValue)), .init("p90", seconds(one.wall.p90)),
      .init("p99", seconds(one.wall.p99)),
      .init("median_interval", interval(one.interval, unit: 1e9)), .init("ratio", interval(one.ratio, unit: 1)),
      .init("bimodal", .boolean(one.groups != nil)), .init("drifting", .boolean(one.drift != nil)),
    ])
  }

  private static func json(_ arm: Arm) -> JSON {
    .object([
      .init("id", .string(arm.id)), .init("name", .string(arm.name)), .init("kind", .string(arm.kind.rawValue)),
      .init("peer", .boolean(arm.isPeer)), .init("command", strings(arm.command)), .init("note", .string(arm.note)),
    ])
  }

  /// Columns; phases by sets of names, as most samples of an arm have the same.
  private static func json(_ series: Series) -> JSON {
    var sets: [[String]] = []
    var setOf: [JSON] = []
    for sample in series.samples {
      let names = sample.phases.map { $0.name }
      let place = sets.firstIndex { $0 == names }
      if place == nil { sets.append(names) }
      setOf.append(.integer(Int64(place ?? sets.count - 1)))
    }
    func column(_ value: (Sample) -> JSON) -> JSON { .array(series.samples.map { value($0) }) }
    return .object([
      .init("arm", .string(series.arm)), .init("cache", .string(series.cache.rawValue)),
      .init("bytes_read", optional(series.bytesRead)), .init("system_calls", optional(series.systemCalls)),
      .init("resident_share", optional(series.residentShare)), .init("order", column { number($0.order) }),
      .init("wall", column { number($0.wall) }), .init("first_byte", column { optional($0.firstByte) }),
      .init("user", column { number($0.user) }), .init("system", column { number($0.system) }),
      .init("peak_resident", column { number($0.peakResident) }),
      .init("exit_code", column { .integer(Int64($0.exitCode)) }),
      .init("phase_sets", .array(sets.map { strings($0) })),
      .init("phase_set", .array(setOf)), .init("phase_ends", column { .array($0.phases.map { number($0.end) }) }),
    ])
  }

  private static func json(_ point: ConcurrencyPoint) -> JSON {
    .object([
      .init("arm", .string(point.arm)), .init("level", .integer(Int64(point.level))),
      .init("elapsed", number(point.elapsed)), .init("latencies", .array(point.latencies.map { number($0) })),
    ])
  }

  private static func json(_ point: DensityPoint) -> JSON {
    .object([
      .init("arm", .string(point.arm)), .init("count", .integer(Int64(point.count))),
      .init("resident_share", optional(point.residentShare)),
      .init("available_change", .integer(point.availableChange)),
    ])
  }
}

extension IsolationReport {
  static let format = "vmrun-isolation"
  static let formatVersion: Int64 = 1

  /// The report as JSON (RFC 8259), a member of the top level on each line.
  public func json() -> String {
    guard case .object(let members) = value else { return "" }
    return JSON.lines(
      [.init("format", .string(Self.format)), .init("format_version", .integer(Self.formatVersion))] + members)
  }

  var value: JSON {
    .object([
      .init("sides", strings(sides)), .init("sections", .array(sections.map { Self.json($0) })),
      .init("unmeasured", facts(unmeasured)), .init("not_shown", strings(notShown)),
      .init("environment", facts(environment)),
    ])
  }

  private static func json(_ section: IsolationSection) -> JSON {
    .object([
      .init("number", .integer(Int64(section.number))), .init("title", .string(section.title)),
      .init("introduction", .string(section.introduction)), .init("rows", .array(section.rows.map { json($0) })),
    ])
  }

  private static func json(_ row: IsolationRow) -> JSON {
    let findings = row.findings.map { finding -> JSON in
      switch finding {
      case .value(let text): .object([.init("value", .string(text))])
      case .unknown(let why): .object([.init("unknown", .string(why))])
      }
    }
    return .object([
      .init("question", .string(row.question)), .init("findings", .array(findings)),
      .init("shared", .array(row.isShared.map { .boolean($0) })), .init("note", .string(row.note)),
    ])
  }
}

extension JSON {
  /// An object with a member on each line: readable, and not longer by much.
  static func lines(_ members: [Member]) -> String {
    var text: [UInt8] = Array("{\n".utf8)
    for (index, member) in members.enumerated() {
      text += "  ".utf8
      text += JSON.string(member.name).serialized()
      text += ": ".utf8
      if case .array(let values) = member.value, values.count > 1 {
        text += "[\n".utf8
        for (place, value) in values.enumerated() {
          text += "    ".utf8
          text += value.serialized()
          text += (place + 1 < values.count ? ",\n" : "\n").utf8
        }
        text += "  ]".utf8
      } else {
        text += member.value.serialized()
      }
      text += (index + 1 < members.count ? ",\n" : "\n").utf8
    }
    text += "}\n".utf8
    return String(decoding: text, as: UTF8.self)
  }
}
