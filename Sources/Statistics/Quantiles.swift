/// The value below which the part `share` (0 to 1) of `values`, which ascend, lies: between two of them by straight line (Hyndman and
/// Fan's type 7). NaN for no values.
public func quantile(sorted values: [Double], _ share: Double) -> Double {
  guard let first = values.first, let last = values.last else { return .nan }
  let place = share * Double(values.count - 1)
  // Also refuses a share that is not a number.
  guard place > 0 else { return first }
  guard place < Double(values.count - 1) else { return last }
  let index = Int(place)
  let part = place - Double(index)
  return values[index] + (values[index + 1] - values[index]) * part
}

/// The middle one of `values`, in any order; NaN for none.
public func median(_ values: [Double]) -> Double { quantile(sorted: values.sorted(), 0.5) }

/// The sum of `values` by their number; NaN for none.
public func mean(_ values: [Double]) -> Double {
  guard !values.isEmpty else { return .nan }
  var sum = 0.0
  for value in values { sum += value }
  return sum / Double(values.count)
}

/// The median of the distances from the median: a measure of spread that a few outliers do not change. NaN for no values.
public func medianAbsoluteDeviation(_ values: [Double]) -> Double {
  let middle = median(values)
  return median(values.map { abs($0 - middle) })
}

/// What is most often asked of a list of times.
public struct Summary: Equatable, Sendable {
  public var count: Int
  public var minimum: Double
  public var maximum: Double
  public var mean: Double
  public var median: Double
  public var p90: Double
  public var p99: Double
  /// The median absolute deviation.
  public var deviation: Double

  /// Of `values` in any order; all are NaN for none.
  public init(_ values: [Double]) {
    let sorted = values.sorted()
    count = sorted.count
    minimum = sorted.first ?? .nan
    maximum = sorted.last ?? .nan
    mean = Statistics.mean(sorted)
    median = quantile(sorted: sorted, 0.5)
    p90 = quantile(sorted: sorted, 0.9)
    p99 = quantile(sorted: sorted, 0.99)
    deviation = medianAbsoluteDeviation(sorted)
  }
}
