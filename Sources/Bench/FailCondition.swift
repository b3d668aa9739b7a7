import Report
import Statistics

/// A condition that makes a bench fail: `ARM.METRIC OPERATOR NUMBER[UNIT]`, such as `vm-linux.p99>12ms`, or of a ratio to another arm,
/// such as `container/host.median>1.5`.
public struct FailCondition: Equatable, Sendable {
  /// What is looked at.
  public enum Metric: String, CaseIterable, Sendable {
    case median, p90, p99, mean, min, max
    case firstByte = "first-byte.median"
    case cpu, memory

    var isMemory: Bool { self == .memory }
  }

  enum Comparison: String, CaseIterable, Sendable {
    // Longer ones first: "<" begins "<=".
    case lessOrEqual = "<="
    case greaterOrEqual = ">="
    case less = "<"
    case greater = ">"

    func holds(_ left: Double, _ right: Double) -> Bool {
      switch self {
      case .lessOrEqual: return left <= right
      case .greaterOrEqual: return left >= right
      case .less: return left < right
      case .greater: return left > right
      }
    }
  }

  /// As it was written.
  public let text: String
  /// The arm's identifier.
  public let arm: String
  /// The arm that it is divided by; nil for a plain figure.
  public let reference: String?
  public let metric: Metric
  let comparison: Comparison
  /// Nanoseconds, bytes, or a plain number for ratios.
  let limit: Double

  /// Reads one condition.
  /// - Throws: what is wrong, and what would be right.
  public init(parsing text: String) throws(BenchError) {
    func wrong(_ why: String) -> BenchError {
      BenchError(
        "--fail-if '\(text)': \(why); expected ARM.METRIC>NUMBER such as 'vm-linux.p99>12ms' or 'container/host.median>1.5'"
      )
    }
    self.text = text
    // Blanks around the parts are for readers.
    let bytes = text.utf8.filter { $0 != UInt8(ascii: " ") }
    guard let sign = bytes.firstIndex(where: { $0 == UInt8(ascii: "<") || $0 == UInt8(ascii: ">") }) else {
      throw wrong("there is no < or >")
    }
    let rest = bytes[sign...]
    guard let comparison = Comparison.allCases.first(where: { rest.starts(with: $0.rawValue.utf8) }) else {
      throw wrong("there is no < or >")
    }
    self.comparison = comparison
    let left = bytes[..<sign]
    guard let dot = left.firstIndex(of: UInt8(ascii: ".")) else {
      throw wrong("'\(String(decoding: left, as: UTF8.self))' names no metric behind a point")
    }
    let metricName = String(decoding: left[(dot + 1)...], as: UTF8.self)
    guard let metric = Metric.allCases.first(where: { $0.rawValue == metricName }) else {
      throw wrong("'\(metricName)' is no metric: median, p90, p99, mean, min, max, first-byte.median, cpu or memory")
    }
    self.metric = metric
    let names = left[..<dot].split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard names.count <= 2, names.allSatisfy({ Self.isIdentifier($0) }) else {
      throw wrong("'\(String(decoding: left[..<dot], as: UTF8.self))' is no arm's name")
    }
    arm = String(decoding: names[0], as: UTF8.self)
    reference = names.count == 2 ? String(decoding: names[1], as: UTF8.self) : nil
    let value = rest.dropFirst(comparison.rawValue.utf8.count)
    guard let (number, unit) = Self.number(value) else {
      throw wrong("'\(String(decoding: value, as: UTF8.self))' does not begin with a number")
    }
    switch (unit, reference != nil, metric.isMemory) {
    case ("", true, _), ("x", true, _): limit = number
    case (_, true, _): throw wrong("a ratio has no unit but x")
    case ("us", _, false): limit = number * 1e3
    case ("ms", _, false): limit = number * 1e6
    case ("s", _, false): limit = number * 1e9
    case ("MiB", _, true): limit = number * 1_048_576
    case ("", _, let isMemory), ("x", _, let isMemory):
      throw wrong("a unit is missing behind the number: \(isMemory ? "MiB" : "us, ms or s")")
    case (_, _, true): throw wrong("'\(unit)' is no unit of memory: MiB")
    default: throw wrong("'\(unit)' is no unit of time: us, ms or s")
    }
  }

