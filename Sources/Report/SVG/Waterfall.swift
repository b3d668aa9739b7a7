import Statistics

/// The phases of one arm, one below the other, each beginning where the one before ended.
struct Waterfall {
  private static let rowHeight = 24.0

  let series: SeriesSummary
  let style: ArmStyle

  func plot() -> Plot {
    let rest = series.wall.median
    let last = series.phases.last?.end ?? 0
    let axis = Axis([max(last, rest)], .time, fromZero: true, mayBeLogarithmic: false)
    let unit = Tables.phaseUnit(series)
    var phases = series.phases
    // What the arm does not tell: mostly the kernel's work before its first instruction and after its last.
    let hasRest = rest > last * 1.005
    if hasRest { phases.append(PhaseSummary(name: "rest, not told", start: last, end: rest)) }
    var plot = Plot(height: Double(phases.count) * Self.rowHeight + 4)
    plot.horizontal(axis, title: "from the start of the process")
    if let firstByte = series.firstByte {
      plot.line(x1: axis.place(firstByte), y1: 0, x2: axis.place(firstByte), y2: plot.height, "reference")
    }
    for (index, phase) in phases.enumerated() {
      let y = Double(index) * Self.rowHeight + 4
      let (start, end) = (axis.place(phase.start), axis.place(phase.end))
      plot.text(TextWidth.cut(Escaping.plain(phase.name), to: 18), x: "-10", y: y + 14, "phase")
      plot.arm(style) { plot in
        // What is too short to see is still drawn, as a hairline.
        plot.rectangle(
          x: start, y: y, width: max(0.003, end - start), height: 18,
          hasRest && index == phases.count - 1 ? "part2" : "bar")
      }
      let text = unit.text(phase.end - phase.start)
      if end < 0.8 {
        plot.add("<g transform=\"translate(6 0)\">")
        plot.text(text, x: Markup.percent(end), y: y + 14, "number")
        plot.add("</g>")
      } else if start > 0.2 {
        plot.add("<g transform=\"translate(-6 0)\">")
        plot.text(text, x: Markup.percent(start), y: y + 14, "number end")
        plot.add("</g>")
      } else {
        plot.text(text, x: "8", y: y + 14, "number inside")
      }
    }
    return plot
  }
}
