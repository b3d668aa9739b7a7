import CLinux

/// The time of day in UTC.
public enum Timestamp {
  /// Now, as RFC 3339 with nanoseconds: "2026-01-31T09:05:00.123456789Z".
  public static func now() -> String {
    var time = timespec()
    // unsafe: the one struct is filled.
    _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
    return text(seconds: Int64(time.tv_sec), nanoseconds: UInt32(time.tv_nsec))
  }

  /// Seconds since 1970 as RFC 3339.
  static func text(seconds: Int64, nanoseconds: UInt32) -> String {
    let day = seconds >= 0 ? seconds / 86400 : (seconds - 86399) / 86400
    let second = seconds - day * 86400
    // Days from 1 March of year 0, in cycles of 400 years of 146,097 days: leap days fall on the ends of years.
    let shifted = day + 719_468
    let cycle = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfCycle = shifted - cycle * 146_097
    let yearOfCycle = (dayOfCycle - dayOfCycle / 1460 + dayOfCycle / 36524 - dayOfCycle / 146_096) / 365
    let dayOfYear = dayOfCycle - (365 * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfCycle + cycle * 400 + (month <= 2 ? 1 : 0)
    let date = digits(year, 4) + "-" + digits(month, 2) + "-" + digits(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1, 2)
    let clock = digits(second / 3600, 2) + ":" + digits(second / 60 % 60, 2) + ":" + digits(second % 60, 2)
    return date + "T" + clock + "." + digits(Int64(nanoseconds), 9) + "Z"
  }

  private static func digits(_ value: Int64, _ count: Int) -> String {
    let text = "\(value)"
    return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
  }
}
