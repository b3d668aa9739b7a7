import Statistics

/// The tables of a bench report, for every output.
struct Tables {
  let report: BenchReport
  let summary: ReportSummary

  private func name(_ arm: Int) -> Table.Cell { Table.Cell(Escaping.plain(report.arms[arm].name)) }

  /// Start-up with one state of the page cache: nil where nothing was measured.
  func starts(_ cache: PageCache) -> Table? {
    let series = summary.series(cache)
    guard !series.isEmpty else { return nil }
    let unit = Unit.time(for: series.map { $0.wall.median })
    var caption = "Start to end of one run, in \(unit.name), with a \(cache.rawValue) page cache"
    if let reference = summary.reference { caption += "; ratios to " + name(reference).text }
    var table = Table(
      caption: caption,
      columns: [
        Table.Column(title: "Arm", isNumeric: false), Table.Column(title: "Runs", dispensable: 5),
        Table.Column(title: "Median"), Table.Column(title: "95 % interval", short: "its 95 %", dispensable: 1),
        Table.Column(title: "p90", dispensable: 4), Table.Column(title: "p99", dispensable: 3),
        Table.Column(title: "Slowest", dispensable: 7), Table.Column(title: "First byte", dispensable: 6),
        Table.Column(title: "Ratio"), Table.Column(title: "95 % of the ratio", short: "its 95 %", dispensable: 2),
      ])
    for one in series {
      let isReference = one.arm == summary.reference
      table.rows.append([
        name(one.arm), Table.Cell(Figures.grouped(UInt64(one.wall.count))),
        Table.Cell(unit.text(one.wall.median), .strong), Table.Cell(Wording.range(one.interval, unit: unit.size)),
        Table.Cell(unit.text(one.wall.p90)), Table.Cell(unit.text(one.wall.p99)),
        Table.Cell(unit.text(one.wall.maximum)),
        one.firstByte.map { Table.Cell(unit.text($0)) } ?? .missing,
        isReference ? Table.Cell("1") : one.ratio.map { Table.Cell(Figures.three($0.middle)) } ?? .missing,
        one.ratio.map { Table.Cell(Wording.range($0)) } ?? .missing,
      ])
    }
    return table
  }

  /// Processor time, memory, bytes and system calls of one run.
  func costs() -> Table? {
    let series = summary.series
    guard !series.isEmpty else { return nil }
    let hasBoth = series.contains { $0.cache == .cold } && series.contains { $0.cache == .warm }
    let time = Unit.time(for: series.map { $0.user + $0.system })
    let sizes = series.compactMap { $0.peakResident }
    let memory = Unit.memory(for: sizes)
    var table = Table(
      caption: "What one run costs: processor time in \(time.name), memory in \(memory.name)",
      columns: [
        Table.Column(title: "Arm", isNumeric: false), Table.Column(title: "User"), Table.Column(title: "System"),
        Table.Column(title: "PSS, waiting"), Table.Column(title: "Peak RSS", dispensable: 1),
        Table.Column(title: "Bytes read", dispensable: 3), Table.Column(title: "System calls", dispensable: 2),
      ])
    for one in series {
      let of = report.series[one.index]
      table.rows.append([
        Table.Cell(name(one.arm).text + (hasBoth ? ", " + one.cache.rawValue : "")), Table.Cell(time.text(one.user)),
        Table.Cell(time.text(one.system)),
        of.residentShare.map { Table.Cell(memory.text(Double($0))) } ?? .missing,
        one.peakResident.map { Table.Cell(memory.text($0)) } ?? .missing,
        of.bytesRead.map { Table.Cell(Figures.bytes(Double($0))) } ?? .missing,
        of.systemCalls.map { Table.Cell(Figures.grouped($0)) } ?? .missing,
      ])
    }
    return table
  }

  /// The phases of one series; nil where its arm tells none.
  func phases(_ one: SeriesSummary) -> Table? {
    guard !one.phases.isEmpty else { return nil }
    let unit = Self.phaseUnit(one)
    var table = Table(
      caption:
        "Phases of \(name(one.arm).text), in \(unit.name): medians of \(Figures.grouped(UInt64(one.phaseRuns))) runs",
      columns: [
        Table.Column(title: "Phase", isNumeric: false), Table.Column(title: "Took"), Table.Column(title: "Ended at"),
      ])
    for phase in one.phases {
      table.rows.append([
        Table.Cell(Escaping.plain(phase.name)), Table.Cell(unit.text(phase.end - phase.start)),
        Table.Cell(unit.text(phase.end)),
      ])
    }
    return table
  }

