import Foundation
import Testing

@testable import Report

struct ReportJSONTests {
  @Test func roundTrip() throws {
    var report = Synthetic.bench(runs: 7)
    report.isInterrupted = true
    report.seed = .max
    report.arms[2].name = Synthetic.hostile
    report.series[0].samples[2].firstByte = nil
    report.series[0].samples[3].exitCode = 137
    report.series[2].samples[1].phases.removeLast()
    let decoded = try BenchReport.decode(Array(report.json().utf8))
    #expect(decoded.version == report.version && decoded.date == report.date && decoded.command == report.command)
    #expect(decoded.seed == report.seed && decoded.reference == report.reference && decoded.isInterrupted)
    #expect(decoded.environment == report.environment && decoded.missing == report.missing)
    #expect(decoded.arms == report.arms)
    #expect(decoded.series == report.series)
    #expect(decoded.concurrency == report.concurrency && decoded.density == report.density)
    #expect(decoded.isolation == report.isolation)
    #expect(decoded.json() == report.json())
    #expect(try IsolationReport.decode(Array(Synthetic.isolation.json().utf8)) == Synthetic.isolation)
  }

  @Test func resultsAreHyperfines() throws {
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(Synthetic.small.json().utf8)) as? [String: Any])
    let results = try #require(object["results"] as? [[String: Any]])
    let vm = try #require(results.last)
    func number(_ name: String) throws -> Double { try #require(vm[name] as? Double) }
    #expect(vm["command"] as? String == "vmrun -- /payload")
    #expect(vm["times"] as? [Double] == [0.0025, 0.0026, 0.0024])
    #expect(vm["exit_codes"] as? [Int] == [0, 0, 0])
    #expect(vm["memory_usage_byte"] as? [Int] == [1_048_576, 1_048_576, 1_048_576])
    #expect(abs(try number("mean") - 0.0025) < 1e-12)
    #expect(abs(try number("stddev") - 0.0001) < 1e-12)
    #expect(try number("median") == 0.0025)
    #expect(try number("min") == 0.0024)
    #expect(try number("max") == 0.0026)
    #expect(abs(try number("user") - 0.000625) < 1e-12)
    #expect(abs(try number("system") - 0.00125) < 1e-12)
  }

  /// A field, what is put in its place, and what the error must name.
  @Test(arguments: [
    ("\"wall\":[1000000,", "\"wall\":[\"1\",", "series[0].wall[0]: expected a whole number", "found a string"),
    ("\"wall\":[1000000,", "\"wall\":[-1,", "series[0].wall[0]", "found -1"),
    ("\"wall\":[1000000,", "\"wall\":[18446744073709551615,", "series[0].wall[0]", "from 0 to 9007199254740992"),
    ("\"wall\":[1000000,", "\"wall\":[1.5,", "series[0].wall[0]", "a fraction"),
    ("\"wall\":[1000000,", "\"wall\":[", "series[0].order", "expected 2 elements"),
    ("\"wall\":[1000000,", "\"wall\":[1e999,", "a number", "exceeds what 64 bits hold"),
    (
      "\"arm\":\"vm\",\"cache\":\"warm\",\"bytes", "\"arm\":\"no\",\"cache\":\"warm\",\"bytes", "series[1].arm",
      "no arm"
    ),
    ("\"kind\":\"host\"", "\"kind\":\"moon\"", "arms[0].kind", "expected host"),
    ("\"id\":\"vm\"", "\"id\":\"host\"", "arms[1].id", "two arms"),
    ("\"reference\": \"host\"", "\"reference\": \"moon\"", "reference", "no arm"),
    ("\"reference\": \"host\"", "\"reference\": null", "reference", "found null"),
    ("\"seed\": 1", "\"seed\": -1", "seed", "64 bits"),
    ("\"seed\": 1,", "", "seed", "it is missing"),
    ("\"phase_set\":[0,0,1]", "\"phase_set\":[0,0,2]", "series[1].phase_set[2]", "only 2 sets"),
    ("\"phase_ends\":[[500000,", "\"phase_ends\":[[", "series[1].phase_ends[0]", "expected 2 elements"),
    ("\"format_version\": 1", "\"format_version\": 2", "format_version", "version 2 is not known"),
    ("\"format\": \"vmrun-bench\"", "\"format\": \"x\"", "format", "not a file of format vmrun-bench"),
    ("\"command\": [", "\"command\": [{}, ", "command[0]", "found an object"),
    ("\"date\": 1787493900", "\"date\": 9223372036854775807", "date", "expected a whole number"),
  ])
  func errorsNameTheField(_ hostile: (String, String, String, String)) throws {
    let text = Synthetic.small.json()
    let broken = text.replacingOccurrences(of: hostile.0, with: hostile.1)
    try #require(broken != text, "nothing was replaced")
    let error = #expect(throws: ReportError.self) { try BenchReport.decode(Array(broken.utf8)) }
    let message = try #require(error?.description)
    #expect(message.contains(hostile.2) && message.contains(hostile.3), "\(message)")
  }

  @Test(arguments: ["", "null", "[]", "{", "{}", "3", "{\"format\":\"vmrun-bench\",\"format_version\":1}"])
  func whatIsNoReport(_ text: String) {
    #expect(throws: ReportError.self) { try BenchReport.decode(Array(text.utf8)) }
    #expect(throws: ReportError.self) { try IsolationReport.decode(Array(text.utf8)) }
  }

  @Test func notUTF8() {
    #expect(throws: ReportError.self) { try BenchReport.decode([0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D]) }
  }

  /// Every number at its bounds, then every output of it: nothing may trap.
  @Test func extremesAreShown() throws {
    var report = Synthetic.small
    let most = Field.most
    for index in report.series.indices {
      for sample in report.series[index].samples.indices {
        report.series[index].samples[sample].wall = sample == 0 ? 0 : most
        report.series[index].samples[sample].user = most
        report.series[index].samples[sample].peakResident = most
        report.series[index].samples[sample].order = most
      }
      report.series[index].bytesRead = most
      report.series[index].residentShare = most
      report.series[index].systemCalls = most
    }
    report.concurrency = [ConcurrencyPoint(arm: "vm", level: .max, latencies: [0, most], elapsed: 0)]
    report.density = [DensityPoint(arm: "vm", count: 0, residentShare: most, availableChange: -Int64(most))]
    report.series.append(Series(arm: "host", cache: .cold, samples: []))
    report.series.append(Series(arm: "vm", cache: .cold, samples: [Sample(wall: 0)]))
    report = try BenchReport.decode(Array(report.json().utf8))
    for text in [
      report.csv(), report.markdown(), report.terminalTable(width: 80, colour: true), report.html(),
      BenchReport().html(),
      BenchReport().markdown(), BenchReport().terminalTable(width: 0, colour: false), BenchReport().csv(),
    ] { #expect(!text.contains("cannot print")) }
  }
}
