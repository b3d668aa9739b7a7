/// Amounts of each arm from a common zero, so that lengths compare as the amounts do.
struct Bars {
  struct Bar {
    /// One behind the other, each with the class of its fill.
    let parts: [(amount: Double, className: String)]
  }
  struct Row {
    let name: String
    let value: String
    let style: ArmStyle
    let bars: [Bar]
  }

  let rows: [Row]
  let quantity: Axis.Quantity
  let title: String

  func plot() -> Plot {
    let totals = rows.flatMap { $0.bars.map { $0.parts.reduce(0) { $0 + $1.amount } } }
    let axis = Axis(totals, quantity, fromZero: true, mayBeLogarithmic: false)
    // On a phone, name and value of one row need a line each.
    let isLong = rows.contains { TextWidth.of(TextWidth.cut($0.name, to: 24)) + TextWidth.of($0.value) > 34 }
    let head = isLong ? 41.0 : 26.0
    func height(_ row: Row) -> Double { head + Double(row.bars.count) * 14 + 8 }
    var plot = Plot(height: rows.reduce(0) { $0 + height($1) })
    plot.horizontal(axis, title: title)
    var top = 0.0
    for row in rows {
      plot.text(TextWidth.cut(row.name, to: 24), x: "0", y: top + 18, "label")
      plot.text(row.value, x: "100%", y: top + head - 8, "value")
      plot.arm(row.style) { plot in
        for (index, bar) in row.bars.enumerated() {
          var before = 0.0
          for part in bar.parts {
            let (start, end) = (axis.place(before), axis.place(before + part.amount))
            plot.rectangle(
              x: start, y: top + head - 1 + Double(index) * 14, width: end - start, height: 11, part.className)
            before += part.amount
          }
        }
      }
      top += height(row)
    }
    return plot
  }
}
