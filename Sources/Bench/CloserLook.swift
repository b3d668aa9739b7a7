import CContainer
import CLinux
import Report
import Statistics
import System

// What is looked at once for each arm, behind the rounds.
extension BenchRun {
  /// Nanoseconds that counting one run's system calls may take.
  private static let countingLimit: UInt64 = 60_000_000_000
  /// Milliseconds for a waiting instance to become quiet.
  private static let settling: Int32 = 200

  /// System calls of one run, and memory while the payload waits.
  func lookCloser() {
    for index in candidates.indices {
      if interruption.check() { return }
      let candidate = candidates[index]
      tell(.part("\(candidate.arm.id): system calls and memory"))
      let traced = trace(candidate)
      let share = waitingShare(candidate)
      if let share, share.guest > 0 {
        candidates[index].arm.addNote(
          "PSS without guest memory: \(Decimal.text(Double(share.all - share.guest) / 1_048_576, places: 1)) MiB")
      }
      for place in report.series.indices where report.series[place].arm == candidate.arm.id {
        report.series[place].systemCalls = traced?.calls
        for index in report.series[place].samples.indices where report.series[place].samples[index].peakResident == 0 {
          report.series[place].samples[index].peakResident = traced?.peak ?? 0
        }
        report.series[place].residentShare = share?.all
      }
    }
  }

  /// System calls of the launcher, all that it starts, and the payload where it runs on the host's kernel, and the peak of resident
  /// memory of the largest of these processes; nil where they cannot be traced.
  private func trace(_ candidate: Candidate) -> (calls: UInt64, peak: UInt64)? {
    let instance = nextInstance()
    let words = Candidate.words(candidate.arguments, instance: instance)
    let argv = CStrings(words)
    let envp = CStrings(environment(of: candidate))
    guard let null = try? FileDescriptor.open("/dev/null", O_RDWR) else { return nil }
    var (calls, peak): (UInt64, UInt64) = (0, 0)
    var code: Int32 = -1
    // unsafe: both arrays end with a null pointer and outlive the call; the numbers are written before it returns.
    guard let path = unsafe argv.first else { return nil }
    let result = unsafe cbench_count_calls(
      path, argv.array, envp.array, null.rawValue, null.rawValue, null.rawValue, interruption.descriptor,
      min(options.timeout, Self.countingLimit), &calls, &peak, &code)
    if result != 0 || code != candidate.exitCode {
      for undo in candidate.undo {
        _ = Program.run(
          Candidate.words(undo, instance: instance), environment: environment(of: candidate), timeout: 20_000_000_000)
      }
      return nil
    }
    return (calls, peak)
  }

  /// Starts waiting instances of `candidate` until there are `count` of them in `children`.
  /// - Returns: what went wrong; nil when all of them wait.
  func startWaiting(_ candidate: Candidate, _ children: inout [Child], until count: Int) -> String? {
    while children.count < count {
      if interruption.check() { return "interrupted" }
      let child: Child
      do throws(BenchError) { child = try start(candidate, waiting: true) } catch { return error.description }
      children.append(child)
      Child.wait(for: [child], until: child.start &+ options.timeout, interruption) {
        child.firstByte != nil || child.end != nil
      }
      if child.end != nil { return child.failure(expecting: candidate.exitCode) ?? "it did not wait" }
      if child.firstByte == nil { return interruption.check() ? "interrupted" : "no output of the payload" }
    }
    // Nothing is polled: this only sleeps, and a signal ends it early.
    _ = poll(nil, 0, Self.settling)
    return nil
  }

  /// Ends waiting instances, the gentle way first.
  func endWaiting(_ children: [Child], of candidate: Candidate) {
    for child in children { child.release(candidate.farewell) }
    Child.wait(for: children, until: Clock.now() &+ 5_000_000_000, interruption) {
      children.allSatisfy { $0.end != nil }
    }
    end(children, of: candidate)
  }

