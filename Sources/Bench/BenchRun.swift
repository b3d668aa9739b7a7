import CContainer
import CLinux
import Report
import Statistics
import System

/// One run of the bench: tries the arms, measures them in rounds, looks closer at each, and fills a report.
public final class BenchRun {
  let options: BenchOptions
  var candidates: [Candidate]
  let interruption: Interruption
  let tell: (BenchEvent) -> Void
  /// What was found so far.
  public internal(set) var report: BenchReport
  private let variables: [[UInt8]]
  private var order: UInt64 = 0
  private var instances: UInt64 = 0
  /// Pages that stayed in memory though a cold start was to find them dropped, of how many.
  private var cold: (left: UInt64, pages: UInt64) = (0, 0)

  /// - Parameters:
  ///   - report: what is known already, such as the environment and arms that are missing.
  ///   - variables: the environment of all arms, "NAME=VALUE".
  ///   - tell: is told what happens, between the runs and never during one.
  public init(
    _ candidates: [Candidate], options: BenchOptions, report: BenchReport, variables: [[UInt8]],
    interruption: Interruption, tell: @escaping (BenchEvent) -> Void
  ) {
    self.candidates = candidates
    self.options = options
    self.report = report
    self.variables = variables
    self.interruption = interruption
    self.tell = tell
  }

  /// Measures all there is to measure. What was measured before the user asked for the end is kept.
  public func run() {
    tryAll()
    report.arms = candidates.map { $0.arm }
    for cache in options.caches where !interruption.check() { measure(cache) }
    if options.looksCloser { lookCloser() }
    if !options.levels.isEmpty { measureConcurrency() }
    if options.density > 0 { measureDensity() }
    report.arms = candidates.map { $0.arm }
    report.isInterrupted = interruption.check()
    if cold.pages > 0 {
      report.environment.append(
        Fact(
          "cold cache",
          "the arms' files are dropped by posix_fadvise(2) before each run; \(cold.left * 100 / cold.pages) % of their pages stayed"
        ))
    }
  }

  // MARK: One run

  /// What one run gave.
  enum Result {
    case sample(Sample, read: UInt64, Timings?)
    case failure(String)
    case interrupted
  }

  /// A new instance of `candidate`.
  func start(_ candidate: Candidate, waiting: Bool = false) throws(BenchError) -> Child {
    let instance = nextInstance()
    let words = Candidate.words((waiting ? candidate.waiting : nil) ?? candidate.arguments, instance: instance)
    return try Child(
      words, environment: environment(of: candidate), marker: candidate.marker, instance: instance, holdsInput: waiting)
  }

  func nextInstance() -> String {
    instances += 1
    return "vmrun-bench-\(getpid())-\(instances)"
  }

  func environment(of candidate: Candidate) -> [[UInt8]] {
    guard !candidate.environment.isEmpty else { return variables }
    let own = candidate.environment.map { Array($0.utf8) }
    let kept = variables.filter { variable in
      !own.contains { $0.prefix { $0 != UInt8(ascii: "=") } == variable.prefix { $0 != UInt8(ascii: "=") } }
    }
    return kept + own
  }

  /// Ends children whatever they do, and removes what their launchers could not.
  func end(_ children: [Child], of candidate: Candidate) {
    let killed = children.filter { $0.end == nil }
    Child.end(killed)
    for child in killed {
      for words in candidate.undo {
        _ = Program.run(
          Candidate.words(words, instance: child.instance), environment: environment(of: candidate),
          timeout: 20_000_000_000)
      }
    }
  }

  /// Runs `candidate` once, to its end.
  func once(_ candidate: Candidate) -> Result {
    let child: Child
    do throws(BenchError) { child = try start(candidate) } catch { return .failure(error.description) }
    let (deadline, exceeds) = child.start.addingReportingOverflow(options.timeout)
    Child.wait(for: [child], until: exceeds ? .max : deadline, interruption) { child.end != nil }
    guard let end = child.end else {
      self.end([child], of: candidate)
      if interruption.check() { return .interrupted }
      let words = LastWords.of(child.errorText)
      return .failure("no end within \(options.timeout / 1_000_000_000) s" + (words.isEmpty ? "" : ": " + words))
    }
    if let failure = child.failure(expecting: candidate.exitCode) {
      return interruption.check() ? .interrupted : .failure(failure)
    }
    // What a child shared with the bench itself before its execve(2) counts as its own in ru_maxrss: below that nothing is known, and
    // the trace of one run tells it later.
    let resident = end.usage.resident > cbench_peak(getpid()) ? end.usage.resident : 0
    let timings = candidate.tellsPhases ? Timings(child.errorText) : nil
    let sample = Sample(
      wall: end.wall, firstByte: child.firstByte, user: end.usage.user, system: end.usage.system,
      peakResident: resident, phases: timings?.phases(since: child.start, wall: end.wall) ?? [], order: order,
      exitCode: candidate.exitCode)
    order += 1
    return .sample(sample, read: end.usage.read, timings)
  }

  // MARK: Trying

  /// How long one run of each arm took when it was tried.
  private var estimates: [String: UInt64] = [:]

  /// Runs each arm once; one that fails is tried in its other forms, and left out at last.
  private func tryAll() {
    var working: [Candidate] = []
    for candidate in candidates {
      if interruption.check() { break }
      tell(.trying(candidate.arm.id))
      if let found = attempt(candidate) { working.append(found) }
    }
    candidates = working
  }

