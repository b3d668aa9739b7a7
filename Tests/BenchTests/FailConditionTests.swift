import Report
import Testing

@testable import Bench

@Suite struct FailConditionTests {
  /// host: 1 to 10 ms; container: ten times as long.
  private var report: BenchReport {
    var report = BenchReport()
    for (arm, factor) in [("host", UInt64(1)), ("container", 10), ("host#2", 1)] {
      var samples: [Sample] = []
      for run in UInt64(1)...10 {
        samples.append(
          Sample(
            wall: run * factor * 1_000_000, firstByte: run * factor * 500_000, user: 2_000_000, system: 1_000_000,
            peakResident: 4 << 20))
      }
      report.series.append(
        Series(arm: arm, cache: .warm, samples: samples, residentShare: arm == "container" ? 3 << 20 : nil))
    }
    return report
  }

  @Test(arguments: [
    ("host.median>5ms", true), ("host.median>5.5ms", false), ("host.median>=5.5ms", true), ("host.median<5.5ms", false),
    ("host.median<=5500us", true), ("host.p90>9ms", true), ("host.p90>9.2ms", false), ("host.p99>9.9ms", true),
    ("host.mean>0.0054s", true), ("host.min<1ms", false), ("host.min<=1ms", true), ("host.max>=10ms", true),
    ("host.max>10ms", false), ("host.first-byte.median>2.7ms", true), ("host.first-byte.median>2.75ms", false),
    ("host.cpu>=3ms", true), ("host.cpu>3ms", false), ("host.memory>=4MiB", true), ("host.memory>4MiB", false),
    ("container.memory<3.5MiB", true), ("container/host.median>9.9", true), ("container/host.median>10", false),
    ("container/host.median>=10x", true), ("host#2/host.p99<=1", true), (" host.median > 5ms ", true),
    ("container/host.memory<1", true),
  ])
  func holds(text: String, expected: Bool) throws {
    let found = try FailCondition(parsing: text).check(report)
    #expect((found != nil) == expected, "\(text): \(found ?? "does not hold")")
    if let found { #expect(found.contains("it is ")) }
  }

  @Test func saysWhatWasFound() throws {
    #expect(try FailCondition(parsing: "host.median>5ms").check(report) == "host.median>5ms: it is 5.500 ms")
    #expect(
      try FailCondition(parsing: "container/host.median>2").check(report) == "container/host.median>2: it is 10.00x")
    #expect(try FailCondition(parsing: "host.memory>1MiB").check(report) == "host.memory>1MiB: it is 4.00 MiB")
  }

  @Test(arguments: [
    ("", "no < or >"), ("host.median", "no < or >"), ("host>5ms", "names no metric"),
    ("host.medain>5ms", "is no metric"),
    (".median>5ms", "no arm's name"), ("HOST.median>5ms", "no arm's name"), ("a/b/c.median>5", "no arm's name"),
    ("a/.median>5", "no arm's name"), ("host.median>", "does not begin with a number"),
    ("host.median>ms", "does not begin with a number"), ("host.median>-5ms", "does not begin with a number"),
    ("host.median>=>5ms", "does not begin with a number"), ("host.median>5", "a unit is missing"),
    ("host.median>5x", "a unit is missing"), ("host.median>5MiB", "is no unit of time"),
    ("host.memory>5ms", "is no unit of memory"),
    ("host.memory>5", "a unit is missing"), ("host.median>5minutes", "is no unit of time"),
    ("a/b.median>5ms", "no unit but x"),
    ("a/b.memory>5MiB", "no unit but x"), ("host.first-byte>5ms", "is no metric"),
    ("host.median>1234567890123456ms", "does not begin with a number"), ("host.median>5.5.5ms", "is no unit of time"),
  ])
  func refuses(text: String, why: String) {
    do throws(BenchError) {
      _ = try FailCondition(parsing: text)
      Issue.record("\(text) was taken")
    } catch {
      #expect(error.description.contains(why), "\(error.description)")
      #expect(error.description.contains("--fail-if '\(text)'"))
    }
  }

  @Test func whatWasNotMeasuredIsNoPass() throws {
    let condition = try FailCondition(parsing: "vm-linux.median>5ms")
    #expect(throws: BenchError.self) { try condition.check(report) }
    let ratio = try FailCondition(parsing: "host/vm-linux.median>5")
    #expect(throws: BenchError.self) { try ratio.check(report) }
    var silent = report
    for index in silent.series[0].samples.indices { silent.series[0].samples[index].firstByte = nil }
    let first = try FailCondition(parsing: "host.first-byte.median>1ms")
    #expect(throws: BenchError.self) { try first.check(silent) }
  }

  @Test func decimals() {
    #expect(Decimal.text(1.005, places: 2) == "1.00" || Decimal.text(1.005, places: 2) == "1.01")
    #expect(Decimal.text(-0.126, places: 2) == "-0.13")
    #expect(Decimal.text(12, places: 0) == "12")
    #expect(Decimal.text(0.004, places: 3) == "0.004")
    #expect(Decimal.text(.nan, places: 1) == "?")
    #expect(Decimal.text(.infinity, places: 1) == "?")
    #expect(Decimal.parse(Array(".5x".utf8)[...])?.value == 0.5)
    #expect(Decimal.parse(Array(".".utf8)[...]) == nil)
  }

  @Test func comparison() {
    var (old, new) = (report, report)
    old.series.removeAll { $0.arm == "host#2" }
    for index in new.series[1].samples.indices { new.series[1].samples[index].wall *= 5 }
    new.seed = 1
    let rows = Comparison.rows(new, baseline: old)
    #expect(rows.map(\.arm) == ["host", "container"])
    #expect(rows.map(\.hasChanged) == [false, true])
    #expect(rows[1].ratio.middle == 5)
    let table = Comparison.table(rows)
    #expect(table.contains("slower") && table.contains("no change seen"))
    #expect(Comparison.table([]).contains("no arm is in both"))
  }
}
