/// One drawing within a figure. Across, places are per cent of the width, so that text and marks keep their size on every screen;
/// down, they are pixels. Labels of the axes stand outside of the drawing's box, in the padding that its figure leaves.
struct Plot {
  /// Of the drawing's box, in pixels.
  let height: Double
  private(set) var body = Markup()

  init(height: Double) { self.height = height }

  /// The whole as an image with a name and a description, which says the figures in words. `id` is its own in the page.
  func write(to page: inout Markup, id: String, title: String, description: String) {
    page.element(
      "svg",
      [
        "role", "img", "width", "100%", "height", Markup.length(height), "aria-labelledby", id + "-t " + id + "-d",
      ]
    ) { page in
      page.leaf("title", ["id", id + "-t"], title)
      page.leaf("desc", ["id", id + "-d"], description)
      page.raw(body.text)
    }
  }

  /// What is drawn within has the arm's colour.
  mutating func arm(_ style: ArmStyle, _ draw: (inout Plot) -> Void) {
    var inner = Plot(height: height)
    draw(&inner)
    body.element("g", ["class", style.colourClass]) { $0.raw(inner.body.text) }
  }

  mutating func text(_ string: String, x: String, y: Double, _ className: String) {
    body.leaf("text", ["x", x, "y", Markup.length(y), "class", className], string)
  }

  mutating func line(x1: Double, y1: Double, x2: Double, y2: Double, _ className: String) {
    body.raw(
      "<line x1=\"\(Markup.percent(x1))\" y1=\"\(Markup.length(y1))\" x2=\"\(Markup.percent(x2))\" y2=\"\(Markup.length(y2))\" class=\"\(className)\"/>"
    )
  }

  mutating func rectangle(x: Double, y: Double, width: Double, height: Double, _ className: String) {
    body.raw(
      "<rect x=\"\(Markup.percent(x))\" y=\"\(Markup.length(y))\" width=\"\(Markup.percent(max(0, width)))\" height=\"\(Markup.length(height))\" class=\"\(className)\"/>"
    )
  }

  mutating func circle(x: Double, y: Double, radius: Double, _ className: String) {
    body.raw(
      "<circle cx=\"\(Markup.percent(x))\" cy=\"\(Markup.length(y))\" r=\"\(Markup.length(radius))\" class=\"\(className)\"/>"
    )
  }

  /// A line through points, or the area within: paths know no per cent, so they are drawn a thousand wide and stretched.
  mutating func path(_ points: [(x: Double, y: Double)], isArea: Bool, _ className: String) {
    guard points.count > 1 else { return }
    var data = ""
    for (index, point) in points.enumerated() {
      data += index == 0 ? "M" : "L"
      data += Markup.length(point.x * 1000)
      data += " "
      data += Markup.length(point.y)
    }
    if isArea { data += "Z" }
    body.raw(
      "<svg aria-hidden=\"true\" width=\"100%\" height=\"\(Markup.length(height))\" viewBox=\"0 0 1000 \(Markup.length(height))\" preserveAspectRatio=\"none\"><path d=\"\(data)\" vector-effect=\"non-scaling-stroke\" class=\"\(className)\"/></svg>"
    )
  }

  /// Vertical grid lines and labels below the box.
  mutating func horizontal(_ axis: Axis, title: String) {
    for tick in axis.ticks {
      line(x1: tick.place, y1: 0, x2: tick.place, y2: height, tick.label.isEmpty ? "grid minor" : "grid")
      if !tick.label.isEmpty {
        text(tick.label, x: Markup.percent(tick.place), y: height + 17, tick.isMajor ? "tick" : "tick wide")
      }
    }
    var label = title
    if !axis.unit.isEmpty { label += ", " + axis.unit }
    if axis.isLogarithmic { label += " (logarithmic scale)" }
    text(label, x: "50%", y: height + 36, "axis")
  }

  /// Horizontal grid lines and labels left of the box.
  mutating func vertical(_ axis: Axis) {
    for tick in axis.ticks {
      let y = height * (1 - tick.place)
      line(x1: 0, y1: y, x2: 1, y2: y, tick.label.isEmpty ? "grid minor" : "grid")
      if !tick.label.isEmpty { text(tick.label, x: "-8", y: y + 4, "tick left") }
    }
  }

  /// Adds what another plot holds, drawn above.
  mutating func add(_ markup: String) { body.raw(markup) }
}

/// How an arm is told from others: colour and stroke.
struct ArmStyle {
  /// A class that sets the colour.
  let colourClass: String
  /// A class that sets the dashes of lines.
  let dashClass: String

  private static let colours = 8

  /// For the same arm under more and more load, from faint to strong.
  static func level(_ arm: ArmStyle, _ index: Int, of count: Int) -> ArmStyle {
    ArmStyle(colourClass: arm.colourClass, dashClass: "l\(count < 2 ? 3 : index * 3 / (count - 1))")
  }

  /// The host is grey; others take the palette's colours in their order, and with all taken again with other dashes.
  static func all(_ arms: [Arm]) -> [ArmStyle] {
    var next = 0
    return arms.map { arm in
      guard arm.kind != .host else { return ArmStyle(colourClass: "a0", dashClass: "d0") }
      let style = ArmStyle(
        colourClass: "a\(1 + next % (colours - 1))", dashClass: "d\((next + next / (colours - 1)) % 3)")
      next += 1
      return style
    }
  }
}
