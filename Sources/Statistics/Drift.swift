/// Whether values grow or shrink from the first to the last: Mann and Kendall's test, with Theil and Sen's slope.
public struct Drift: Equatable, Sendable {
  /// Kendall's tau: -1 where each value is below the one before, 1 where each is above, about 0 without a trend.
  public var tau: Double
  /// How often values without a trend show at least this one by chance, 0 to 1.
  public var chance: Double
  /// The change from the first to the last by the median slope, as a part of the median: 0.1 is 10 % slower at the end.
  public var change: Double

  /// Whether it is to be reported: hardly chance, and large enough to matter.
  public var isDrifting: Bool { chance < 0.01 && abs(change) >= 0.03 }

  /// More values than this are replaced by medians of neighbours: pairs grow with the square.
  private static let mostValues = 400

  /// Of `values` in their order of time; nil for fewer than 8, of which nothing can be said.
  public init?(_ values: [Double]) {
    guard values.count >= 8 else { return nil }
    var values = values
    if values.count > Self.mostValues {
      let size = (values.count + Self.mostValues - 1) / Self.mostValues
      values = stride(from: 0, to: values.count, by: size).map {
        median(Array(values[$0..<min(values.count, $0 + size)]))
      }
    }
    let count = values.count
    var sum = 0
    var slopes: [Double] = []
    slopes.reserveCapacity(count * (count - 1) / 2)
    for later in 1..<count {
      for earlier in 0..<later {
        let difference = values[later] - values[earlier]
        if difference > 0 { sum += 1 } else if difference < 0 { sum -= 1 }
        slopes.append(difference / Double(later - earlier))
      }
    }
    let n = Double(count)
    tau = Double(sum) / (n * (n - 1) / 2)
    let spread = (n * (n - 1) * (2 * n + 5) / 18).squareRoot()
    chance = min(1, 2 * Function.normalTail(Double(max(0, abs(sum) - 1)) / spread))
    let middle = median(values)
    change = middle > 0 ? median(slopes) * (n - 1) / middle : 0
  }
}
