import Foundation
import Testing

@testable import Report

/// Every output as a file; kept for eyes by `REPORT_RENDER=FOLDER swift test --filter RenderingTests`.
struct RenderingTests {
  @Test func outputsAreWholeTexts() throws {
    let wanted = ProcessInfo.processInfo.environment["REPORT_RENDER"]
    let folder = wanted ?? NSTemporaryDirectory() + "report-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { if wanted == nil { try? FileManager.default.removeItem(atPath: folder) } }
    let bench = Synthetic.bench()
    let outputs: [(String, String)] = [
      ("bench.html", bench.html()), ("isolation.html", Synthetic.isolation.html()), ("bench.json", bench.json()),
      ("bench.csv", bench.csv()), ("bench.md", bench.markdown()),
      ("bench.txt", bench.terminalTable(width: 100, colour: false)),
      ("bench-80.txt", bench.terminalTable(width: 80, colour: true)),
    ]
    for (name, text) in outputs {
      try text.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8)
      #expect(text.utf8.last == UInt8(ascii: "\n"), "\(name)")
      #expect(try String(contentsOfFile: folder + "/" + name, encoding: .utf8) == text, "\(name)")
    }
  }
}
