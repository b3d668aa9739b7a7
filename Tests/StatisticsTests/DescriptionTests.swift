import Foundation
import Testing

@testable import Statistics

@Suite struct DescriptionTests {
  private func normals(_ count: Int, _ random: inout Random) -> [Double] {
    (0..<count).map { _ in
      (-2 * log(1 - random.uniform())).squareRoot() * cos(2 * .pi * random.uniform())
    }
  }

  @Test func quantiles() {
    #expect(quantile(sorted: [1, 2, 3, 4], 0.5) == 2.5)
    #expect(quantile(sorted: [1, 2, 3, 4, 5], 0.9) == 4.6)
    #expect(quantile(sorted: [1, 2], -1) == 1)
    #expect(quantile(sorted: [1, 2], 2) == 2)
    #expect(quantile(sorted: [1, 2], .nan) == 1)
    #expect(quantile(sorted: [], 0.5).isNaN)
    #expect(median([9, 1, 5]) == 5)
    #expect(medianAbsoluteDeviation([1, 1, 2, 2, 4, 6, 9]) == 1)
    let summary = Summary([3, 1, 2])
    #expect((summary.minimum, summary.maximum, summary.mean, summary.median) == (1, 3, 2, 2))
    #expect(Summary([]).median.isNaN)
  }

  @Test func functions() {
    for x in stride(from: -30.0, through: 30, by: 0.37) {
      #expect(abs(Function.exponential(x) / exp(x) - 1) < 1e-12)
    }
    for x in [1e-9, 0.3, 1, 8, 12345.6, 1e30] { #expect(abs(Function.cubeRoot(x) / cbrt(x) - 1) < 1e-12) }
    for z in stride(from: 0.0, through: 6, by: 0.1) {
      #expect(abs(Function.normalTail(z) - erfc(z / 2.0.squareRoot()) / 2) < 1e-7)
    }
    // From tables of Student's distribution.
    #expect(abs(Function.studentLimit(8) - 2.306) < 0.006)
    #expect(abs(Function.studentLimit(30) - 2.042) < 0.001)
    #expect(abs(Function.studentLimit(1000) - 1.962) < 0.001)
  }

  /// By hand: two heaps far apart are a quarter from any unimodal distribution; equal steps are half a step from the even one.
  @Test func dips() {
    #expect(abs(Modality.dip(sorted: [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]) - 0.25) < 1e-9)
    #expect(abs(Modality.dip(sorted: (0..<20).map(Double.init)) - 1.0 / 40) < 1e-9)
    #expect(Modality.dip(sorted: [3, 3, 3]) == 0)
  }

  /// The 95th percentile of the dip of 50 uniform samples is 0.0702 in Hartigan's table.
  @Test func dipsOfUniformSamples() {
    var random = Random(seed: 5)
    let dips = (0..<2000).map { _ in Modality.dip(sorted: (0..<50).map { _ in random.uniform() }.sorted()) }.sorted()
    #expect(abs(quantile(sorted: dips, 0.95) - 0.0702) < 0.002)
  }

  @Test func modes() throws {
    var (right, wrong) = (0, 0)
    for seed in 0..<40 {
      var random = Random(seed: UInt64(seed))
      let two = normals(60, &random).enumerated().map { 1000 + 30 * $1 + ($0 % 3 == 0 ? 400 : 0) }
      if try #require(Modality(two)).isMultimodal { right += 1 }
      // Skewed as start times are, with a few far outliers.
      let one = normals(60, &random).enumerated().map { 1000 * exp(0.3 * $1) + ($0 % 29 == 0 ? 3000 : 0) }
      if try #require(Modality(one)).isMultimodal { wrong += 1 }
    }
    #expect(right >= 38)
    #expect(wrong <= 2)
    let twoHeaps: [Double] = (0..<30).map { (index: Int) -> Double in Double(index % 3 == 0 ? 500 + index : 100 + index)
    }
    let heaps: Modality = try #require(Modality(twoHeaps))
    #expect(heaps.isMultimodal)
    #expect(heaps.split > 200 && heaps.split < 500)
    #expect(abs(heaps.upperShare - 1.0 / 3) < 1e-9)
    #expect(heaps.lowerMode < 200 && heaps.upperMode >= 500)
    #expect(Modality([1, 2, 3]) == nil)
    #expect(try #require(Modality((0..<3000).map(Double.init))).isMultimodal == false)
    #expect(try #require(Modality([Double](repeating: 7, count: 20))).isMultimodal == false)
  }

  @Test func drifts() throws {
    var wrong = 0
    for seed in 0..<100 {
      var random = Random(seed: UInt64(seed))
      let noise = normals(50, &random)
      if try #require(Drift(noise.map { 1000 + 40 * $0 })).isDrifting { wrong += 1 }
      let slower = try #require(Drift(noise.enumerated().map { 1000 + 40 * $1 + 4 * Double($0) }))
      #expect(slower.isDrifting)
      #expect(abs(slower.change - 0.18) < 0.06)
    }
    #expect(wrong <= 4)
    #expect(try #require(Drift((0..<20).map { 100 - Double($0) })).tau == -1)
    #expect(try #require(Drift((0..<1000).map { 1000 + Double($0) })).isDrifting)
    #expect(try #require(Drift([Double](repeating: 3, count: 9))).isDrifting == false)
    #expect(Drift([1, 2, 3]) == nil)
  }

  @Test func random() {
    var (first, second) = (Random(seed: 7), Random(seed: 7))
    #expect((0..<10).map { _ in first.next() } == (0..<10).map { _ in second.next() })
    var other = Random(seed: 8)
    #expect(first.next() != other.next())
    #expect((0..<1000).allSatisfy { _ in (0..<6).contains(first.below(6)) })
    #expect(first.below(0) == 0)
    var counts = [Int](repeating: 0, count: 6)
    for _ in 0..<6000 { counts[first.below(6)] += 1 }
    #expect(counts.allSatisfy { $0 > 800 && $0 < 1200 })
    var values = Array(0..<50)
    first.shuffle(&values)
    #expect(values != Array(0..<50) && values.sorted() == Array(0..<50))
  }
}
