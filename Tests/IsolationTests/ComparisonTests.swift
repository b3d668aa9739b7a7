import Report
import Testing

@testable import Isolation

@Suite struct ComparisonTests {
  private func side(_ kind: IsolationSide, _ findings: [(String, String)]) -> SideResult {
    var result = SideResult(kind)
    for (name, value) in findings { result.findings.add(name, value) }
    return result
  }

  private func row(_ report: IsolationReport, _ number: UInt32, _ question: String) -> IsolationRow? {
    report.sections.first { $0.number == number }?.rows.first { $0.question.hasPrefix(question) }
  }

  private var ownBoot: String { SystemFile.line("/proc/sys/kernel/random/boot_id") }

  private func report(_ sides: [SideResult], _ sections: Set<UInt8>, quick: Bool = false) -> IsolationReport {
    var options = IsolationOptions()
    options.sections = sections
    options.isQuick = quick
    return Comparison(sides, options).report()
  }

  @Test func kernelsAreToldByTheirBoot() throws {
    let result = report(
      [
        side(.host, [("kernel.boot", ownBoot)]), side(.container, [("kernel.boot", ownBoot)]),
        side(.vm, [("kernel.boot", "another")]),
      ], [1])
    let own = try #require(row(result, 1, "Is the kernel"))
    #expect(own.findings == [.value("yes"), .value("yes"), .value("no")])
    // The host's own column is never marked.
    #expect(own.isShared == [false, true, false])
    #expect(result.sides == ["host", "container", "VM"])
  }

  @Test func missingSidesAreNamed() throws {
    var machine = SideResult(.vm)
    machine.failure = "there is no kernel"
    let result = report([side(.host, [("kernel.boot", ownBoot)]), machine], [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(result.unmeasured.contains(Fact("VM", "there is no kernel")))
    for section in result.sections {
      for row in section.rows {
        #expect(row.findings.count == 2 && row.isShared.count == 2)
        #expect(row.findings[1] == .unknown("not run"))
        #expect(row.isShared[1] == false)
      }
    }
    #expect(result.sections.map { $0.number } == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(!result.notShown.isEmpty)
  }

  @Test func quickLeavesTheBombsOut() {
    let result = report([side(.host, [])], [6, 7, 8], quick: true)
    #expect(result.sections.map { $0.number } == [6, 8])
    #expect(result.unmeasured.contains(Fact("limits", "left out by --quick")))
  }

  @Test func effectsThatCrossAreMarked() throws {
    var container = side(.container, [("effect.socket", "done"), ("effect.clock", "EPERM"), ("effect.tcp", "4711")])
    container.crossings.add("socket", "seen")
    container.crossings.add("tcp", "not seen")
    let result = report([container], [6])
    let socket = try #require(row(result, 6, "Listen on an abstract socket"))
    #expect(socket.findings == [.value("yes, and the host sees it")])
    #expect(socket.isShared == [true])
    #expect(row(result, 6, "Listen on 127.0.0.1")?.findings == [.value("yes, for itself: not seen on the host")])
    #expect(row(result, 6, "Set the clock")?.findings == [.value("refused (EPERM)")])
  }

  @Test func canariesNeedTheHostAsAControl() throws {
    let result = report(
      [
        side(.host, [("canary.key", "ENOKEY"), ("canary.file", "found")]),
        side(.container, [("canary.key", "ENOKEY"), ("canary.file", "ENOENT")]),
      ], [5])
    let key = try #require(row(result, 5, "Canary: a key"))
    #expect(key.findings[1] == .unknown("the host does not see it either: ENOKEY"))
    #expect(row(result, 5, "Canary: a file")?.findings[1] == .value("hidden (ENOENT)"))
  }

  @Test func callsAreComparedWithTheHosts() throws {
    func calls(_ kind: IsolationSide, _ lines: [String]) throws -> SideResult {
      var result = side(kind, lines.map { ("call", $0) })
      result.calls = try CallTable(result.findings, count: 3)
      return result
    }
    let host = try calls(.host, ["0 1 0 2 -9", "1 1 0 2 -9", "2 1 0 2 -38", "3 1 0 2 -38", "4 1 0 2 5"])
    let container = try calls(.container, ["0 2 1 0 0", "1 1 0 2 -1", "2 2 38 0 0", "3 1 0 2 -38", "4 1 0 2 5"])
    let result = report([host, container], [2])
    #expect(row(result, 2, "0 to 1: filtered")?.findings == [.value("0"), .value("1")])
    #expect(row(result, 2, "0 to 1: capability denied")?.findings == [.value("0"), .value("1")])
    #expect(row(result, 2, "Filtered; the host has them")?.findings[1] == .value("1: read"))
    #expect(row(result, 2, "Denied by a capability")?.findings[1] == .value("1: write"))
  }

  @Test func privilegesAreCounted() {
    #expect(Comparison.count("00000000a80425fb") == "14")
    #expect(Comparison.count("0000000000000000") == "none")
    #expect(Comparison.count("nonsense") == "?")
  }
}
