/// Numbers as people read them. Embedded Swift has no "%.2f": the digits come from integers.
public enum Figures {
  /// `value` with so many digits (0 to 9) behind the point, rounded half away from zero, thousands grouped by commas.
  public static func fixed(_ value: Double, decimals: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "unknown" : value < 0 ? "-unbounded" : "unbounded" }
    var power: UInt64 = 1
    for _ in 0..<max(0, min(9, decimals)) { power *= 10 }
    let scaled = (value.magnitude * Double(power)).rounded(.toNearestOrAwayFromZero)
    // Beyond this a Double has no digits behind the point, and UInt64 ends.
    guard scaled < 9e15 else { return "\(value)" }
    let whole = UInt64(scaled)
    var text = value < 0 && whole > 0 ? "-" : ""
    text += grouped(whole / power)
    guard power > 1 else { return text }
    let rest = String(whole % power)
    text += "."
    for _ in rest.utf8.count..<min(9, decimals) { text += "0" }
    return text + rest
  }

  /// A whole number, its thousands grouped by commas: "12,345".
  public static func grouped(_ value: UInt64) -> String {
    let digits = Array(String(value).utf8)
    var text: [UInt8] = []
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text.append(UInt8(ascii: ",")) }
      text.append(digit)
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// How many digits behind the point leave three significant figures.
  public static func decimals(of value: Double) -> Int {
    let size = value.magnitude
    if size == 0 || size >= 99.95 || !size.isFinite { return 0 }
    if size >= 9.995 { return 1 }
    if size >= 0.9995 { return 2 }
    if size >= 0.09995 { return 3 }
    return size >= 0.009995 ? 4 : 5
  }

  /// Three significant figures: "0.923", "2.31", "22.9", "298", "2,110".
  public static func three(_ value: Double) -> String { fixed(value, decimals: decimals(of: value)) }

  /// Nanoseconds with the unit that suits them: "2.31 ms".
  public static func duration(_ nanoseconds: Double) -> String { Unit.time(for: [nanoseconds]).labelled(nanoseconds) }

  /// Bytes with the unit that suits them: "1.70 MiB".
  public static func bytes(_ bytes: Double) -> String { Unit.memory(for: [bytes]).labelled(bytes) }

  /// Seconds since 1970 as "2026-08-23 14:05 UTC" (the proleptic Gregorian calendar); the plain number outside of years 1 to 9999.
  public static func date(_ seconds: Int64) -> String {
    guard seconds > -62_135_596_800, seconds < 253_402_300_800 else { return "\(seconds) s since 1970" }
    var days = seconds / 86_400
    var second = seconds % 86_400
    if second < 0 {
      second += 86_400
      days -= 1
    }
    // Days are counted from 1 March of year 0, so that the leap day ends a year; 400 years have 146,097 days.
    days += 719_468
    let era = days / 146_097
    let day = days % 146_097
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
    let ofYear = day - (365 * year + year / 4 - year / 100)
    let month = (5 * ofYear + 2) / 153
    let ofMonth = ofYear - (153 * month + 2) / 5 + 1
    let calendarMonth = month < 10 ? month + 3 : month - 9
    let calendarYear = year + era * 400 + (calendarMonth <= 2 ? 1 : 0)
    var text = padded(calendarYear, 4)
    text += "-"
    text += padded(calendarMonth, 2)
    text += "-"
    text += padded(ofMonth, 2)
    text += " "
    text += padded(second / 3600, 2)
    text += ":"
    text += padded(second / 60 % 60, 2)
    return text + " UTC"
  }

  private static func padded(_ value: Int64, _ width: Int) -> String {
    let digits = String(value)
    var text = ""
    for _ in digits.utf8.count..<max(width, digits.utf8.count) { text += "0" }
    return text + digits
  }
}

/// What a figure is counted in.
public struct Unit: Equatable, Sendable {
  /// "ms".
  public let name: String
  /// How many nanoseconds or bytes it has.
  public let size: Double

  static let nanosecond = Unit(name: "ns", size: 1)
  static let microsecond = Unit(name: "µs", size: 1e3)
  static let millisecond = Unit(name: "ms", size: 1e6)
  static let second = Unit(name: "s", size: 1e9)
  static let byte = Unit(name: "B", size: 1)
  static let kibibyte = Unit(name: "KiB", size: 1024)
  static let mebibyte = Unit(name: "MiB", size: 1_048_576)
  static let gibibyte = Unit(name: "GiB", size: 1_073_741_824)

  /// The unit in which all of `nanoseconds` are easy to compare: milliseconds, unless all are far from that.
  public static func time(for nanoseconds: [Double]) -> Unit {
    let (low, high) = bounds(nanoseconds)
    if low >= 999.5e6 { return second }
    if high < 999.5, high > 0 { return nanosecond }
    return high < 999.5e3 && high > 0 ? microsecond : millisecond
  }

  /// The unit in which all of `bytes` are easy to compare: MiB, unless all are far from that.
  public static func memory(for bytes: [Double]) -> Unit {
    let (low, high) = bounds(bytes)
    if low >= 1000 * 1_048_576.0 { return gibibyte }
    if high < 1000, high > 0 { return byte }
    return high < 1000 * 1024.0 && high > 0 ? kibibyte : mebibyte
  }

  private static func bounds(_ values: [Double]) -> (low: Double, high: Double) {
    var (low, high) = (Double.infinity, 0.0)
    for value in values where value.isFinite {
      low = min(low, value.magnitude)
      high = max(high, value.magnitude)
    }
    return (low == .infinity ? 0 : low, high)
  }

  /// Three significant figures of `value`, in this unit and without its name.
  public func text(_ value: Double) -> String { Figures.three(value / size) }

  /// Three significant figures of `value`, and the unit: "2.31 ms".
  public func labelled(_ value: Double) -> String { text(value) + " " + name }
}
