import Foundation
import Testing

@testable import Report

struct CSVTests {
  @Test func aLineForEachSample() {
    let expected = [
      "arm,cache,order,wall_ns,first_byte_ns,user_ns,system_ns,peak_resident_bytes,exit_code,\"phase:open, KVM\",phase:run",
      "host,warm,0,1000000,,250000,500000,1048576,0,,",
      "host,warm,2,1100000,550000,275000,550000,1048576,0,,",
      "host,warm,4,900000,450000,225000,450000,1048576,0,,",
      "vm,warm,1,2500000,1250000,625000,1250000,1048576,0,500000,2000000",
      "vm,warm,3,2600000,1300000,650000,1300000,1048576,0,600000,2100000",
      "vm,warm,5,2400000,1200000,600000,1200000,1048576,0,,", "",
    ].joined(separator: "\r\n")
    #expect(Synthetic.small.csv() == expected)
  }

  @Test(arguments: [
    ("plain", "plain"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("a\r\nb", "\"a\r\nb\""), ("", ""),
  ])
  func quotesWhatMustBe(_ pair: (String, String)) { #expect(Escaping.csv(pair.0) == pair.1) }
}

struct MarkdownTests {
  @Test func smallReport() {
    let text = Synthetic.small.markdown()
    let summary = ReportSummary(Synthetic.small)
    let (host, vm) = (summary.series[0], summary.series[1])
    let ratio = try! #require(vm.ratio)
    #expect(
      text.contains(
        """
        | Arm | Runs | Median | 95 % interval | p90 | p99 | Slowest | First byte | Ratio | 95 % of the ratio |
        | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
        | Host process | 3 | **1.00** | \(Wording.range(host.interval, unit: 1e6)) | 1.08 | 1.10 | 1.10 | 0.500 | 1 | – |
        | VM | 3 | **2.50** | \(Wording.range(vm.interval, unit: 1e6)) | 2.58 | 2.60 | 2.60 | 1.25 | 2.50 | \(Wording.range(ratio)) |
        """))
    #expect(text.contains("| open, KVM | 0.550 | 0.550 |\n| run | 1.50 | 2.05 |"))
    #expect(text.contains("- runc: not installed"))
    #expect(text.contains("```sh\nvmrun bench --runs 3\n```"))
    #expect(text.contains("2026-08-23 14:05 UTC, seed 1"))
  }

  @Test func nothingInNamesIsMarkup() {
    var report = Synthetic.small
    report.arms[1].name = Synthetic.hostile
    report.command = ["x", "````", Synthetic.hostile]
    let text = report.markdown()
    #expect(!text.contains("\u{1B}"))
    #expect(!text.contains("\u{202E}"))
    // Outside of the fence, whose length exceeds any run of backticks inside.
    let fence = text.components(separatedBy: "`````sh\n")
    #expect(fence.count == 2)
    #expect(!fence[0].contains("<script") && !fence[0].contains("@everyone"))
    let rows = fence[0].split(separator: "\n").filter { $0.contains("&lt;script&gt;") && $0.hasPrefix("|") }
    #expect(!rows.isEmpty)
    for row in rows {
      let bars = row.replacingOccurrences(of: "\\|", with: "").filter { $0 == "|" }.count
      #expect([11, 8].contains(bars))
    }
  }
}

struct TerminalTests {
  @Test func smallReport() {
    let lines = Synthetic.small.terminalTable(width: 100, colour: false).split(
      separator: "\n", omittingEmptySubsequences: false)
    #expect(lines[0] == "Start to end of one run, in ms, with a warm page cache; ratios to Host process")
    #expect(lines[1].hasPrefix("Arm           Runs  Median"))
    #expect(lines[2].hasPrefix("Host process     3    1.00"))
    #expect(lines[3].hasPrefix("VM               3    2.50"))
    #expect(lines.contains("  open, KVM 0.550, run 1.50"))
    #expect(lines.contains("- Not run: runc: not installed"))
  }