  private static func isIdentifier(_ bytes: ArraySlice<UInt8>) -> Bool {
    !bytes.isEmpty
      && bytes.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "#"): return true
        default: return false
        }
      }
  }

  /// "12.5ms" as 12.5 and "ms".
  private static func number(_ bytes: ArraySlice<UInt8>) -> (value: Double, unit: String)? {
    guard let (value, rest) = Decimal.parse(bytes) else { return nil }
    return (value, String(decoding: rest, as: UTF8.self))
  }

  // MARK: Looking

  /// Whether it holds in `report`, with what was found; nil when it does not.
  /// - Throws: when the report lacks what is asked for, as then nobody knows.
  public func check(_ report: BenchReport) throws(BenchError) -> String? {
    var value = try figure(of: arm, in: report)
    if let reference {
      let divisor = try figure(of: reference, in: report)
      guard divisor > 0 else { throw BenchError("--fail-if '\(text)': \(reference) has no such figure") }
      value /= divisor
    }
    guard comparison.holds(value, limit) else { return nil }
    let found: String
    if reference != nil {
      found = Decimal.text(value, places: 2) + "x"
    } else if metric.isMemory {
      found = Decimal.text(value / 1_048_576, places: 2) + " MiB"
    } else {
      found = Decimal.text(value / 1e6, places: 3) + " ms"
    }
    return "\(text): it is \(found)"
  }

  /// The figure of an arm, of its warm series where there is one.
  private func figure(of arm: String, in report: BenchReport) throws(BenchError) -> Double {
    let series = report.series.first { $0.arm == arm && $0.cache == .warm } ?? report.series.first { $0.arm == arm }
    guard let series, !series.samples.isEmpty else {
      throw BenchError("--fail-if '\(text)': arm '\(arm)' was not measured")
    }
    let times = Summary(series.samples.map { Double($0.wall) })
    switch metric {
    case .median: return times.median
    case .p90: return times.p90
    case .p99: return times.p99
    case .mean: return times.mean
    case .min: return times.minimum
    case .max: return times.maximum
    case .cpu: return median(series.samples.map { Double($0.user) + Double($0.system) })
    case .firstByte:
      let values = series.samples.compactMap { $0.firstByte.map { Double($0) } }
      guard !values.isEmpty else { throw BenchError("--fail-if '\(text)': no first byte of '\(arm)' was seen") }
      return median(values)
    case .memory:
      if let share = series.residentShare { return Double(share) }
      return median(series.samples.map { Double($0.peakResident) })
    }
  }
}

/// Decimal numbers without the C library.
public enum Decimal {
  /// The number that `bytes` begin with ("12", "0.5", ".5"), and what is behind it; nil when there is none or it has more than 15
  /// digits.
  public static func parse(_ bytes: ArraySlice<UInt8>) -> (value: Double, rest: ArraySlice<UInt8>)? {
    var (mantissa, scale) = (0.0, 1.0)
    var digits = 0
    var isFraction = false
    var index = bytes.startIndex
    while index < bytes.endIndex {
      let byte = bytes[index]
      if byte == UInt8(ascii: "."), !isFraction {
        isFraction = true
      } else if byte >= 0x30 && byte <= 0x39 {
        mantissa = mantissa * 10 + Double(byte - 0x30)
        if isFraction { scale *= 10 }
        digits += 1
      } else {
        break
      }
      index += 1
    }
    guard digits > 0, digits <= 15 else { return nil }
    return (mantissa / scale, bytes[index...])
  }

  /// `value` with `places` digits behind the point; "?" for what is no such number.
  public static func text(_ value: Double, places: Int) -> String {
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = (value * scale).rounded()
    guard scaled.isFinite, abs(scaled) < 9e15 else { return "?" }
    let number = Int64(scaled)
    let (whole, part) = number.magnitude.quotientAndRemainder(dividingBy: UInt64(scale))
    let sign = number < 0 ? "-" : ""
    guard places > 0 else { return "\(sign)\(whole)" }
    let digits = String(part)
    return sign + String(whole) + "." + String(repeating: "0", count: places - digits.utf8.count) + digits
  }
}
