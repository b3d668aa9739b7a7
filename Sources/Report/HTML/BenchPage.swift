import Statistics

extension BenchReport {
  /// The report as one page that needs nothing else: no script, no font, no picture from elsewhere; fit for phone, screen and paper,
  /// light and dark. The markup is HTML and XML at once.
  public func html() -> String {
    let summary = ReportSummary(self)
    let page = BenchPage(
      report: self, summary: summary, tables: Tables(report: self, summary: summary),
      wording: Wording(report: self, summary: summary), styles: ArmStyle.all(arms))
    return page.document()
  }
}

/// The parts of a bench report's page.
struct BenchPage {
  let report: BenchReport
  let summary: ReportSummary
  let tables: Tables
  let wording: Wording
  let styles: [ArmStyle]

  func document() -> String {
    var page = Page()
    page.section("summary", "Summary", overview)
    if !summary.series(.warm).isEmpty { page.section("start", "Start-up") { starts(.warm, &$0) } }
    if !summary.series(.cold).isEmpty { page.section("cold", "Start-up, cold cache") { starts(.cold, &$0) } }
    if summary.series.contains(where: { !$0.phases.isEmpty }) { page.section("phases", "Where the time goes", phases) }
    if !summary.concurrency.isEmpty { page.section("concurrency", "Several at once", concurrency) }
    if !summary.series.isEmpty { page.section("cost", "Processor time and memory", costs) }
    if !report.density.isEmpty { page.section("density", "Density", density) }
    if let isolation = report.isolation { page.section("isolation", "Isolation") { isolation.write(to: &$0) } }
    page.section("environment", "Environment", environment)
    page.section("reproduce", "How to reproduce", reproduce)
    page.section("terms", "Terms") { $0.glossary(hasBench: true) }
    return page.document(
      title: "Process, container and VM: what a start costs on this machine", eyebrow: "vmrun bench",
      meta: [metadata()],
      footer: "Made by vmrun \(Escaping.plain(report.version)). The page holds no script and loads nothing.")
  }

  private func metadata() -> String {
    let runs = summary.series.reduce(0) { $0 + $1.wall.count }
    var text = Figures.date(report.date)
    text += " · "
    text += Figures.grouped(UInt64(runs))
    text += " runs of "
    text += String(report.arms.count)
    text += " arms, interleaved in random order · seed "
    text += String(report.seed)
    return text + " · vmrun " + Escaping.plain(report.version)
  }

  // MARK: Sections

  private func overview(_ page: inout Page) {
    let findings = wording.findings()
    if findings.isEmpty { page.paragraph("No run was measured.") }
    // What was compared first is what a reader came for; the others follow as a list.
    let leading = max(
      1, min(findings.count, summary.machinesByContainer.filter { $0.other != summary.reference }.count))
    page.add {
      $0.element("div", ["class", "lead"]) { lead in for text in findings.prefix(leading) { lead.leaf("p", [], text) } }
    }
    let main = summary.series(.warm).isEmpty ? summary.series(.cold) : summary.series(.warm)
    page.add { body in
      body.element("ul", ["class", "tiles"]) { list in
        for series in main {
          list.element("li", ["class", styles[series.arm].colourClass]) { tile in
            tile.leaf("span", ["class", "who"], wording.name(series.arm))
            tile.leaf("b", [], Figures.duration(series.wall.median))
            if series.arm == summary.reference {
              tile.leaf("span", [], "the reference")
            } else if let ratio = series.ratio {
              tile.leaf("span", [], "× " + Figures.three(ratio.middle))
              tile.leaf("span", [], "95 %: " + Wording.range(ratio))
            }
          }
        }
      }
    }
    page.list(Array(findings.dropFirst(leading)))
    let cautions = wording.cautions()
    if !cautions.isEmpty {
      page.add { body in
        body.element("aside", ["aria-labelledby", "cautions"]) { aside in
          aside.leaf("h3", ["id", "cautions"], "To know when reading this")
          aside.element("ul") { list in for text in cautions { list.leaf("li", [], text) } }
        }
      }
    }
  }

