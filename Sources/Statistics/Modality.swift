/// Whether values gather around one point or around several.
///
/// By Hartigan's dip ("The Dip Test of Unimodality", 1985): the largest distance between the values' distribution and the unimodal
/// one nearest to it. Its chance is counted against uniform samples of the same size, the unimodal distribution that dips most, so
/// that a skew or a heavy tail alone, which every start time has, is not taken for a second mode.
public struct Modality: Equatable, Sendable {
  /// The dip, 0 to 0.25.
  public var dip: Double
  /// How often a unimodal distribution dips at least so far by chance, 0 to 1.
  public var chance: Double
  /// Where the values part best into two groups: the middle of the gap, and the two groups' medians.
  public var split: Double
  public var lowerMode: Double
  public var upperMode: Double
  /// The part of the values that is in the upper group, 0 to 1.
  public var upperShare: Double

  /// Whether it can be said that there are several modes: the chance of being wrong is below 1 %.
  public var isMultimodal: Bool { chance < 0.01 }

  /// How many uniform samples are compared with.
  private static let comparisons = 500
  /// More values than this are thinned out evenly: the dip of so many is exact enough.
  private static let mostValues = 500

  /// Of `values` in any order; nil for fewer than 10, of which nothing can be said.
  public init?(_ values: [Double], seed: UInt64 = 1) {
    guard values.count >= 10 else { return nil }
    var sorted = values.sorted()
    if sorted.count > Self.mostValues {
      let all = sorted
      sorted = (0..<Self.mostValues).map {
        quantile(sorted: all, Double($0) / Double(Self.mostValues - 1))
      }
    }
    let dip = Self.dip(sorted: sorted)
    self.dip = dip
    var random = Random(seed: seed)
    var larger = 0
    var uniform = [Double](repeating: 0, count: sorted.count)
    for _ in 0..<Self.comparisons {
      // Sums of exponential steps would be sorted already, but need a logarithm.
      for index in uniform.indices { uniform[index] = random.uniform() }
      uniform.sort()
      if Self.dip(sorted: uniform) >= dip { larger += 1 }
    }
    chance = Double(larger + 1) / Double(Self.comparisons + 1)
    let cut = Self.cut(sorted)
    split = (sorted[cut - 1] + sorted[cut]) / 2
    lowerMode = quantile(sorted: Array(sorted[..<cut]), 0.5)
    upperMode = quantile(sorted: Array(sorted[cut...]), 0.5)
    upperShare = Double(sorted.count - cut) / Double(sorted.count)
  }

  /// The index of the first value of the upper one of the two groups whose squared distances from their means sum up to least.
  private static func cut(_ sorted: [Double]) -> Int {
    let total = sorted.reduce(0, +)
    let count = Double(sorted.count)
    var (best, bestGain, sum) = (1, -1.0, 0.0)
    for index in 1..<sorted.count {
      sum += sorted[index - 1]
      let below = Double(index)
      let distance = sum / below - (total - sum) / (count - below)
      let gain = below * (count - below) * distance * distance
      if gain > bestGain { (best, bestGain) = (index, gain) }
    }
    return best
  }

  /// A step of the distribution: the counts below and up to a value.
  private struct Step {
    let value: Double
    let below: Double
    let upTo: Double
  }

  /// The dip of values that ascend.
  static func dip(sorted: [Double]) -> Double {
    var steps: [Step] = []
    for (index, value) in sorted.enumerated() {
      let count = Double(index)
      if let last = steps.last, last.value == value {
        steps[steps.count - 1] = Step(value: value, below: last.below, upTo: count + 1)
      } else {
        steps.append(Step(value: value, below: count, upTo: count + 1))
      }
    }
    guard steps.count > 1 else { return 0 }
    var (low, high) = (0, steps.count - 1)
    // In counts, and twice the dip, as both hulls together may miss the distribution by so much.
    var widest = 1.0
    while true {
      let convex = hull(low...high) { (steps[$0].value, steps[$0].below) }
      let concave = hull(low...high) { (steps[$0].value, -steps[$0].upTo) }
      var (gap, newLow, newHigh) = (-1.0, low, high)
      for knot in convex {
        let distance = -height(concave, at: knot) { (steps[$0].value, -steps[$0].upTo) } - steps[knot].below
        if distance > gap { (gap, newLow, newHigh) = (distance, knot, concave.first { $0 >= knot } ?? high) }
      }
      for knot in concave {
        let distance = steps[knot].upTo - height(convex, at: knot) { (steps[$0].value, steps[$0].below) }
        if distance > gap { (gap, newLow, newHigh) = (distance, convex.last { $0 <= knot } ?? low, knot) }
      }
      if gap <= widest { break }
      for index in low...max(low, newLow) {
        widest = max(widest, steps[index].upTo - height(convex, at: index) { (steps[$0].value, steps[$0].below) })
      }
      for index in min(high, newHigh)...high {
        widest = max(
          widest, -height(concave, at: index) { (steps[$0].value, -steps[$0].upTo) } - steps[index].below)
      }
      if newLow == low && newHigh == high || newLow >= newHigh { break }
      (low, high) = (newLow, newHigh)
    }
    return widest / (2 * Double(sorted.count))
  }

  /// The knots of the greatest convex line under the points of `range`.
  private static func hull(_ range: ClosedRange<Int>, _ point: (Int) -> (x: Double, y: Double)) -> [Int] {
    var knots: [Int] = []
    for index in range {
      let new = point(index)
      while knots.count > 1 {
        let (first, second) = (point(knots[knots.count - 2]), point(knots[knots.count - 1]))
        if (second.y - first.y) * (new.x - first.x) < (new.y - first.y) * (second.x - first.x) { break }
        knots.removeLast()
      }
      knots.append(index)
    }
    return knots
  }

  /// The height of the line through `knots` at the point `index`, which lies between the first and the last.
  private static func height(_ knots: [Int], at index: Int, _ point: (Int) -> (x: Double, y: Double)) -> Double {
    var (low, high) = (0, knots.count - 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if knots[middle] <= index { low = middle } else { high = middle }
    }
    let (first, second) = (point(knots[low]), point(knots[high]))
    guard second.x > first.x else { return first.y }
    return first.y + (second.y - first.y) * (point(index).x - first.x) / (second.x - first.x)
  }
}
