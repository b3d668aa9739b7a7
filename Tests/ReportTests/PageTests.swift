import Foundation
import FoundationXML
import Testing

@testable import Report

/// What a parser of XML sees of a page.
private final class Seen: NSObject, XMLParserDelegate {
  var problems: [String] = []
  var elements: [String: Int] = [:]
  var drawings = 0
  var text = ""
  private var open: [String] = []
  private var svg: [Set<String>] = []
  private var texts: [String] = []
  private static let loading: Set = [
    "src", "srcset", "poster", "data", "action", "formaction", "xlink:href", "background",
  ]

  static func parse(_ html: String) -> Seen {
    let seen = Seen()
    let parser = XMLParser(data: Data(html.utf8))
    parser.delegate = seen
    if !parser.parse() {
      seen.problems.append("line \(parser.lineNumber): \(parser.parserError.map { "\($0)" } ?? "not well-formed")")
    }
    return seen
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) {
    elements[name, default: 0] += 1
    if ["script", "link", "iframe", "img", "object", "embed", "base", "form", "use", "image"].contains(name) {
      problems.append("an element \(name)")
    }
    for (attribute, value) in attributes {
      if Self.loading.contains(attribute) || attribute.hasPrefix("on") { problems.append("an attribute \(attribute)") }
      if attribute == "href", !value.hasPrefix("#") { problems.append("a link to \(value)") }
    }
    if name == "svg" {
      if open.contains("svg") {
        if attributes["aria-hidden"] != "true" { problems.append("an inner drawing that is not hidden") }
      } else {
        drawings += 1
        if attributes["role"] != "img" { problems.append("a drawing that is no image") }
      }
      svg.append([])
    }
    if open.last == "svg", name == "title" || name == "desc", !svg.isEmpty { svg[svg.count - 1].insert(name) }
    open.append(name)
    texts.append("")
  }

  func parser(_ parser: XMLParser, foundCharacters string: String) {
    text += string
    if !texts.isEmpty { texts[texts.count - 1] += string }
  }

  func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
    open.removeLast()
    let content = texts.removeLast()
    if name == "desc", content.rangeOfCharacter(from: .decimalDigits) == nil {
      problems.append("a description without figures")
    }
    if name == "title", content.isEmpty { problems.append("an empty title") }
    if name == "style", content.contains("@import") || content.contains("url(") {
      problems.append("a style that loads")
    }
    if name == "svg" {
      let found = svg.removeLast()
      if !open.contains("svg"), found != ["title", "desc"] {
        problems.append("a drawing without title or description")
      }
    }
  }
}

struct PageTests {
  static let bench = Synthetic.bench(runs: 30)

  @Test func benchPageIsWellFormedAndLoadsNothing() {
    let html = Self.bench.html()
    let seen = Seen.parse(html)
    #expect(seen.problems.isEmpty, "\(seen.problems)")
    // Two distributions and their spreads, six waterfalls, four levels, six arms, throughput, processor, memory, two of density.
    #expect(seen.drawings == 4 + 6 + 4 + 6 + 1 + 2 + 2)
    #expect(html.lowercased().contains("<script") == false)
    #expect(html.replacingOccurrences(of: "xmlns=\"http://www.w3.org/1999/xhtml\"", with: "").contains("http") == false)
  }

  @Test func isolationPageIsWellFormedAndLoadsNothing() {
    let seen = Seen.parse(Synthetic.isolation.html())
    #expect(seen.problems.isEmpty, "\(seen.problems)")
    #expect(seen.elements["table"] == 9)
    for words in [
      "! shared", "≠ differs", "= same", "not measured: the guest has no fork(2)", "tracefs is not mounted",
    ] {
      #expect(seen.text.contains(words))
    }
  }

  @Test func figuresAreThoseOfTheTable() throws {
    let summary = ReportSummary(Self.bench)
    let seen = Seen.parse(Self.bench.html())
    let markdown = Self.bench.markdown()
    let unit = Unit.time(for: summary.series(.warm).map { $0.wall.median })
    for series in summary.series(.warm) {
      let interval = Wording.range(series.interval, unit: unit.size)
      for figure in [unit.text(series.wall.median), interval, unit.text(series.wall.p99)] {
        #expect(seen.text.contains(figure) && markdown.contains(figure), "\(figure)")
      }
      if let ratio = series.ratio {
        #expect(seen.text.contains(Figures.three(ratio.middle)) && markdown.contains(Wording.range(ratio)))
      }
      // The drawing, the tile and the description say the same.
      #expect(seen.text.components(separatedBy: Figures.duration(series.wall.median)).count > 3)
    }
  }

