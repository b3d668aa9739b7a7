/// A figure with the bounds between which the true one lies with 95 % confidence.
public struct Interval: Equatable, Sendable {
  public var low: Double
  /// The figure itself, as it was measured.
  public var middle: Double
  public var high: Double

  public init(low: Double, middle: Double, high: Double) {
    self.low = low
    self.middle = middle
    self.high = high
  }

  /// The larger distance of a bound from the middle, as a part of the middle: 0.02 is "to within 2 %". Infinite where nothing is known.
  public var relativeWidth: Double {
    guard middle > 0, low.isFinite, high.isFinite else { return .infinity }
    return max(high - middle, middle - low) / middle
  }

  /// Whether `value` lies between the bounds, or on one.
  public func contains(_ value: Double) -> Bool { low <= value && value <= high }
}

/// Intervals by resampling: the samples are drawn again and again from themselves, and the figure's spread over the draws is its
/// uncertainty.
///
/// Times of starts are skewed, have heavy tails, and depend on the ones before (another process ran, the clock of the processor
/// changed), which the textbook's bootstrap ignores. Three things keep the intervals honest:
/// - **Rounds stay together.** The arms of a bench run in rounds; the samples `i` of both arms met the same machine. A draw takes a
///   round, that is a sample of either arm, so that what both met cancels in the ratio.
/// - **Blocks.** Where neighbours resemble each other (the rank autocorrelation of what is left of the pairs is beyond what chance
///   gives), runs of consecutive rounds are drawn in place of single ones (circular block bootstrap), longer the more they do.
/// - **Few samples** know too little of their tails: the percentiles are taken further out as Student's distribution is from the
///   normal one (Hesterberg's expanded percentile interval).
///
/// Percentiles and not BCa: for a median the acceleration is estimated from few distinct values, and its coverage in simulations of
/// the same arm twice is lower.
public enum Bootstrap {
  /// How many draws are made.
  public static let draws = 2000

  /// The median of `values`, in their order of time. One value alone has infinite bounds; none, no figure.
  public static func median(_ values: [Double], seed: UInt64) -> Interval {
    let sample = RankedSample(values)
    guard values.count > 1 else { return unbounded(sample.median) }
    var random = Random(seed: seed)
    let length = blockLength(sample.places.map { Double($0) })
    var counts = [Int32](repeating: 0, count: values.count)
    var figures: [Double] = []
    figures.reserveCapacity(draws)
    for _ in 0..<draws {
      for index in counts.indices { counts[index] = 0 }
      Self.draw(values.count, blocks: length, &random) { counts[sample.places[$0]] += 1 }
      figures.append(sample.median(counts))
    }
    return interval(figures, middle: sample.median, samples: values.count / length)
  }

  /// The median of `values` by the median of `reference`, whose samples are in their order of time; where there are as many of the
  /// one as of the other, samples of the same index are of one round.
  public static func ratio(_ values: [Double], _ reference: [Double], seed: UInt64) -> Interval {
    let (upper, lower) = (RankedSample(values), RankedSample(reference))
    let middle = upper.median / lower.median
    guard values.count > 1, reference.count > 1 else { return unbounded(middle) }
    var random = Random(seed: seed)
    let isPaired = values.count == reference.count
    // What a pair has in common cancels in the ratio; only what is left makes neighbours alike.
    let length =
      isPaired
      ? blockLength(upper.places.indices.map { Double(upper.places[$0] - lower.places[$0]) })
      : max(blockLength(upper.places.map { Double($0) }), blockLength(lower.places.map { Double($0) }))
    var upperCounts = [Int32](repeating: 0, count: values.count)
    var lowerCounts = [Int32](repeating: 0, count: reference.count)
    var figures: [Double] = []
    figures.reserveCapacity(draws)
    for _ in 0..<draws {
      for index in upperCounts.indices { upperCounts[index] = 0 }
      for index in lowerCounts.indices { lowerCounts[index] = 0 }
      if isPaired {
        draw(values.count, blocks: length, &random) {
          upperCounts[upper.places[$0]] += 1
          lowerCounts[lower.places[$0]] += 1
        }
      } else {
        draw(values.count, blocks: length, &random) { upperCounts[upper.places[$0]] += 1 }
        draw(reference.count, blocks: length, &random) { lowerCounts[lower.places[$0]] += 1 }
      }
      figures.append(upper.median(upperCounts) / lower.median(lowerCounts))
    }
    return interval(figures, middle: middle, samples: min(values.count, reference.count) / length)
  }

