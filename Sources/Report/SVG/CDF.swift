/// For each time, the part of the runs that had ended by then.
struct CDF {
  /// More steps than this are thinned, evenly by rank.
  static let mostSteps = 150

  struct Curve {
    let style: ArmStyle
    /// Ascending.
    let sorted: [Double]
  }

  let curves: [Curve]
  /// The same for all panels, so that they can be compared.
  let axis: Axis

  func plot() -> Plot {
    var plot = Plot(height: 190)
    plot.horizontal(axis, title: "wall time of a run")
    for part in [0.0, 0.25, 0.5, 0.75, 1] {
      let y = plot.height * (1 - part)
      plot.line(x1: 0, y1: y, x2: 1, y2: y, "grid")
      plot.text(Figures.fixed(part * 100, decimals: 0) + " %", x: "-8", y: y + 4, "tick left")
    }
    for curve in curves {
      let values = Distribution.thin(curve.sorted, to: Self.mostSteps)
      guard let first = values.first else { continue }
      var points: [(x: Double, y: Double)] = [(axis.place(first), plot.height)]
      for (index, value) in values.enumerated() {
        let x = axis.place(value)
        if let last = points.last { points.append((x, last.y)) }
        points.append((x, plot.height * (1 - Double(index + 1) / Double(values.count))))
      }
      plot.arm(curve.style) { $0.path(points, isArea: false, "curve " + curve.style.dashClass) }
    }
    return plot
  }
}