  static func phaseUnit(_ one: SeriesSummary) -> Unit { Unit.time(for: [one.phases.last?.end ?? 0]) }

  func concurrency() -> Table? {
    guard !summary.concurrency.isEmpty else { return nil }
    let unit = Unit.time(for: summary.concurrency.map { $0.latency.median })
    var table = Table(
      caption: "Several at once: time of each run in \(unit.name), and runs that end in a second",
      columns: [
        Table.Column(title: "Arm", isNumeric: false), Table.Column(title: "At once"),
        Table.Column(title: "Runs", dispensable: 3),
        Table.Column(title: "Runs/s"), Table.Column(title: "Median"), Table.Column(title: "p90", dispensable: 2),
        Table.Column(title: "p99", dispensable: 1),
      ])
    for point in summary.concurrency {
      table.rows.append([
        name(point.arm), Table.Cell(Figures.grouped(UInt64(point.level))),
        Table.Cell(Figures.grouped(UInt64(point.latency.count))),
        point.throughput.map { Table.Cell(Figures.three($0), .strong) } ?? .missing,
        Table.Cell(unit.text(point.latency.median)), Table.Cell(unit.text(point.latency.p90)),
        Table.Cell(unit.text(point.latency.p99)),
      ])
    }
    return table
  }

  func density() -> Table? {
    let points = report.density.filter { point in report.arms.contains { $0.id == point.arm } }
    guard !points.isEmpty else { return nil }
    let unit = Unit.memory(for: points.map { Double($0.availableChange) })
    var table = Table(
      caption: "Instances that wait, and the memory of all of them in \(unit.name)",
      columns: [
        Table.Column(title: "Arm", isNumeric: false), Table.Column(title: "Instances"), Table.Column(title: "PSS"),
        Table.Column(title: "PSS of one", dispensable: 1), Table.Column(title: "Less available"),
        Table.Column(title: "Less available by one", dispensable: 2),
      ])
    for point in points {
      let count = Double(max(1, point.count))
      table.rows.append([
        report.arms.firstIndex { $0.id == point.arm }.map { name($0) } ?? .missing,
        Table.Cell(Figures.grouped(UInt64(point.count))),
        point.residentShare.map { Table.Cell(unit.text(Double($0)), .strong) } ?? .missing,
        point.residentShare.map { Table.Cell(unit.text(Double($0) / count)) } ?? .missing,
        Table.Cell(unit.text(Double(point.availableChange))),
        Table.Cell(unit.text(Double(point.availableChange) / count)),
      ])
    }
    return table
  }

  /// Names beside values.
  static func facts(_ facts: [Fact], caption: String, _ name: String, _ value: String) -> Table? {
    guard !facts.isEmpty else { return nil }
    return Table(
      caption: caption,
      columns: [Table.Column(title: name, isNumeric: false), Table.Column(title: value, isNumeric: false)],
      rows: facts.map { [Table.Cell(Escaping.plain($0.name)), Table.Cell(Escaping.plain($0.value))] })
  }
}

extension IsolationSection {
  /// The rows with each difference marked: sides that share what they should not, that differ from the first, that are the same.
  func table(_ sides: [String]) -> Table {
    var table = Table(
      caption: Escaping.plain(title),
      columns: [Table.Column(title: "Question", isNumeric: false)]
        + sides.map { Table.Column(title: Escaping.plain($0), isNumeric: false) })
    for row in rows {
      var cells = [Table.Cell(Escaping.plain(row.question))]
      for side in sides.indices {
        guard side < row.findings.count else {
          cells.append(.missing)
          continue
        }
        switch row.findings[side] {
        case .unknown(let why): cells.append(Table.Cell("not measured: " + Escaping.plain(why), .unknown))
        case .value(let value):
          var mark = Table.Cell.Mark.none
          if side < row.isShared.count, row.isShared[side] {
            mark = .shared
          } else if side > 0, case .value(let first) = row.findings[0] {
            mark = first == value ? .same : .differs
          }
          cells.append(Table.Cell(Escaping.plain(value), mark))
        }
      }
      table.rows.append(cells)
    }
    return table
  }

  /// How many findings of `side` are shared with the host though they should not be.
  func sharedCount(_ side: Int) -> Int { rows.filter { side < $0.isShared.count && $0.isShared[side] }.count }
}
