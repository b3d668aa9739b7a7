import Foundation
import Report
import Testing

@testable import Bench

/// The runner with arms that are small shell scripts.
@Suite(.serialized) struct RunTests {
  private func arm(_ id: String, _ script: String, waiting: String? = nil) -> Candidate {
    let words = ["/bin/sh", "-c", script, Candidate.instance]
    var candidate = Candidate(
      arm: Arm(id: id, name: id, kind: .host, isPeer: false, command: words), arguments: words,
      marker: Array("HERE".utf8))
    if let waiting { candidate.waiting = ["/bin/sh", "-c", waiting, Candidate.instance] }
    return candidate
  }

  private var few: BenchOptions {
    var options = BenchOptions()
    options.goal.runs = 4
    options.timeout = 1_000_000_000
    options.looksCloser = false
    return options
  }

  private func run(
    _ candidates: [Candidate], _ options: BenchOptions, _ tell: @escaping (BenchEvent) -> Void = { _ in }
  ) throws
    -> BenchReport
  {
    let interruption = try Interruption(takesSignals: false)
    let run = BenchRun(
      candidates, options: options, report: BenchReport(), variables: Surroundings.variables(),
      interruption: interruption,
      tell: tell)
    run.run()
    return run.report
  }

  @Test func times() throws {
    let report = try run(
      [
        arm("quick", "echo HERE"),
        arm("late", "echo noise; sleep 0.1; echo HERE; sleep 0.05; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"),
      ],
      few)
    #expect(report.series.map(\.samples.count) == [4, 4])
    #expect(report.missing.isEmpty && !report.isInterrupted)
    let orders = report.series.flatMap { $0.samples.map(\.order) }
    #expect(Set(orders).count == 8)
    for sample in report.series[1].samples {
      let first = try #require(sample.firstByte)
      // The noise before it does not count.
      #expect(first >= 100_000_000 && first < 400_000_000)
      #expect(sample.wall >= first + 50_000_000)
      #expect(sample.user > 1_000_000 && sample.user < sample.wall)
    }
    for sample in report.series[0].samples {
      #expect(try #require(sample.firstByte) <= sample.wall)
      #expect(sample.wall < 100_000_000)
    }
  }