  private func starts(_ cache: PageCache, _ page: inout Page) {
    let series = summary.series(cache)
    page.paragraph(
      "Each run starts the same static payload and is timed from just before the process is made until it has been waited for: one "
        + "boundary for all arms."
        + (cache == .cold ? " Before each run the files it reads were dropped from the page cache." : ""))
    let plot = Distribution(
      rows: series.map {
        Distribution.Row(
          name: wording.name($0.arm), style: styles[$0.arm],
          sorted: report.series[$0.index].samples.map { Double($0.wall) }.sorted(), median: $0.interval)
      }, reference: series.first { $0.arm == summary.reference }?.wall.median)
    var caption =
      "Every point is a run (its height within the row has no meaning); the curve above is the estimated density, the thick "
    caption +=
      "bar the 95 % interval of the median, the dark line the median. The dotted line is the reference's median."
    if let thinned = plot.thinned {
      caption +=
        " Of rows with more than \(Figures.grouped(UInt64(thinned.drawn))) runs, \(Figures.grouped(UInt64(thinned.drawn))) points are drawn, evenly by rank with "
      caption +=
        "the fastest and the slowest (the longest row has \(Figures.grouped(UInt64(thinned.all)))); all figures are of all runs."
    }
    let description = series.map { one in
      wording.name(one.arm) + ": median " + Wording.duration(one.interval) + ", p99 " + Figures.duration(one.wall.p99)
        + ", "
        + Figures.grouped(UInt64(one.wall.count)) + " runs."
    }
    page.figure(
      "Time of a run with a \(cache.rawValue) page cache", caption: caption, margin: .plain,
      panels: [Page.Panel(title: "", plot: plot.plot(), description: Self.joined(description))], alternative: .next)
    if plot.isWide { spread(plot.spread, series, &page) }
    page.table(tables.starts(cache))
  }

  /// Where the arms lie far apart, how each spreads around its own median.
  private func spread(_ plot: Distribution, _ series: [SeriesSummary], _ page: inout Page) {
    let words = series.map { one in
      wording.name(one.arm) + ": fastest " + Figures.three(one.wall.minimum / one.wall.median) + ", p90 "
        + Figures.three(one.wall.p90 / one.wall.median) + ", slowest "
        + Figures.three(one.wall.maximum / one.wall.median)
        + " times its median."
    }
    page.figure(
      "Spread of the runs",
      caption:
        "The same runs, each by the median of its own arm: a narrow row is a steady arm, two hills are two ways to run.",
      margin: .plain, panels: [Page.Panel(title: "", plot: plot.plot(), description: Self.joined(words))],
      alternative: .next)
  }

  private func phases(_ page: inout Page) {
    page.paragraph(
      "What each arm tells about its own start, on one clock. Medians of runs, so that the parts need not add up to the median of the "
        + "whole; what lies between the last phase and the end of the run is not told.")
    var panels: [Page.Panel] = []
    var alternatives: [Table] = []
    for series in summary.series where !series.phases.isEmpty {
      guard let table = tables.phases(series) else { continue }
      let title = wording.name(series.arm) + (series.cache == .cold ? ", cold cache" : "")
      let words = series.phases.map {
        Escaping.plain($0.name) + " " + Figures.duration($0.end - $0.start) + ", until " + Figures.duration($0.end)
          + "."
      }
      panels.append(
        Page.Panel(
          title: title, plot: Waterfall(series: series, style: styles[series.arm]).plot(),
          description: Self.joined(words)))
      alternatives.append(table)
    }
    page.figure(
      "Phases of a start",
      caption:
        "Each panel has its own scale, since the arms differ too much for one. Figures beside the bars are durations in the axis' unit; "
        + "the dotted line is the payload's first byte, where it was measured.",
      margin: .names, panels: panels, alternative: .folded(alternatives))
  }

