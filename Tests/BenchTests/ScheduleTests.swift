import Testing

@testable import Bench
import Statistics

/// Schedules are driven by a clock of the test's own: a run takes as long as its arm's figure says.
@Suite struct ScheduleTests {
  private func drive(_ goal: Schedule.Goal, _ arms: [(Int, inout Random) -> UInt64], limit: Int = 100_000)
    -> (runs: [Int], elapsed: UInt64, orders: [[Int]], schedule: Schedule)
  {
    var schedule = Schedule(count: arms.count, goal: goal, seed: 3)
    var random = Random(seed: 11)
    for (index, arm) in arms.enumerated() { schedule.estimate(index, arm(0, &random)) }
    var runs = [Int](repeating: 0, count: arms.count)
    var elapsed: UInt64 = 0
    var orders: [[Int]] = []
    while let round = schedule.next(elapsed: elapsed), orders.count < limit {
      orders.append(round)
      for arm in round {
        let time = arms[arm](runs[arm], &random)
        schedule.record(arm, time)
        runs[arm] += 1
        elapsed += time
      }
    }
    return (runs, elapsed, orders, schedule)
  }

  private let second: UInt64 = 1_000_000_000

  @Test func fixedNumberOfRuns() {
    let goal = Schedule.Goal(runs: 7, precision: 0.02, budget: 1)
    let result = drive(goal, [{ _, _ in 1000 }, { _, _ in 900_000_000 }])
    #expect(result.runs == [7, 7])
    #expect(result.schedule.done.map { $0.runs } == 14)
    #expect(result.schedule.worst == nil)
    #expect(result.orders.allSatisfy { $0.sorted() == [0, 1] })
    // In both orders, or the rounds would not be shuffled.
    #expect(result.orders.contains([0, 1]) && result.orders.contains([1, 0]))
  }

  @Test func stopsWhenAllAreKnown() {
    let goal = Schedule.Goal(runs: nil, precision: 0.02, budget: 60 * second)
    // Within 1 %, and within 20 %.
    let steady = drive(goal, [{ _, random in 1_000_000 + UInt64(random.below(10_000)) }])
    #expect(steady.runs[0] >= 10 && steady.runs[0] < 20)
    let mixed = drive(
      goal,
      [
        { _, random in 1_000_000 + UInt64(random.below(10_000)) },
        { _, random in 1_000_000 + UInt64(random.below(200_000)) },
      ])
    // The steady one goes on beside the other: their rounds stay pairs.
    #expect(mixed.runs[0] == mixed.runs[1])
    #expect(mixed.runs[0] > 40)
    #expect(mixed.elapsed < 60 * second)
    #expect((mixed.schedule.worst?.width ?? 1) <= 0.02)
    #expect(mixed.schedule.worst?.arm == 1)
  }

  @Test func stopsWhenTheTimeIsOver() {
    let goal = Schedule.Goal(runs: nil, precision: 0.000_001, budget: 2 * second)
    let result = drive(goal, [{ _, random in 10_000_000 + UInt64(random.below(9_000_000)) }])
    #expect(result.elapsed >= 2 * second - 30_000_000 && result.elapsed <= 2 * second + 30_000_000)
    #expect((result.schedule.worst?.width ?? 0) > 0.000_001)
  }

  @Test func slowArmsDoNotEatTheTime() {
    let goal = Schedule.Goal(runs: nil, precision: 0.000_001, budget: 60 * second)
    let result = drive(
      goal,
      [
        { _, random in 1_000_000 + UInt64(random.below(900_000)) },
        { _, random in 5_000_000 + UInt64(random.below(900_000)) },
        { _, random in 3_000_000_000 + UInt64(random.below(900_000_000)) },
      ])
    #expect(result.runs[0] == result.runs[1])
    #expect(result.runs[0] == Schedule.most || result.runs[0] > 1000)
    #expect(result.runs[2] >= 10 && result.runs[2] <= 20)
    // Spread over the time, and not all at one end.
    let places = result.orders.indices.filter { result.orders[$0] == [2] }
    #expect(places.count == result.runs[2])
    #expect(places[places.count / 3] > result.orders.count / 20)
  }

  @Test func slowArmsGetTheirFewestRunsEvenLate() {
    let goal = Schedule.Goal(runs: nil, precision: 0.02, budget: second)
    let result = drive(goal, [{ _, _ in 40 * 1_000_000_000 }])
    #expect(result.runs == [Schedule.fewestSlow])
  }

  @Test func droppedArmsAreLeftOut() {
    var schedule = Schedule(count: 3, goal: .init(runs: 5, precision: 0.02, budget: 1), seed: 1)
    schedule.drop(1)
    #expect(schedule.next(elapsed: 0)?.sorted() == [0, 2])
    schedule.drop(0)
    schedule.drop(2)
    #expect(schedule.next(elapsed: 0) == nil)
  }

  @Test func progressText() {
    var progress = RoundProgress(cache: .warm, round: 3, elapsed: 12 * second)
    progress.budget = 60 * second
    progress.worst = ("vm-linux", 23, 0.041, 0.02)
    #expect(
      ProgressText.line(progress) == "[#####-------------------] vm-linux within 4.1 % of 2.0 %, 23 runs, 12 of 60 s")
    progress.worst = ("vm-linux", 1, .infinity, 0.02)
    #expect(ProgressText.line(progress) == "[####--------------------] vm-linux not yet known, 1 runs, 12 of 60 s")
    progress = RoundProgress(cache: .cold, round: 1, elapsed: 0)
    progress.done = (10, 20)
    #expect(ProgressText.line(progress) == "[############------------] cold cache, 10 of 20 runs")
  }
}