  @Test func failuresAreSaidAndTheRestGoesOn() throws {
    let report = try run(
      [
        arm("good", "echo HERE"), arm("code", "echo HERE; echo why >&2; exit 3"), arm("mute", "echo something"),
        arm("hangs", "echo HERE; exec sleep 100"), arm("killed", "echo HERE; kill -9 $$"),
        {
          var gone = arm("gone", "")
          gone.arguments = ["/nonexistent"]
          return gone
        }(),
      ], few)
    #expect(report.arms.map(\.id) == ["good"])
    #expect(report.series.map(\.arm) == ["good"])
    #expect(
      report.missing.map { "\($0.name): \($0.value)" } == [
        "code: exit code 3: why", "mute: no output of the payload", "hangs: no end within 1 s",
        "killed: ended by signal 9",
        "gone: execute /nonexistent: No such file or directory",
      ])
  }

  /// An arm that fails later than in its trial is dropped, and its samples stay.
  @Test func laterFailure() throws {
    let counter = FileManager.default.temporaryDirectory.appendingPathComponent("bench-\(UUID()).count").path
    defer { try? FileManager.default.removeItem(atPath: counter) }
    let script = "echo HERE; echo x >>\(counter); [ $(wc -l <\(counter)) -lt 5 ] || { echo tired >&2; exit 9; }"
    let report = try run([arm("good", "echo HERE"), arm("tires", script)], few)
    #expect(report.series.first { $0.arm == "tires" }?.samples.count == 2)
    #expect(report.series.first { $0.arm == "good" }?.samples.count == 4)
    #expect(report.missing.map(\.value) == ["exit code 9: tired"])
  }

  @Test func alternativesAndUndo() throws {
    let trace = FileManager.default.temporaryDirectory.appendingPathComponent("bench-\(UUID()).trace").path
    defer { try? FileManager.default.removeItem(atPath: trace) }
    var candidate = arm("other", "exit 1")
    candidate.alternatives = [(["/bin/sh", "-c", "echo HERE"], "in its other form")]
    var hanging = arm("hangs", "trap '' TERM; echo $0 >\(trace); echo HERE; sleep 100 & wait; wait")
    hanging.undo = [["/bin/sh", "-c", "[ $(cat \(trace)) = $0 ] && echo undone >>\(trace)", Candidate.instance]]
    let report = try run([candidate, hanging], few)
    #expect(report.arms.map(\.note) == ["in its other form"])
    #expect(report.arms[0].command == ["/bin/sh", "-c", "echo HERE"])
    #expect(report.series[0].samples.count == 4)
    #expect(try String(contentsOfFile: trace, encoding: .utf8).hasSuffix("undone\n"))
  }

  @Test func interruptedInTheMiddle() throws {
    let interruption = try Interruption(takesSignals: false)
    var rounds = 0
    var options = few
    options.goal.runs = 1000
    options.levels = [1, 2]
    options.density = 2
    let run = BenchRun(
      [arm("a", "echo HERE"), arm("b", "echo HERE")], options: options, report: BenchReport(), variables: [],
      interruption: interruption
    ) { event in
      if case .round = event {
        rounds += 1
        if rounds == 6 { interruption.request() }
      }
    }
    run.run()
    #expect(run.report.isInterrupted)
    #expect(run.report.series.map(\.samples.count) == [5, 5])
    #expect(run.report.concurrency.isEmpty && run.report.density.isEmpty && run.report.missing.isEmpty)
  }

  @Test func concurrencyAddsUp() throws {
    var options = few
    options.levels = [1, 4]
    options.concurrentRuns = 8
    let report = try run([arm("sleeps", "echo HERE; sleep 0.1")], options)
    #expect(report.concurrency.map(\.level) == [1, 4])
    #expect(report.concurrency.map(\.latencies.count) == [8, 8])
    for point in report.concurrency { #expect(point.latencies.allSatisfy { $0 >= 100_000_000 }) }
    // Eight of a tenth of a second each: one by one, and in two lots of four.
    #expect(report.concurrency[0].elapsed >= 800_000_000)
    #expect(report.concurrency[1].elapsed >= 200_000_000 && report.concurrency[1].elapsed < 700_000_000)
  }

  @Test func densityAndMemory() throws {
    var options = few
    options.density = 3
    options.looksCloser = true
    let name = "vmrun-bench-test-\(UUID())"
    let report = try run([arm("waits", "echo HERE", waiting: "echo HERE; : \(name); cat >/dev/null")], options)
    #expect(report.density.map(\.count) == [1, 2, 3])
    let shares = report.density.compactMap(\.residentShare)
    #expect(shares.count == 3 && shares.allSatisfy { $0 > 100 << 10 && $0 < 100 << 20 })
    #expect(shares[2] > shares[0])
    #expect(try #require(report.series[0].residentShare) > 100 << 10)
    // A shell that starts and prints a line makes some dozens.
    if let calls = report.series[0].systemCalls { #expect(calls > 10 && calls < 2000) }
    let listed = Process()
    listed.executableURL = URL(fileURLWithPath: "/usr/bin/pgrep")
    listed.arguments = ["-f", name]
    try listed.run()
    listed.waitUntilExit()
    #expect(listed.terminationStatus == 1, "an instance is left")
  }

  @Test func callsAreCountedThroughForks() throws {
    var options = few
    options.looksCloser = true
    let report = try run(
      [arm("one", "echo HERE"), arm("many", "echo HERE; for i in 1 2 3 4 5 6 7 8; do /bin/true; done")], options)
    let calls = report.series.compactMap(\.systemCalls)
    // Without the right to trace there are none; with it, eight more programs are seen.
    guard calls.count == 2 else {
      #expect(calls.isEmpty)
      return
    }
    #expect(calls[1] > calls[0] + 8 * 20, "\(calls)")
    // Of the shell, and not of this process, which is far larger.
    for sample in report.series.flatMap(\.samples) {
      #expect(sample.peakResident > 400 << 10 && sample.peakResident < 10 << 20, "\(sample.peakResident)")
    }
  }

  @Test func coldFilesAreDropped() throws {
    let path = "/var/tmp/vmrun-bench-\(UUID())"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(count: 1 << 20).write(to: URL(fileURLWithPath: path))
    var candidate = arm("reads", "cat \(path) >/dev/null; echo HERE")
    candidate.files = [path]
    var options = few
    options.caches = [.warm, .cold]
    let report = try run([candidate], options)
    #expect(report.series.map(\.cache) == [.warm, .cold])
    #expect(report.series.map(\.samples.count) == [4, 4])
    #expect(report.environment.contains { $0.name == "cold cache" })
  }

  @Test func timings() throws {
    let text = """
      vmrun: something
      {"clock":"CLOCK_MONOTONIC","start_ns":1500,"exit_code":0,"phases":[{"phase":"parse","took_ns":10,"end_ns":10},\
      {"phase":"teardown","took_ns":90,"end_ns":100}],"backend":{"name":"libvirt","acceleration":"emulation","machine":"microvm","reason":"why"}}

      """
    let timings = try #require(Timings(Array(text.utf8)))
    #expect(
      timings.phases(since: 1000, wall: 700) == [
        PhaseEnd(name: "exec", end: 500), PhaseEnd(name: "parse", end: 510), PhaseEnd(name: "teardown", end: 600),
        PhaseEnd(name: "reap", end: 700),
      ])
    // Not of this process, or nonsense.
    #expect(timings.phases(since: 2000, wall: 700).isEmpty)
    #expect(timings.phases(since: 1000, wall: 550).isEmpty)
    #expect(timings.backend == .init(name: "libvirt", acceleration: "emulation", machine: "microvm", reason: "why"))
    var arm = Arm(id: "vm-linux", name: "VM", kind: .machine, isPeer: false, command: [])
    arm.describe(try #require(timings.backend))
    #expect(arm.name == "VM (libvirt, TCG)" && arm.note.contains("no hardware virtualisation"))
    for bad in [
      "", "{}", "{\"start_ns\":-1,\"phases\":[]}", "{\"start_ns\":1,\"phases\":[{}]}", "{\"start_ns\":1,\"phases\":7}",
      "{",
    ] {
      #expect(Timings(Array(bad.utf8)) == nil, "\(bad)")
    }
  }

  @Test func archives() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bench-\(UUID())").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let payload = Array("the payload, of odd length".utf8) + [1]
    try Data(Archives.tar(payload: payload)).write(to: URL(fileURLWithPath: "\(folder)/a.tar"))
    try Data(Archives.initramfs(payload: payload)).write(to: URL(fileURLWithPath: "\(folder)/a.cpio"))
    for (words, listing) in [
      ("tar -tf a.tar", "proc/\nsys/\ndev/\ntmp/\netc/\npayload\n"),
      ("cpio -t --quiet <a.cpio", "dev\ndev/console\npayload\n"),
      ("tar -xOf a.tar payload", String(decoding: payload, as: UTF8.self)),
    ] {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = ["-c", "cd \(folder) && \(words)"]
      let pipe = Pipe()
      process.standardOutput = pipe
      try process.run()
      let output = pipe.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      #expect(process.terminationStatus == 0, "\(words)")
      #expect(String(decoding: output, as: UTF8.self) == listing)
    }
  }

  @Test func stageLeavesNothing() throws {
    let stage = try Stage(nil)
    #expect(FileManager.default.fileExists(atPath: stage.folder))
    try FileManager.default.createDirectory(atPath: stage.folder + "/a/b/c", withIntermediateDirectories: true)
    try Data(count: 3).write(to: URL(fileURLWithPath: stage.folder + "/a/b/file"))
    try FileManager.default.createSymbolicLink(atPath: stage.folder + "/a/link", withDestinationPath: "/etc")
    stage.close()
    #expect(!FileManager.default.fileExists(atPath: stage.folder))
    #expect(FileManager.default.fileExists(atPath: "/etc/passwd"))
  }

  @Test func facts() {
    let facts = Surroundings.facts()
    for name in ["processor", "processors", "kernel", "KVM", "cgroups", "load", "memory"] {
      #expect(facts.contains { $0.name == name && !$0.value.isEmpty }, "\(name)")
    }
  }
}