  private func concurrency(_ page: inout Page) {
    page.paragraph("The same runs, several started at once: how long each takes then, and how many end in a second.")
    let points = summary.concurrency
    let arms = legend(points.map { $0.arm })
    let axis = Axis(
      points.flatMap { [$0.latency.minimum, $0.latency.maximum] }, .time, fromZero: false, mayBeLogarithmic: true)
    var levels: [UInt32] = []
    for point in points where !levels.contains(point.level) { levels.append(point.level) }
    let panels = levels.sorted().map { level in
      let here = points.filter { $0.level == level }
      return Page.Panel(
        title: level == 1 ? "One at a time" : "\(level) at once",
        plot: CDF(curves: here.map { CDF.Curve(style: styles[$0.arm], sorted: $0.sorted) }, axis: axis).plot(),
        description: Self.joined(
          here.map {
            wording.name($0.arm) + ": half of the runs ended within " + Figures.duration($0.latency.median)
              + ", 99 % within "
              + Figures.duration($0.latency.p99) + "."
          }))
    }
    var caption =
      "For each time, the part of the runs that had ended by then; further left is faster, steeper is steadier. All panels have "
    caption += "the same scale."
    if points.contains(where: { $0.sorted.count > CDF.mostSteps }) {
      caption += " Curves of more than \(CDF.mostSteps) runs are drawn with \(CDF.mostSteps) steps, evenly by rank."
    }
    page.figure(
      "Distribution of the time of a run, by level", caption: caption, margin: .axis, panels: panels, legend: arms,
      alternative: .folded([tables.concurrency()].compactMap { $0 }))
    if levels.count > 1 { byArm(points, levels.sorted(), arms, &page) }
    let rates = points.filter { $0.throughput != nil }
    guard !rates.isEmpty else { return }
    page.figure(
      "Runs that end in a second",
      caption: "Higher is better. A line that stops rising has found a limit: processors, a lock, or memory.",
      margin: .axis,
      panels: [
        Page.Panel(
          title: "",
          plot: LinePlot(
            lines: arms.indices.map { place in
              LinePlot.Line(
                style: arms[place].style,
                points: rates.filter { $0.arm == arms[place].arm }.map { (Double($0.level), $0.throughput ?? 0) }
                  .sorted { $0.0 < $1.0 })
            }, quantity: .rate, valueTitle: "runs/s", title: "runs at once", isEvenlySpaced: true
          ).plot(),
          description: Self.joined(
            rates.map {
              wording.name($0.arm) + ", \($0.level) at once: " + Figures.three($0.throughput ?? 0) + " runs/s."
            }))
      ], legend: arms, alternative: .last)
  }

  /// The same curves, an arm to a panel, each with its own scale: what load does to it.
  private func byArm(
    _ points: [ConcurrencySummary], _ levels: [UInt32], _ arms: [Page.LegendEntry], _ page: inout Page
  ) {
    let panels = arms.map { entry in
      let here = points.filter { $0.arm == entry.arm }.sorted { $0.level < $1.level }
      let curves = here.map { point in
        CDF.Curve(
          style: ArmStyle.level(entry.style, levels.firstIndex(of: point.level) ?? 0, of: levels.count),
          sorted: point.sorted)
      }
      let axis = Axis(here.map { $0.latency.maximum }, .time, fromZero: true, mayBeLogarithmic: false)
      return Page.Panel(
        title: entry.name, plot: CDF(curves: curves, axis: axis).plot(),
        description: Self.joined(
          here.map {
            "\($0.level) at once: half within " + Figures.duration($0.latency.median) + ", 99 % within "
              + Figures.duration($0.latency.p99) + "."
          }))
    }
    let grey = ArmStyle(colourClass: "a0", dashClass: "")
    page.figure(
      "Distribution of the time of a run, by arm",
      caption:
        "Each panel has its own scale. The more runs at once, the stronger the line; curves that move right wait for each other.",
      margin: .axis, panels: panels,
      legend: levels.enumerated().map { index, level in
        Page.LegendEntry(arm: 0, style: ArmStyle.level(grey, index, of: levels.count), name: "\(level) at once")
      }, alternative: .last)
  }

  private func costs(_ page: inout Page) {
    let series = summary.series
    let hasBoth = series.contains { $0.cache == .cold } && series.contains { $0.cache == .warm }
    let main = hasBoth ? summary.series(.warm) : series
    page.paragraph(
      "Processor time is that of the launcher and all it waited for; work that the kernel does later is not in it.")
    page.figure(
      "Processor time of a run",
      caption: "Medians. Under KVM, Linux counts what a guest runs as its launcher's user time.",
      margin: .plain,
      panels: [
        Page.Panel(
          title: "",
          plot: Bars(
            rows: main.map { one in
              Bars.Row(
                name: wording.name(one.arm), value: Figures.duration(one.user + one.system), style: styles[one.arm],
                bars: [Bars.Bar(parts: [(one.user, "part1"), (one.system, "part2")])])
            }, quantity: .time, title: "processor time"
          ).plot(),
          description: Self.joined(
            main.map {
              wording.name($0.arm) + ": user " + Figures.duration($0.user) + ", system " + Figures.duration($0.system)
                + "."
            }))
      ], keys: [("part1", "user mode"), ("part2", "system mode")], alternative: .next)
    let measured = main.filter { report.series[$0.index].residentShare != nil || $0.peakResident != nil }
    if !measured.isEmpty {
      page.figure(
        "Memory of a run",
        caption:
          "PSS: what the launcher's processes hold while the payload waits, shared pages split among their users. Peak RSS: the most "
          + "that the largest process held, shared pages counted whole.", margin: .plain,
        panels: [
          Page.Panel(
            title: "",
            plot: Bars(rows: measured.map { memoryRow($0) }, quantity: .memory, title: "memory").plot(),
            description: Self.joined(measured.map { memoryWords($0) }))
        ], keys: [("part1", "PSS, waiting"), ("part2", "peak RSS")], alternative: .next)
    }
    page.table(tables.costs())
  }

