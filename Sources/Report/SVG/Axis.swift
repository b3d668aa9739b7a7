/// Where values lie across a drawing, and the marks that say so.
struct Axis {
  enum Quantity { case time, memory, count, rate, ratio }

  struct Tick {
    let place: Double
    /// Empty for a mark without text.
    let label: String
    /// Whether a narrow screen shows the label.
    let isMajor: Bool
  }

  let low: Double
  let high: Double
  let isLogarithmic: Bool
  let ticks: [Tick]
  /// The unit of labels that do not carry their own.
  let unit: String

  /// Covers `values`, which are not negative: logarithmic where the largest exceeds ten times the smallest and `mayBeLogarithmic`.
  init(_ values: [Double], _ quantity: Quantity, fromZero: Bool, mayBeLogarithmic: Bool) {
    var (least, most) = (Double.infinity, 0.0)
    for value in values where value.isFinite && value >= 0 {
      if value > 0 { least = min(least, value) }
      most = max(most, value)
    }
    if least > most { (least, most) = (0.5, 1) }
    if mayBeLogarithmic, most > 10 * least {
      (low, high, ticks) = Self.logarithmic(least, most, quantity)
      isLogarithmic = true
      unit = ""
    } else {
      (low, high, ticks, unit) = Self.linear(fromZero || least < most / 3 ? 0 : least, most, quantity)
      isLogarithmic = false
    }
  }

  /// 0 at the axis' start to 1 at its end; what lies beyond is put on the end.
  func place(_ value: Double) -> Double {
    Self.place(value, low, high, isLogarithmic)
  }

  private static func place(_ value: Double, _ low: Double, _ high: Double, _ isLogarithmic: Bool) -> Double {
    guard value.isFinite, high > low else { return value > high ? 1 : 0 }
    let part: Double
    if isLogarithmic {
      guard value > low else { return 0 }
      part = Logarithm.ten(value / low) / Logarithm.ten(high / low)
    } else {
      part = (value - low) / (high - low)
    }
    return max(0, min(1, part))
  }

  /// The value at a place.
  func value(at place: Double) -> Double {
    isLogarithmic ? low * Logarithm.powerOfTen(place * Logarithm.ten(high / low)) : low + place * (high - low)
  }

  // MARK: Ticks

  private static func logarithmic(_ least: Double, _ most: Double, _ quantity: Quantity) -> (Double, Double, [Tick]) {
    // Powers of ten of one unit: 10 MiB and 100 MiB, not 0.1 GiB.
    let base = quantity == .memory ? Unit.mebibyte.size : base(quantity, most)
    // Steps are 1, 2, 5 times powers of ten of the base unit, so that labels are round.
    var low = Logarithm.decade(below: least / base) * base
    for factor in [5.0, 2.0] where low * factor <= least {
      low *= factor
      break
    }
    var high = Logarithm.decade(below: most / base) * base
    if high < most { high *= high * 2 >= most ? 2 : high * 5 >= most ? 5 : 10 }
    let decades = Logarithm.ten(high / low)
    var ticks: [Tick] = []
    var decade = Logarithm.decade(below: low / base) * base
    while decade <= high * 1.001, ticks.count < 60 {
      for factor in [1.0, 2.0, 5.0] {
        let value = decade * factor
        guard value >= low * 0.999, value <= high * 1.001 else { continue }
        let isLabelled = factor == 1 || decades < 2.6
        ticks.append(
          Tick(
            place: place(value, low, high, true), label: isLabelled ? label(value, quantity) : "",
            isMajor: factor == 1 || decades < 1.6))
      }
      decade *= 10
    }
    return (low, high, ticks)
  }