  /// PSS of one waiting instance.
  private func waitingShare(_ candidate: Candidate) -> Memory.Share? {
    guard candidate.waiting != nil else { return nil }
    var children: [Child] = []
    defer { endWaiting(children, of: candidate) }
    guard startWaiting(candidate, &children, until: 1) == nil, let child = children.first else { return nil }
    return Memory.share(of: ProcessTree.of(child.pid), guestMemory: candidate.guestMemory)
  }

  // MARK: Several at once

  /// Runs each arm so often with so many at once, in a random order of arms and levels.
  func measureConcurrency() {
    var random = Random(seed: options.seed ^ 0xC0)
    var places: [(arm: Int, level: Int)] = []
    for arm in candidates.indices { for level in options.levels { places.append((arm, level)) } }
    random.shuffle(&places)
    var points: [ConcurrencyPoint] = []
    for (arm, level) in places {
      if interruption.check() { break }
      tell(.part("\(candidates[arm].arm.id): \(level) at once"))
      if let point = concurrent(candidates[arm], level) { points.append(point) }
    }
    // In the order of arms and levels, whatever the order of measuring.
    for candidate in candidates {
      for level in options.levels {
        for point in points where point.arm == candidate.arm.id && Int(point.level) == level {
          report.concurrency.append(point)
        }
      }
    }
  }

  private func concurrent(_ candidate: Candidate, _ level: Int) -> ConcurrencyPoint? {
    let total = max(options.concurrentRuns, level)
    var running: [Child] = []
    var latencies: [UInt64] = []
    var failure: String?
    var started = 0
    let began = Clock.now()
    while latencies.count < total, failure == nil, !interruption.check() {
      while running.count < level, started < total, failure == nil {
        do throws(BenchError) {
          running.append(try start(candidate))
          started += 1
        } catch { failure = error.description }
      }
      let deadline = (running.map { $0.start }.min() ?? began) &+ options.timeout
      Child.wait(for: running, until: deadline, interruption) { running.contains { $0.end != nil } }
      guard running.contains(where: { $0.end != nil }) else {
        if !interruption.check() { failure = "no end within \(options.timeout / 1_000_000_000) s" }
        break
      }
      for child in running {
        guard let end = child.end else { continue }
        if let why = child.failure(expecting: candidate.exitCode) { failure = why }
        latencies.append(end.wall)
      }
      running.removeAll { $0.end != nil }
    }
    let elapsed = Clock.now() - began
    end(running, of: candidate)
    if let failure {
      leaveOut("\(candidate.arm.id), \(level) at once", failure)
      return nil
    }
    // A part of a point would look like another total.
    guard latencies.count == total else { return nil }
    return ConcurrencyPoint(arm: candidate.arm.id, level: UInt32(level), latencies: latencies, elapsed: elapsed)
  }

  // MARK: Many that wait

  /// Starts 1, 2, 4 ... instances that wait, and adds up what they hold.
  func measureDensity() {
    for candidate in candidates where candidate.waiting != nil {
      if interruption.check() { return }
      var children: [Child] = []
      let before = Memory.available() ?? 0
      var count = 1
      while true {
        tell(.part("\(candidate.arm.id): \(count) waiting"))
        if let why = startWaiting(candidate, &children, until: count) {
          if !interruption.check() { leaveOut("\(candidate.arm.id), \(count) waiting", why) }
          break
        }
        var processes: [Int32] = []
        for child in children { processes += ProcessTree.of(child.pid) }
        let share = Memory.share(of: processes, guestMemory: 0)
        let available = Memory.available() ?? 0
        report.density.append(
          DensityPoint(
            arm: candidate.arm.id, count: UInt32(count), residentShare: share?.all,
            availableChange: Int64(before) - Int64(available)))
        if count >= options.density { break }
        count = min(count * 2, options.density)
      }
      endWaiting(children, of: candidate)
    }
  }
}