  /// Whether vmrun's own Linux guest was seen to run on KVM.
  private var isAccelerated = false

  private func attempt(_ candidate: Candidate) -> Candidate? {
    var forms = [candidate]
    if isAccelerated, let accelerated = candidate.accelerated {
      forms[0].arguments = accelerated.arguments
      forms[0].waiting = accelerated.waiting
      forms[0].arm.command = accelerated.arguments
      forms[0].arm.note = accelerated.note
    }
    for alternative in candidate.alternatives {
      var form = candidate
      form.arguments = alternative.arguments
      form.arm.command = (form.environment.isEmpty ? [] : ["env"] + form.environment) + alternative.arguments
      form.arm.addNote(alternative.note)
      forms.append(form)
    }
    var first: String?
    for var form in forms {
      switch once(form) {
      case .sample(let sample, _, let timings):
        estimates[form.arm.id] = sample.wall
        if let backend = timings?.backend {
          form.arm.describe(backend)
          // Guest memory is QEMU's, which is a child of libvirt's daemon.
          if backend.name == "libvirt" { form.guestMemory = 0 }
          if form.arm.id.utf8.starts(with: "vm-linux".utf8) { isAccelerated = backend.acceleration == "kvm" }
        }
        return form
      case .failure(let why): if first == nil { first = why }
      case .interrupted: return nil
      }
    }
    leaveOut(candidate.arm.id, first ?? "failed")
    return nil
  }

  /// Notes that an arm is not measured any further.
  func leaveOut(_ id: String, _ why: String) {
    let fact = Fact(id, why)
    report.missing.append(fact)
    tell(.missing(fact))
  }

  // MARK: Rounds

  private func measure(_ cache: PageCache) {
    guard !candidates.isEmpty else { return }
    let first = report.series.count
    for candidate in candidates { report.series.append(Series(arm: candidate.arm.id, cache: cache, samples: [])) }
    var reads = [[Double]](repeating: [], count: candidates.count)
    var goal = options.goal
    goal.budget /= UInt64(options.caches.count)
    var schedule = Schedule(count: candidates.count, goal: goal, seed: options.seed)
    var dropped: [Int] = []
    func drop(_ index: Int, _ why: String) {
      schedule.drop(index)
      dropped.append(index)
      leaveOut(candidates[index].arm.id, why)
    }
    // The trial was the first warm-up.
    for index in candidates.indices {
      let candidate = candidates[index]
      let warmUps = (estimates[candidate.arm.id] ?? 0) > Schedule.slow ? 0 : max(0, options.warmUps - 1)
      for _ in 0..<(cache == .warm ? warmUps : 0) where !interruption.check() && !dropped.contains(index) {
        switch once(candidate) {
        case .sample(let sample, _, _): estimates[candidate.arm.id] = sample.wall
        case .failure(let why): drop(index, why)
        case .interrupted: break
        }
      }
      schedule.estimate(index, estimates[candidate.arm.id] ?? 0)
    }
    let began = Clock.now()
    var round = 0
    while !interruption.check(), let arms = schedule.next(elapsed: Clock.now() - began) {
      round += 1
      var progress = RoundProgress(cache: cache, round: round, elapsed: Clock.now() - began)
      progress.budget = goal.runs == nil ? goal.budget : nil
      progress.done = schedule.done
      if let worst = schedule.worst {
        progress.worst = (candidates[worst.arm].arm.id, worst.runs, worst.width, goal.precision)
      }
      tell(.round(progress))
      for index in arms where !dropped.contains(index) {
        if interruption.check() { break }
        if cache == .cold { dropPages(candidates[index].files) }
        switch once(candidates[index]) {
        case .sample(let sample, let read, _):
          report.series[first + index].samples.append(sample)
          schedule.record(index, sample.wall)
          reads[index].append(Double(read))
        case .failure(let why): drop(index, why)
        case .interrupted: break
        }
      }
    }
    for index in candidates.indices where !reads[index].isEmpty {
      report.series[first + index].bytesRead = UInt64(median(reads[index]))
    }
    // An arm without any sample has nothing to show.
    report.series.removeAll { $0.samples.isEmpty }
    candidates = candidates.indices.filter { !dropped.contains($0) }.map { candidates[$0] }
  }

  private func dropPages(_ files: [String]) {
    for path in files {
      var (pages, left): (UInt64, UInt64) = (0, 0)
      // unsafe: both numbers are written before the call returns.
      if unsafe cbench_drop_pages(path, &pages, &left) == 0 {
        cold.pages += pages
        cold.left += left
      }
    }
  }
}

extension Arm {
  /// Adds a sentence to the note.
  mutating func addNote(_ text: String) {
    guard !text.isEmpty else { return }
    note += note.isEmpty ? text : "; " + text
  }

  /// Says by which backend a machine really ran.
  mutating func describe(_ backend: Timings.Backend) {
    guard backend.name == "libvirt" else { return }
    let how = backend.acceleration == "kvm" ? "KVM" : "QEMU's emulation (TCG), no hardware virtualisation"
    name += backend.acceleration == "kvm" ? " (libvirt)" : " (libvirt, TCG)"
    addNote("served by libvirt, \(how), machine \(backend.machine.isEmpty ? "unknown" : backend.machine)")
    if !backend.reason.isEmpty { addNote(backend.reason) }
    addNote(
      "QEMU is the child of libvirt's daemon: its CPU time, system calls and peak are not in the figures, its PSS is"
    )
  }
}
