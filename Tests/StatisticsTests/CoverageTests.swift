import Foundation
import Testing

@testable import Statistics

/// Times of starts as machines give them, of two arms that are the same: the interval of their ratio must cover 1.
private enum Simulation: CaseIterable {
  /// A sharp left edge and a long tail.
  case skewed
  /// A tail so heavy that it has no variance (Pareto, 1.5).
  case heavyTailed
  /// Both arms meet the same slow waves of the machine.
  case sharedWaves
  /// Each arm has waves of its own.
  case ownWaves
  /// One run in four takes half as long again.
  case bimodal
  /// The machine becomes slower from the first to the last.
  case drifting

  func arms(_ count: Int, _ random: inout Random) -> (first: [Double], second: [Double]) {
    var waves = [0.0, 0.0, 0.0]
    var arms: [[Double]] = [[], []]
    for round in 0..<count {
      for index in waves.indices { waves[index] = 0.6 * waves[index] + Self.normal(&random) }
      for arm in 0..<2 {
        let uniform = 1 - random.uniform()
        let exponential = -log(uniform)
        let value: Double
        switch self {
        case .skewed: value = 1000 * exp(0.35 * Self.normal(&random)) + 300 * exponential
        case .heavyTailed: value = 900 + 100 * pow(uniform, -1 / 1.5)
        case .sharedWaves: value = 1000 * exp(0.15 * waves[2]) + 60 * exponential
        case .ownWaves: value = 1000 * exp(0.15 * waves[arm]) + 30 * exponential
        case .bimodal: value = 1000 + 50 * exponential + (random.uniform() < 0.25 ? 500 : 0)
        case .drifting: value = 1000 + 600 * Double(round) / Double(count) + 80 * exponential
        }
        arms[arm].append(value)
      }
    }
    return (arms[0], arms[1])
  }

  private static func normal(_ random: inout Random) -> Double {
    (-2 * log(1 - random.uniform())).squareRoot() * cos(2 * .pi * random.uniform())
  }
}

@Suite struct CoverageTests {
  /// The figure by which the intervals are called honest: of 100 runs of the same arm twice, at least 90 say "no difference".
  @Test(arguments: Simulation.allCases, [10, 30, 100])
  fileprivate func sameArmTwice(simulation: Simulation, count: Int) {
    // Ten samples that remember each other so well, with nothing shared, are worth two and a half: nothing can be known of their spread.
    if simulation == .ownWaves && count == 10 { return }
    var covered = 0
    let seeds = 100
    for seed in 0..<seeds {
      var random = Random(seed: UInt64(1000 + seed))
      let (first, second) = simulation.arms(count, &random)
      if Bootstrap.ratio(first, second, seed: UInt64(seed)).contains(1) { covered += 1 }
    }
    print("coverage \(simulation) \(count): \(Double(covered) / Double(seeds))")
    #expect(covered >= seeds * 90 / 100, "\(simulation), \(count) samples: \(covered) of \(seeds)")
  }

  /// An interval that covers all because it is endless would pass the test above.
  @Test func differenceIsSeen() {
    var found = 0
    for seed in 0..<100 {
      var random = Random(seed: UInt64(seed))
      let (first, second) = Simulation.skewed.arms(100, &random)
      let interval = Bootstrap.ratio(first.map { $0 * 1.3 }, second, seed: UInt64(seed))
      if interval.low > 1 { found += 1 }
    }
    #expect(found >= 90, "\(found) of 100 saw 30 %")
  }

  /// The median of an exponential distribution is ln 2.
  @Test(arguments: [10, 30, 100]) func medianIsCovered(count: Int) {
    var covered = 0
    for seed in 0..<200 {
      var random = Random(seed: UInt64(seed))
      let values = (0..<count).map { _ in -log(1 - random.uniform()) }
      if Bootstrap.median(values, seed: UInt64(seed)).contains(log(2)) { covered += 1 }
    }
    print("coverage of the median \(count): \(Double(covered) / 200)")
    #expect(covered >= 184, "\(covered) of 200")
  }

  @Test func unequalCounts() {
    var covered = 0
    for seed in 0..<200 {
      var random = Random(seed: UInt64(seed))
      let (first, second) = Simulation.skewed.arms(60, &random)
      if Bootstrap.ratio(Array(first[..<25]), second, seed: UInt64(seed)).contains(1) { covered += 1 }
    }
    #expect(covered >= 180, "\(covered) of 200")
  }

  @Test func littleIsKnownOfLittle() {
    #expect(Bootstrap.median([5], seed: 1) == Interval(low: -.infinity, middle: 5, high: .infinity))
    #expect(Bootstrap.ratio([5], [2], seed: 1).middle == 2.5)
    #expect(Bootstrap.median([], seed: 1).middle.isNaN)
    #expect(Bootstrap.median([4, 4, 4, 4], seed: 1) == Interval(low: 4, middle: 4, high: 4))
    #expect(Bootstrap.median([1, 2, 3, 9], seed: 1) == Bootstrap.median([1, 2, 3, 9], seed: 1))
    #expect(Interval(low: 90, middle: 100, high: 105).relativeWidth == 0.1)
    #expect(Bootstrap.median([5], seed: 1).relativeWidth == .infinity)
  }
}
