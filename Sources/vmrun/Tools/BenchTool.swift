import Bench
import CLinux
import Isolation
import Kernels
import Machine
import Report
import System

/// `vmrun bench`.
enum BenchTool {
  /// Runs it with the words behind its name; returns the exit code.
  static func run(_ words: [[UInt8]]) -> Int32 {
    do throws(UsageError) {
      let arguments = try BenchArguments(words)
      if arguments.wantsHelp { return Output.standard(BenchHelp.text) }
      return try measure(arguments, words)
    } catch {
      Log.message("\(error.message)\n       see vmrun bench --help")
      return 125
    }
  }

  private static func measure(_ given: BenchArguments, _ words: [[UInt8]]) throws(UsageError) -> Int32 {
    var arguments = given
    let seed = arguments.seed ?? Clock.now() % 1_000_000
    arguments.options.seed = seed
    // What cannot be read or understood is said before a minute has passed.
    let baseline = try arguments.baseline.map { (path) throws(UsageError) in try readBaseline(path) }
    let kernel = try findKernel(arguments)
    do throws(BenchError) {
      let interruption = try Bench.Interruption(takesSignals: true)
      let stage = try Stage(arguments.folder)
      defer { stage.close() }
      try stage.fill(helper: HelperPlace.find(executable: OwnProgram.path()))
      var report = BenchReport()
      report.version = version
      report.date = Int64(time(nil))
      report.seed = seed
      report.command = ["vmrun", "bench"] + words.map { String(decoding: $0, as: UTF8.self) }
      if arguments.seed == nil { report.command += ["--seed", "\(seed)"] }
      report.environment = [Fact("vmrun", version)] + Surroundings.facts() + Surroundings.versions(of: arguments.arms)
      let candidates = makeArms(arguments, stage, kernel, interruption, &report)
      let progress = BenchProgress(isQuiet: arguments.isQuiet)
      progress.begin(seed: seed, missing: report.missing)
      let run = BenchRun(
        candidates, options: arguments.options, report: report, variables: Surroundings.variables(),
        interruption: interruption
      ) { progress.show($0) }
      run.run()
      progress.end()
      report = run.report
      if arguments.wantsIsolation, !interruption.check() { addIsolation(to: &report, kernel, arguments.isQuiet) }
      // No child is left: from here on a signal ends vmrun at once.
      if interruption.check() { stage.close() }
      interruption.release()
      report.reference = reference(arguments, report)
      return try finish(report, arguments, baseline)
    } catch {
      Log.message(error.description)
      return 125
    }
  }

  /// Asks the questions of `vmrun isolation`, and adds the answers. A signal leaves them out.
  private static func addIsolation(to report: inout BenchReport, _ kernel: String?, _ isQuiet: Bool) {
    var options = IsolationOptions()
    options.kernel = kernel
    let run = IsolationRun(options) { if !isQuiet { Log.raw("vmrun bench: isolation: \($0)\n") } }
    do throws(IsolationError) {
      let comparison = try run.run()
      if run.interruption == nil { report.isolation = comparison } else { report.isInterrupted = true }
    } catch {
      report.missing.append(Fact("isolation", error.description))
    }
  }

  private static var version: String {
    // "vmrun version 0.1.0" is the first line.
    let line = Help.version.utf8.prefix { $0 != UInt8(ascii: "\n") }
    return String(decoding: line.reversed().prefix { $0 != UInt8(ascii: " ") }.reversed(), as: UTF8.self)
  }

  private static func reference(_ arguments: BenchArguments, _ report: BenchReport) -> String {
    let wanted = arguments.reference ?? "host"
    if report.series.contains(where: { $0.arm == wanted }) { return wanted }
    return report.series.first?.arm ?? wanted
  }

  // MARK: Before

  private static func readBaseline(_ path: String) throws(UsageError) -> BenchReport {
    do throws(SystemError) {
      let file = try FileDescriptor.open(path, O_RDONLY)
      let text = try file.rest(limit: BenchFiles.mostBytes)
      do throws(ReportError) { return try BenchReport.decode(text) } catch {
        throw SystemError("", "", .invalid)
      }
    } catch {
      throw UsageError(
        "--baseline \(path): \(error.errno == .invalid ? "it is no report that --json saved" : error.description)")
    }
  }

  private static func findKernel(_ arguments: BenchArguments) throws(UsageError) -> String? {
    guard let name = arguments.kernel else { return KernelCatalogue.defaultKernel()?.path }
    do throws(KernelsError) { return try KernelCatalogue.resolve(name) } catch {
      throw UsageError("--kernel \(name): \(error.description)")
    }
  }

  private static func makeArms(
    _ arguments: BenchArguments, _ stage: Stage, _ kernel: String?, _ interruption: Bench.Interruption,
    _ report: inout BenchReport
  ) -> [Candidate] {
    let factory = ArmFactory(
      stage: stage, kernel: kernel, noKernel: KernelCatalogue.noKernel, interruption: interruption
    ) { root, words in BenchBundle.configuration(root: root, words) }
    var candidates: [Candidate] = []
    for (name, id) in zip(arguments.arms, arguments.identifiers) where !interruption.check() {
      do throws(BenchError) {
        var candidate = try factory.make(name)
        candidate.arm.id = id
        if id != name { candidate.arm.name += ", again" }
        candidates.append(candidate)
      } catch {
        report.missing.append(Fact(id, error.description))
      }
    }
    return candidates
  }

  // MARK: After

  private static func finish(
    _ report: BenchReport, _ arguments: BenchArguments, _ baseline: BenchReport?
  ) throws(BenchError) -> Int32 {
    let takesOutput = [arguments.json, arguments.csv, arguments.markdown, arguments.html].contains { $0 == "-" }
    let hasTerminal = isatty(takesOutput ? 2 : 1) == 1
    var text = report.terminalTable(width: BenchProgress.width(of: takesOutput ? 2 : 1), colour: hasTerminal)
    if let baseline { text += "\n" + Comparison.table(Comparison.rows(report, baseline: baseline)) }
    if takesOutput {
      Log.raw(text)
    } else if Output.standard(text) != 0 {
      throw BenchError("standard output cannot be written: \(Errno.current)")
    }
    if let path = arguments.json { try BenchFiles.write(report.json(), path) }
    if let path = arguments.csv { try BenchFiles.write(report.csv(), path) }
    if let path = arguments.markdown { try BenchFiles.write(report.markdown(), path) }
    if let path = arguments.html { try BenchFiles.write(report.html(), path) }
    if report.isInterrupted {
      Log.message("ended by a signal: this is what was measured until then")
      return 130
    }
    guard !report.series.isEmpty else {
      Log.message("no arm could be measured")
      return 125
    }
    var hasFailed = false
    for condition in arguments.conditions {
      do throws(BenchError) {
        guard let found = try condition.check(report) else { continue }
        Log.message("fails: \(found)")
      } catch {
        Log.message(error.description)
      }
      hasFailed = true
    }
    return hasFailed ? 1 : 0
  }
}

/// Files of the bench's outputs.
enum BenchFiles {
  /// A report that is read is not longer, in bytes.
  static let mostBytes = 16 << 20

  static func write(_ text: String, _ path: String) throws(BenchError) {
    if path == "-" {
      guard Output.standard(text) == 0 else { throw BenchError("standard output cannot be written: \(Errno.current)") }
      return
    }
    do throws(SystemError) {
      let file = try FileDescriptor.create(path)
      try file.writeFully(Array(text.utf8))
    } catch {
      throw BenchError(error.description)
    }
  }
}