  private static func unbounded(_ middle: Double) -> Interval {
    Interval(low: -.infinity, middle: middle, high: .infinity)
  }

  /// Draws `count` indices below `count` in blocks of `length`, which wrap around the end.
  @inline(__always)
  private static func draw(_ count: Int, blocks length: Int, _ random: inout Random, _ take: (Int) -> Void) {
    var left = count
    while left > 0 {
      var index = random.below(count)
      for _ in 0..<min(length, left) {
        take(index)
        index = index + 1 == count ? 0 : index + 1
      }
      left -= min(length, left)
    }
  }

  /// The interval of a figure whose draws are `figures`, from so many independent `samples`.
  private static func interval(_ figures: [Double], middle: Double, samples: Int) -> Interval {
    let sorted = figures.sorted()
    let freedom = max(1, samples - 1)
    let limit = Function.studentLimit(freedom) * (Double(freedom + 1) / Double(freedom)).squareRoot()
    let tail = Function.normalTail(limit)
    return Interval(
      low: min(middle, quantile(sorted: sorted, tail)), middle: middle,
      high: max(middle, quantile(sorted: sorted, 1 - tail)))
  }

  /// How many neighbours are drawn together: 1 unless their autocorrelation is beyond chance; else what is best for an
  /// autoregressive series of that correlation (Andrews 1991, for Bartlett's window), a quarter of all at most.
  static func blockLength(_ values: [Double]) -> Int {
    let count = values.count
    guard count >= 8 else { return 1 }
    let middle = mean(values)
    var (square, product) = (0.0, 0.0)
    for index in 0..<count {
      let distance = values[index] - middle
      square += distance * distance
      if index > 0 { product += distance * (values[index - 1] - middle) }
    }
    guard square > 0 else { return 1 }
    let correlation = min(0.95, product / square)
    guard correlation > 1.645 / Double(count).squareRoot() else { return 1 }
    let excess = 1 - correlation * correlation
    let length = 1.1447 * Function.cubeRoot(4 * correlation * correlation / (excess * excess) * Double(count))
    return max(1, min(count / 4, Int(length.rounded(.up))))
  }
}

/// Values with their places in ascending order, so that the median of a draw is found by counting.
struct RankedSample {
  let sorted: [Double]
  /// For each value, its place in `sorted`.
  let places: [Int]

  init(_ values: [Double]) {
    let order = values.indices.sorted { values[$0] < values[$1] }
    sorted = order.map { values[$0] }
    var places = [Int](repeating: 0, count: values.count)
    for (place, index) in order.enumerated() { places[index] = place }
    self.places = places
  }

  var median: Double { quantile(sorted: sorted, 0.5) }

  /// The median of a draw that took each place of `sorted` so many times, `sorted.count` in all.
  func median(_ counts: [Int32]) -> Double {
    let total = Int32(truncatingIfNeeded: sorted.count)
    let (lower, upper) = ((total - 1) / 2, total / 2)
    var seen: Int32 = 0
    var first = Double.nan
    for (place, count) in counts.enumerated() where count > 0 {
      let before = seen
      seen += count
      if before <= lower, lower < seen { first = sorted[place] }
      if before <= upper, upper < seen { return (first + sorted[place]) / 2 }
    }
    return first
  }
}
