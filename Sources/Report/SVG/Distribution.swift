import Statistics

/// Every run as a point, the shape of the distribution above, the median with its interval between.
struct Distribution {
  /// More points of one series than this are thinned.
  static let mostPoints = 400
  private static let rowHeight = 92.0

  struct Row {
    let name: String
    let style: ArmStyle
    /// Ascending.
    let sorted: [Double]
    let median: Interval
  }

  let rows: [Row]
  let reference: Double?
  var quantity = Axis.Quantity.time
  var title = "wall time of a run"

  /// The same rows by their own medians: how each spreads, where an axis for all is too wide to show it.
  var spread: Distribution {
    Distribution(
      rows: rows.filter { $0.median.middle > 0 }.map { row in
        let middle = row.median.middle
        return Row(
          name: row.name, style: row.style, sorted: row.sorted.map { $0 / middle },
          median: Interval(low: row.median.low / middle, middle: 1, high: row.median.high / middle))
      }, reference: nil, quantity: .ratio, title: "wall time by the arm's own median")
  }

  /// Whether the rows lie so far apart that the axis is logarithmic.
  var isWide: Bool { axis.isLogarithmic }

  private var axis: Axis {
    Axis(
      rows.flatMap { [$0.sorted.first ?? 0, $0.sorted.last ?? 0] }, quantity, fromZero: false, mayBeLogarithmic: true)
  }

  /// How many points the drawing leaves out, for its caption.
  var thinned: (drawn: Int, all: Int)? {
    let all = rows.map { $0.sorted.count }.max() ?? 0
    return all > Self.mostPoints ? (Self.mostPoints, all) : nil
  }

  /// Values evenly by rank, the least and the greatest among them.
  static func thin(_ sorted: [Double], to most: Int) -> [Double] {
    guard sorted.count > most, most > 1 else { return sorted }
    return (0..<most).map { sorted[$0 * (sorted.count - 1) / (most - 1)] }
  }

  func plot() -> Plot {
    let axis = axis
    var plot = Plot(height: Double(rows.count) * Self.rowHeight)
    plot.horizontal(axis, title: title)
    if let reference {
      plot.line(x1: axis.place(reference), y1: 0, x2: axis.place(reference), y2: plot.height, "reference")
    }
    for (index, row) in rows.enumerated() {
      let top = Double(index) * Self.rowHeight
      if index > 0 { plot.line(x1: 0, y1: top, x2: 1, y2: top, "rule") }
      plot.text(TextWidth.cut(row.name, to: 28), x: "0", y: top + 17, "label")
      if quantity == .time {
        plot.text(Figures.duration(row.median.middle), x: "100%", y: top + 17, "value")
      }
      let base = top + 58
      plot.arm(row.style) { plot in
        shape(row, axis, base, &plot)
        for (rank, value) in Self.thin(row.sorted, to: Self.mostPoints).enumerated() {
          // Spread over five lines in turn, so that equal values stay apart; the place down means nothing.
          plot.circle(x: axis.place(value), y: base + 10 + Double(rank * 7 % 5) * 4, radius: 2.2, "dot")
        }
        if row.median.low.isFinite, row.median.high.isFinite {
          let (low, high) = (axis.place(row.median.low), axis.place(row.median.high))
          plot.rectangle(x: low, y: base - 3, width: high - low, height: 6, "interval")
        }
        plot.line(
          x1: axis.place(row.median.middle), y1: base - 12, x2: axis.place(row.median.middle), y2: base + 7, "median")
      }
    }
    return plot
  }

  /// An Epanechnikov estimate of the density, on the axis' own scale, with less than Silverman's bandwidth, which hides a second mode; each row's peak has the same height.
  private func shape(_ row: Row, _ axis: Axis, _ base: Double, _ plot: inout Plot) {
    let places = Self.thin(row.sorted, to: 1000).map { axis.place($0) }
    guard places.count >= 8 else { return }
    let spread = quantile(sorted: places, 0.75) - quantile(sorted: places, 0.25)
    let middle = mean(places)
    let deviation = (mean(places.map { ($0 - middle) * ($0 - middle) })).squareRoot()
    let width = max(0.004, 1.6 * min(deviation, spread / 1.34) * Self.inverseFifthRoot(Double(places.count)))
    var heights: [(x: Double, y: Double)] = []
    let (first, last) = (max(0, places[0] - width), min(1, places[places.count - 1] + width))
    let steps = 160
    for step in 0...steps {
      let x = first + (last - first) * Double(step) / Double(steps)
      var sum = 0.0
      for place in places {
        let distance = (place - x) / width
        if distance.magnitude < 1 { sum += 1 - distance * distance }
      }
      heights.append((x, sum))
    }
    guard let peak = heights.map({ $0.y }).max(), peak > 0 else { return }
    var outline: [(x: Double, y: Double)] = [(first, base)]
    for point in heights { outline.append((point.x, base - 30 * point.y / peak)) }
    outline.append((last, base))
    plot.path(outline, isArea: true, "shape")
  }

  /// 1 / n^(1/5), by Newton's steps.
  private static func inverseFifthRoot(_ n: Double) -> Double {
    var root = 1 + n / 5
    for _ in 0..<100 {
      let fourth = root * root * root * root
      root -= (root * fourth - n) / (5 * fourth)
    }
    return 1 / max(1, root)
  }
}
