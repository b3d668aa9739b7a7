import Foundation
import Testing

@testable import Report

/// Writes pages for eyes: `REPORT_RENDER=FOLDER swift test --filter RenderingTests`.
struct RenderingTests {
  static var folder: String? { ProcessInfo.processInfo.environment["REPORT_RENDER"] }

  @Test(.enabled(if: folder != nil, "REPORT_RENDER names no folder for the pages"))
  func pagesAreWritten() throws {
    let folder = try #require(Self.folder)
    let bench = Synthetic.bench()
    let outputs: [(String, String)] = [
      ("bench.html", bench.html()), ("isolation.html", Synthetic.isolation.html()), ("bench.json", bench.json()),
      ("bench.csv", bench.csv()), ("bench.md", bench.markdown()),
      ("bench.txt", bench.terminalTable(width: 100, colour: false)),
      ("bench-80.txt", bench.terminalTable(width: 80, colour: true)),
    ]
    for (name, text) in outputs {
      try text.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8)
      #expect(!text.isEmpty)
    }
  }
}