  private func memoryRow(_ one: SeriesSummary) -> Bars.Row {
    var bars: [Bars.Bar] = []
    if let share = report.series[one.index].residentShare { bars.append(Bars.Bar(parts: [(Double(share), "part1")])) }
    if let peak = one.peakResident { bars.append(Bars.Bar(parts: [(peak, "part2")])) }
    return Bars.Row(name: wording.name(one.arm), value: memoryText(one), style: styles[one.arm], bars: bars)
  }

  /// "2.10 / 2.52 MiB": PSS and peak, or the one of them that was measured.
  private func memoryText(_ one: SeriesSummary) -> String {
    let share = report.series[one.index].residentShare.map { Double($0) }
    guard let share else { return one.peakResident.map { "peak " + Figures.bytes($0) } ?? "" }
    guard let peak = one.peakResident else { return Figures.bytes(share) }
    let unit = Unit.memory(for: [share, peak])
    return unit.text(share) + " / " + unit.labelled(peak)
  }

  private func memoryWords(_ one: SeriesSummary) -> String {
    var text = wording.name(one.arm) + ":"
    if let share = report.series[one.index].residentShare { text += " PSS " + Figures.bytes(Double(share)) }
    if let peak = one.peakResident { text += " peak " + Figures.bytes(peak) }
    return text + "."
  }

  private func density(_ page: inout Page) {
    page.paragraph("Instances that have started and wait, more and more of them: what one more costs is the slope.")
    let known = report.density.compactMap { point in
      report.arms.firstIndex { $0.id == point.arm }.map { (arm: $0, point: point) }
    }
    guard !known.isEmpty else { return }
    let arms = legend(known.map { $0.arm })
    func panel(_ title: String, _ value: (DensityPoint) -> Double?) -> Page.Panel? {
      let lines = arms.map { entry in
        LinePlot.Line(
          style: entry.style,
          points: known.filter { $0.arm == entry.arm }.compactMap { item in
            value(item.point).map { (Double(item.point.count), max(0, $0)) }
          }.sorted { $0.0 < $1.0 })
      }.filter { !$0.points.isEmpty }
      guard !lines.isEmpty else { return nil }
      let words = known.compactMap { item in
        value(item.point).map {
          wording.name(item.arm) + ", " + Figures.grouped(UInt64(item.point.count)) + " instances: " + Figures.bytes($0)
            + "."
        }
      }
      return Page.Panel(
        title: title,
        plot: LinePlot(lines: lines, quantity: .memory, valueTitle: "memory", title: "instances", isEvenlySpaced: false)
          .plot(),
        description: Self.joined(words))
    }
    let panels = [
      panel("Sum of PSS") { $0.residentShare.map { Double($0) } },
      panel("Less memory available") { Double($0.availableChange) },
    ].compactMap { $0 }
    page.figure(
      "Memory of many instances",
      caption:
        "PSS is what their processes hold; the change of MemAvailable also counts what the kernel keeps for them. A change below "
        + "zero, by what else ran, is drawn as zero and stands in the table.", margin: .axis, panels: panels,
      legend: arms,
      alternative: .folded([tables.density()].compactMap { $0 }))
  }

  private func environment(_ page: inout Page) {
    page.table(Tables.facts(report.environment, caption: "Where it was measured", "What", "Value"), className: "facts")
    if !report.missing.isEmpty {
      page.table(Tables.facts(report.missing, caption: "Arms that were not run", "Arm", "Why"), className: "facts")
    }
  }

  private func reproduce(_ page: inout Page) {
    if !report.command.isEmpty {
      page.paragraph("The same run again, with the same order of arms:")
      page.code(Escaping.shell(report.command))
    }
    page.paragraph("What each arm started:")
    for arm in report.arms where !arm.command.isEmpty {
      page.heading(Escaping.plain(arm.name) + " (" + Escaping.plain(arm.id) + ")")
      page.code(Escaping.shell(arm.command))
    }
  }

  // MARK: Helpers

  /// The arms in the report's order, each once.
  private func legend(_ arms: [Int]) -> [Page.LegendEntry] {
    report.arms.indices.filter { arms.contains($0) }.map {
      Page.LegendEntry(arm: $0, style: styles[$0], name: wording.name($0))
    }
  }

  private static func joined(_ sentences: [String]) -> String {
    var text = ""
    for sentence in sentences {
      if !text.isEmpty { text += " " }
      text += sentence
    }
    return text
  }
}
