/// A quantity of each arm that changes with a number of instances.
struct LinePlot {
  struct Line {
    let style: ArmStyle
    /// Ascending in the first.
    let points: [(count: Double, value: Double)]
  }

  let lines: [Line]
  let quantity: Axis.Quantity
  /// What is counted upwards, beside its unit: "runs in a second".
  let valueTitle: String
  /// What is counted below: "runs at once".
  let title: String
  /// Powers of two look best evenly apart.
  let isEvenlySpaced: Bool

  func plot() -> Plot {
    let across = spacing()
    let axis = Axis(
      lines.flatMap { $0.points.map { $0.value } }, quantity, fromZero: true, mayBeLogarithmic: true)
    var plot = Plot(height: 220)
    plot.vertical(axis)
    var labelled = -1.0
    for (count, place) in across {
      plot.line(x1: place, y1: 0, x2: place, y2: plot.height, "grid minor")
      // Labels that would touch are left out.
      guard place - labelled >= 0.07 || labelled < 0 else { continue }
      plot.text(Figures.grouped(UInt64(count)), x: Markup.percent(place), y: plot.height + 17, "tick")
      labelled = place
    }
    plot.text(title, x: "50%", y: plot.height + 36, "axis")
    var note = valueTitle
    if !axis.unit.isEmpty { note += ", " + axis.unit }
    if axis.isLogarithmic { note += " (logarithmic scale)" }
    plot.text(note, x: "-36", y: -12, "note")
    for line in lines {
      let points = line.points.map { point in
        (x: across.first { $0.count == point.count }?.place ?? 0, y: plot.height * (1 - axis.place(point.value)))
      }
      plot.arm(line.style) { plot in
        plot.path(points, isArea: false, "curve " + line.style.dashClass)
        for point in points { plot.circle(x: point.x, y: point.y, radius: 3.5, "mark") }
      }
    }
    return plot
  }

  /// The counts of all lines, ascending, and where they stand.
  private func spacing() -> [(count: Double, place: Double)] {
    var counts: [Double] = []
    for line in lines { for point in line.points where !counts.contains(point.count) { counts.append(point.count) } }
    counts.sort()
    let most = max(1, counts.last ?? 1)
    if isEvenlySpaced {
      let steps = Double(max(1, counts.count - 1))
      return counts.enumerated().map { ($0.element, Double($0.offset) / steps) }
    }
    return counts.map { ($0, $0 / most) }
  }
}