  private static func linear(_ least: Double, _ most: Double, _ quantity: Quantity) -> (Double, Double, [Tick], String)
  {
    let base = base(quantity, most)
    // The smallest of 1, 2, 5, 10 times a power of ten with at most six steps.
    let rough = max((most - least) / base / 6, 1e-9)
    let decade = Logarithm.decade(below: rough)
    var step = decade
    for factor in [1.0, 2, 5, 10] where decade * factor >= rough * 0.999 {
      step = decade * factor
      break
    }
    if quantity == .count { step = max(1, step) }
    let low = (least / base / step).rounded(.down) * step
    let high = max(low + step, (most / base / step).rounded(.up) * step)
    let decimals = step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3
    var ticks: [Tick] = []
    var index = 0
    while low + Double(index) * step <= high + step / 2, index < 16 {
      let value = low + Double(index) * step
      ticks.append(
        Tick(
          place: place(value, low, high, false), label: Figures.fixed(value, decimals: decimals), isMajor: true))
      index += 1
    }
    return (low * base, high * base, ticks, unitName(quantity, most))
  }

  private static func base(_ quantity: Quantity, _ most: Double) -> Double {
    switch quantity {
    case .time: most >= 2e9 ? 1e9 : most >= 1e6 ? 1e6 : most >= 1e3 ? 1e3 : 1
    case .memory: Unit.memory(for: [most]).size
    case .count, .rate, .ratio: 1
    }
  }

  private static func unitName(_ quantity: Quantity, _ most: Double) -> String {
    switch quantity {
    case .time: most >= 2e9 ? "s" : most >= 1e6 ? "ms" : most >= 1e3 ? "µs" : "ns"
    case .memory: Unit.memory(for: [most]).name
    case .count, .rate, .ratio: ""
    }
  }

  /// "20 ms", "1 s", "0.5 MiB": round numbers without needless digits.
  private static func label(_ value: Double, _ quantity: Quantity) -> String {
    var (size, name) = (1.0, "")
    switch quantity {
    case .time:
      // A whole second is one, though lower axes count milliseconds up to two.
      let most = value >= 0.999e9 ? 2e9 : value * 1.0001
      (size, name) = (base(quantity, most), " " + unitName(quantity, most))
    case .memory: (size, name) = (Unit.mebibyte.size, " MiB")
    case .ratio: name = "×"
    case .count, .rate: break
    }
    let number = value / size
    return Figures.fixed(number, decimals: number >= 0.999 ? 0 : number >= 0.0999 ? 1 : number >= 0.00999 ? 2 : 3)
      + name
  }
}

/// Logarithms and powers of ten without a C library: enough digits for places in a drawing.
enum Logarithm {
  /// The decimal logarithm of `value`, which is above 0.
  static func ten(_ value: Double) -> Double {
    guard value > 0, value.isFinite else { return 0 }
    // ln(m) = 2 artanh((m - 1) / (m + 1)) for the significand m from 1 to below 2: the argument is at most 1/3.
    let ratio = (value.significand - 1) / (value.significand + 1)
    var (term, sum) = (ratio, 0.0)
    for power in stride(from: 1, to: 31, by: 2) {
      sum += term / Double(power)
      term *= ratio * ratio
    }
    return (2 * sum + Double(value.exponent) * 0.693_147_180_559_945_3) / 2.302_585_092_994_046
  }

  /// Ten to the power of `exponent`.
  static func powerOfTen(_ exponent: Double) -> Double {
    guard exponent.isFinite, exponent.magnitude < 300 else { return exponent > 0 ? 1e300 : 0 }
    let whole = exponent.rounded(.down)
    var (term, sum) = (1.0, 1.0)
    // The series of e^x for x below ln(10).
    for power in 1..<30 {
      term *= (exponent - whole) * 2.302_585_092_994_046 / Double(power)
      sum += term
    }
    return sum * integerPower(Int(whole))
  }

  private static func integerPower(_ exponent: Int) -> Double {
    var power = 1.0
    for _ in 0..<exponent.magnitude { power *= 10 }
    return exponent < 0 ? 1 / power : power
  }

  /// The largest power of ten that is not above `value`.
  static func decade(below value: Double) -> Double {
    guard value > 0, value.isFinite else { return 1 }
    var power = integerPower(Int(ten(value).rounded(.down)))
    if power * 10 <= value * 1.000_001 { power *= 10 }
    if power > value * 1.000_001 { power /= 10 }
    return power
  }
}