  @Test(arguments: [40, 60, 80, 100, 132])
  func noLineIsWiderThanTheTerminal(_ width: Int) {
    let report = Synthetic.bench(runs: 12)
    let text = report.terminalTable(width: width, colour: false)
    // Tables keep their indispensable columns however narrow the terminal is: these need 78.
    for line in text.split(separator: "\n") where width >= 80 {
      #expect(TextWidth.of(String(line)) <= width, "\(line)")
    }
    let matrix = Synthetic.isolation.terminalTable(width: width, colour: false)
    for line in matrix.split(separator: "\n") { #expect(TextWidth.of(String(line)) <= width, "\(line)") }
  }

  @Test func colourChangesNoText() {
    let report = Synthetic.bench(runs: 12)
    let plain = report.terminalTable(width: 90, colour: false)
    let coloured = report.terminalTable(width: 90, colour: true)
    #expect(coloured.contains("\u{1B}[1m"))
    #expect(!plain.contains("\u{1B}"))
    #expect(coloured.replacing(/\u{1B}\[[0-9;]*m/, with: "") == plain)
  }

  @Test func namesCannotSteerTheTerminal() {
    var report = Synthetic.small
    report.arms[1].name = Synthetic.hostile
    report.missing = [Fact(Synthetic.hostile, Synthetic.hostile)]
    let text = report.terminalTable(width: 100, colour: false)
    for scalar in text.unicodeScalars where scalar != "\n" {
      #expect(!(0..<0x20).contains(scalar.value) && !(0x7F..<0xA0).contains(scalar.value) && scalar.value != 0x202E)
    }
  }

  @Test func marksAreWords() {
    let text = Synthetic.isolation.terminalTable(width: 80, colour: false)
    #expect(text.contains("container  [shared] 6f1c22aa"))
    #expect(text.contains("VM         [differs] c09d1e7b"))
    #expect(text.contains("[same] 4096"))
    #expect(text.contains("not measured: the guest has no fork(2)"))
  }
}

struct FiguresTests {
  @Test(arguments: [
    (0.0, "0"), (0.00923, "0.00923"), (0.0923, "0.0923"), (0.9234, "0.923"), (0.9996, "1.00"), (2.314, "2.31"),
    (9.996, "10.0"), (22.94, "22.9"), (99.96, "100"), (298.4, "298"), (2110.4, "2,110"), (1_234_567.8, "1,234,568"),
    (-2.5, "-2.50"),
  ])
  func threeFigures(_ pair: (Double, String)) { #expect(Figures.three(pair.0) == pair.1) }

  @Test func whatIsNoNumber() {
    #expect(Figures.three(.nan) == "unknown")
    #expect(Figures.three(.infinity) == "unbounded")
    #expect(Figures.fixed(-0.0004, decimals: 2) == "0.00")
    #expect(Figures.fixed(1e300, decimals: 2) == "1e+300")
    #expect(Figures.fixed(1.005, decimals: 9) == "1.005000000")
  }

  @Test(arguments: [
    (920.0, "920 ns"), (9_200, "9.20 µs"), (919_000, "919 µs"), (2.31e6, "2.31 ms"), (2.11e9, "2.11 s"),
  ])
  func durations(_ pair: (Double, String)) { #expect(Figures.duration(pair.0) == pair.1) }

  @Test(arguments: [(100.0, "100 B"), (2048, "2.00 KiB"), (1_782_579, "1.70 MiB"), (3_221_225_472, "3.00 GiB")])
  func sizes(_ pair: (Double, String)) { #expect(Figures.bytes(pair.0) == pair.1) }

  @Test(arguments: [
    (0 as Int64, "1970-01-01 00:00 UTC"), (951_827_696, "2000-02-29 12:34 UTC"),
    (1_787_493_900, "2026-08-23 14:05 UTC"),
    (-1, "1969-12-31 23:59 UTC"), (4_107_542_400, "2100-03-01 00:00 UTC"), (.max, "9223372036854775807 s since 1970"),
  ])
  func dates(_ pair: (Int64, String)) { #expect(Figures.date(pair.0) == pair.1) }

  @Test func logarithms() {
    for value in [1e-6, 0.3, 1, 2, 9.99, 10, 12345.678, 1e12] {
      #expect(abs(Logarithm.ten(value) - log10(value)) < 1e-12)
      #expect(abs(Logarithm.powerOfTen(Logarithm.ten(value)) / value - 1) < 1e-10)
      #expect(Logarithm.decade(below: value) <= value * 1.000_001)
      #expect(Logarithm.decade(below: value) * 10 > value)
    }
  }

  @Test func shellReadsBackItsWords() throws {
    let words = ["plain", "", "two words", "it's", "$HOME `x` \"q\" \\", "a\tb", "*"]
    let process = Process()
    process.executableURL = URL(filePath: "/bin/sh")
    process.arguments = ["-c", "printf '%s\\n' " + Escaping.shell(words)]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(output == words.map { $0 + "\n" }.joined())
  }
}

struct AxisTests {
  @Test func logarithmicBeyondTenfold() {
    let narrow = Axis([1e6, 9e6], .time, fromZero: false, mayBeLogarithmic: true)
    let wide = Axis([1e6, 2e9], .time, fromZero: false, mayBeLogarithmic: true)
    #expect(!narrow.isLogarithmic && wide.isLogarithmic)
    #expect(wide.ticks.contains { $0.label == "1 s" } && wide.ticks.contains { $0.label == "10 ms" })
    #expect(abs(wide.place(1e9) - wide.place(1e8) - (wide.place(1e8) - wide.place(1e7))) < 1e-9)
  }

  @Test(arguments: [
    [0.0], [], [5], [1e6, 1e6], [0, 0.001], [1e300, 1], [.nan, .infinity], [3.3e6, 4.1e6], [123_456_789, 987_654_321],
  ])
  func everyTickIsOnTheAxis(_ values: [Double]) {
    for quantity in [Axis.Quantity.time, .memory, .count, .rate, .ratio] {
      for mayBeLogarithmic in [true, false] {
        let axis = Axis(values, quantity, fromZero: false, mayBeLogarithmic: mayBeLogarithmic)
        #expect(axis.high > axis.low)
        #expect((2...64).contains(axis.ticks.count), "\(values) \(quantity)")
        for tick in axis.ticks { #expect((0...1).contains(tick.place)) }
        for value in values where value.isFinite && value < 1e200 {
          #expect((0...1).contains(axis.place(value)))
        }
      }
    }
  }
}