  @Test func hostileTextStaysText() {
    var report = Self.bench
    for index in report.arms.indices {
      report.arms[index].name = Synthetic.hostile
      report.arms[index].note = Synthetic.hostile
      report.arms[index].command = [Synthetic.hostile, "]]>", "</pre>", "<!--"]
    }
    report.version = Synthetic.hostile
    report.command = ["</style><script>", Synthetic.hostile]
    report.environment = [Fact(Synthetic.hostile, "\u{FFFF}\u{B}\u{7F}")]
    report.missing = [Fact(Synthetic.hostile, Synthetic.hostile)]
    for index in report.series[2].samples.indices { report.series[2].samples[index].phases[0].name = Synthetic.hostile }
    let row = IsolationRow(
      question: Synthetic.hostile, findings: [.value(Synthetic.hostile), .unknown(Synthetic.hostile)],
      isShared: [true, true, true], note: Synthetic.hostile)
    report.isolation = IsolationReport(
      sides: ["\" onload=\"x", "<b>"],
      sections: [IsolationSection(number: 1, title: Synthetic.hostile, introduction: Synthetic.hostile, rows: [row])],
      unmeasured: [Fact("<", ">")], notShown: ["&amp;"], environment: [])
    let html = report.html()
    let seen = Seen.parse(html)
    #expect(seen.problems.isEmpty, "\(seen.problems)")
    #expect(!html.contains("<script") && !html.contains("\u{1B}") && !html.contains("\u{202E}"))
    #expect(seen.text.contains("<script>alert(\"1\")</script> & 'x' | `y`"))
    #expect(seen.text.contains("&amp;"))
  }

  @Test(arguments: [
    ("<b>", "&lt;b&gt;"), ("a & b", "a &amp; b"), ("\"'", "&quot;&#39;"),
    ("\u{0}\u{1B}\u{9B}", "\u{FFFD}\u{FFFD}\u{FFFD}"),
    ("\u{FFFE}", "\u{FFFD}"), ("\t\n", "  "), ("한글 µ ≠", "한글 µ ≠"),
    (String(decoding: [0xFF, 0xC0, 0x41], as: UTF8.self), "\u{FFFD}\u{FFFD}A"),
  ])
  func markupIsEscaped(_ pair: (String, String)) { #expect(Escaping.markup(pair.0) == pair.1) }

  @Test func manyRunsAreThinnedAndSaidToBe() throws {
    var report = Synthetic.bench(runs: 10_000, isWithIsolation: false)
    report.series.removeSubrange(2...)
    report.concurrency = []
    let html = report.html()
    #expect(html.utf8.count < 2 << 20)
    #expect(html.components(separatedBy: "class=\"dot\"").count - 1 == 2 * Distribution.mostPoints)
    #expect(html.contains("400 points are drawn, evenly by rank") && html.contains("the longest row has 10,000"))
    let sorted = (0..<1000).map { Double($0) }
    let thinned = Distribution.thin(sorted, to: 400)
    #expect(thinned.count == 400 && thinned.first == 0 && thinned.last == 999 && thinned == thinned.sorted())
  }

  @Test func noDifferenceIsSaidAsSuch() {
    var report = Synthetic.small
    report.series[1].samples = report.series[0].samples
    let html = report.html()
    #expect(html.contains("no difference from Host process was shown (ratio 1.00, 95 % interval"))
    #expect(!html.contains("times as long as Host process"))
  }

  @Test func interruptedAndDriftingAreSaid() {
    var report = Synthetic.bench(runs: 40)
    report.isInterrupted = true
    for index in report.series[0].samples.indices { report.series[0].samples[index].wall += UInt64(index) * 20_000 }
    let text = report.markdown()
    #expect(text.contains("The bench was ended early"))
    #expect(text.contains("Host process: the runs grew slower by about"))
    #expect(text.contains("VM, Debian kernel 6.1 (libvirt, TCG): the runs fall into two groups"))
  }

  @Test func phasesOfRunsThatAgree() {
    let vm = ReportSummary(Synthetic.small).series[1]
    #expect(
      vm.phases == [
        PhaseSummary(name: "open, KVM", start: 0, end: 550_000),
        PhaseSummary(name: "run", start: 550_000, end: 2_050_000),
      ])
    #expect(vm.phaseRuns == 2)
  }
}

/// The pages in a real browser.
struct BrowserTests {
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  static let browser = ["chromium", "chromium-browser", "google-chrome"].flatMap { name in
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
  }.first { FileManager.default.isExecutableFile(atPath: $0) }

  private func check(_ html: String) throws -> (status: Int32, output: String) {
    let file = FileManager.default.temporaryDirectory.appending(path: "report-\(UUID().uuidString).html")
    try html.write(to: file, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: file) }
    let process = Process()
    process.executableURL = Self.root.appending(path: "Scripts/report-check")
    process.arguments = [file.path()]
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, output)
  }

  @Test(.enabled(if: browser != nil, "no Chromium is installed (Debian's package: chromium)"))
  func pagesAreWellInABrowser() throws {
    for html in [Synthetic.bench().html(), Synthetic.isolation.html(), Synthetic.small.html()] {
      let (status, output) = try check(html)
      #expect(status == 0, "\(output)")
      #expect(output.components(separatedBy: "ok: ").count == 7, "\(output)")
    }
  }

  /// The check itself finds what it looks for.
  @Test(.enabled(if: browser != nil, "no Chromium is installed (Debian's package: chromium)"))
  func faultsAreFound() throws {
    let page = """
      <!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">\
      <title>x</title></head><body style="background:#fff"><div style="width:2000px">wide</div>\
      <img src="http://192.0.2.1/x.png" alt=""><p style="color:#bbb">faint</p><svg role="img"><title>x</title></svg>\
      <script>console.log("x"); throw new Error("y")</script></body></html>
      """
    let (status, output) = try check(page)
    #expect(status == 1)
    for words in [
      "wider than the window", "a request: http://192.0.2.1/x.png", "contrast", "a script error", "on the console",
      "without figures", "a script element",
    ] {
      #expect(output.contains(words), "\(words) in \(output)")
    }
  }
}
