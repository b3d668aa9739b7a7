import CContainer
import CLinux
import System

/// What happens while a sandbox runs.
protocol SandboxObserver: AnyObject {
  /// The probe waits at `point` until this returns.
  func reached(_ point: String, _ sandbox: Sandbox)
  /// Some milliseconds have passed.
  func tick(_ sandbox: Sandbox)
}

/// A probe that runs somewhere, and what it says: one child process, in a process group of its own.
final class Sandbox {
  /// How a run ended.
  enum Ending: Equatable {
    /// The probe said all that it had to say.
    case complete
    /// Why it did not.
    case failed(String)
    /// A signal came to this process.
    case interrupted(Int32)
  }

  let process: Int32
  private(set) var reader = FindingsReader()
  /// The last of what it wrote to standard error.
  private(set) var errors: [UInt8] = []
  private var counter = cisolation_counter()
  private var input: FileDescriptor?
  private let output: FileDescriptor
  private let errorOutput: FileDescriptor
  private let signals: SharedFile

  private static let mostErrors = 1 << 15

  /// Starts this program with `words`.
  /// - Parameters:
  ///   - variables: its whole environment.
  ///   - signals: of `cisolation_watch_signals`.
  init(_ words: [String], variables: [String], signals: SharedFile) throws(IsolationError) {
    self.signals = signals
    var ends: [Int32] = [-1, -1, -1]
    let arguments = CStrings(words.map { Array($0.utf8) })
    let environment = CStrings(variables.map { Array($0.utf8) })
    // unsafe: both arrays end in null pointers, and outlive the call, as the three ends do.
    let process = unsafe ends.withUnsafeMutableBufferPointer {
      unsafe cisolation_start("/proc/self/exe", arguments.array, environment.array, $0.baseAddress)
    }
    guard process > 0 else { throw IsolationError("cannot start vmrun: \(Errno.current)") }
    self.process = process
    input = FileDescriptor(owning: ends[0])
    output = FileDescriptor(owning: ends[1])
    errorOutput = FileDescriptor(owning: ends[2])
    counter.main_pid = process
  }

  deinit { kill() }

  // MARK: Running

  /// Listens until the probe has ended, or `patience` nanoseconds have passed, or a signal came. Nothing is left running.
  /// - Parameter startPatience: how long the first word may take, in nanoseconds.
  func run(_ observer: any SandboxObserver, startPatience: UInt64, patience: UInt64) -> Ending {
    let start = Clock.now()
    var isHeard = false
    var isComplete = false
    var ending: Ending?
    while ending == nil {
      let now = Clock.now()
      if now - start > patience {
        ending = .failed("it took longer than \(patience / 1_000_000_000) s")
        break
      }
      if !isHeard, now - start > startPatience {
        ending = .failed("the probe said nothing within \(startPatience / 1_000_000_000) s")
        break
      }
      if let number = wait() { return stop(.interrupted(number)) }
      // unsafe: the counter is this object's, and used by this thread alone.
      _ = unsafe cisolation_step(&counter)
      _ = read(errorOutput.rawValue) { keep($0) }
      var points: [String] = []
      var hasEnded = false
      do throws(IsolationError) {
        var failure: IsolationError?
        let more = read(output.rawValue) { bytes in
          isHeard = true
          do throws(IsolationError) { points += try reader.take(bytes) } catch { failure = error }
        }
        if let failure { throw failure }
        hasEnded = !more && counter.main_ended
      } catch {
        return stop(.failed("the probe said what no probe says: \(error.description)"))
      }
      for point in points {
        if point == "end" {
          isComplete = true
          input = nil
        } else {
          observer.reached(point, self)
          answer()
        }
      }
      if hasEnded { ending = isComplete ? .complete : .failed(reason()) }
      observer.tick(self)
    }
    return stop(ending ?? .complete)
  }

  /// Waits a little for any of it; the number of a signal that asks to end.
  private func wait() -> Int32? {
    var files = [
      pollfd(fd: output.rawValue, events: Int16(POLLIN), revents: 0),
      pollfd(fd: errorOutput.rawValue, events: Int16(POLLIN), revents: 0),
      pollfd(fd: signals.descriptor.rawValue, events: Int16(POLLIN), revents: 0),
    ]
    // unsafe: three descriptors are polled.
    let count = unsafe files.withUnsafeMutableBufferPointer { unsafe poll($0.baseAddress, 3, 20) }
    // A pipe whose writer has gone is ready for ever: no reason to spin until the process is reaped.
    if count > 0, files[0].revents == Int16(POLLHUP), files[2].revents == 0 { usleep(1000) }
    guard count > 0, files[2].revents != 0 else { return nil }
    while true {
      let number = cisolation_next_signal(signals.descriptor.rawValue)
      if number == 0 { return nil }
      if number != SIGCHLD { return number }
    }
  }

  /// Hands what `descriptor` has over; false at its end.
  private func read(_ descriptor: Int32, _ body: ([UInt8]) -> Void) -> Bool {
    var file = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    var buffer = [UInt8](repeating: 0, count: 1 << 15)
    // unsafe: one descriptor is polled.
    while unsafe poll(&file, 1, 0) > 0 {
      // unsafe: read fills the array at most.
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe CLinux.read(descriptor, $0.baseAddress, $0.count) }
      if count <= 0 { return false }
      body(Array(buffer[..<count]))
    }
    return true
  }

  private func keep(_ bytes: [UInt8]) {
    errors += bytes
    if errors.count > Self.mostErrors { errors.removeFirst(errors.count - Self.mostErrors) }
  }

  private func answer() {
    // A probe that has gone shows by its end.
    try? input?.writeFully([UInt8(ascii: "\n")])
  }

  /// Why it ended before the probe had said all, in one line.
  private func reason() -> String {
    let lines = Text.lines(errors).filter { $0.first != UInt8(ascii: "{") }
    let said = lines.last { $0.starts(with: "vmrun: ".utf8) } ?? lines.last
    let status = counter.main_status
    let how =
      clinux_wifexited(status) ? "exit code \(clinux_wexitstatus(status))" : "signal \(clinux_wtermsig(status))"
    guard let said else { return "it ended early, with \(how)" }
    let text = Text.string(said.starts(with: "vmrun: ".utf8) ? said.dropFirst(7) : said)
    return "\(text) (\(how))"
  }

  // MARK: Ending

  private func stop(_ ending: Ending) -> Ending {
    input = nil
    // Enough for a container's cgroup and a machine's memory to be given back.
    if ending != .complete { signal(SIGTERM) }
    let deadline = Clock.now() + 3_000_000_000
    while !counter.main_ended, Clock.now() < deadline {
      // unsafe: as in run.
      if unsafe cisolation_step(&counter) == 0 { usleep(2000) }
      _ = read(errorOutput.rawValue) { keep($0) }
      _ = read(output.rawValue) { _ in }
    }
    kill()
    return ending
  }

  private func signal(_ number: Int32) {
    if !counter.main_ended { _ = CLinux.kill(-process, number) }
  }

  /// Ends the whole group at once, and what of its tree is in no group of it.
  private func kill() {
    guard !counter.main_ended else { return }
    signal(SIGKILL)
    while !counter.main_ended {
      // unsafe: as in run.
      if unsafe cisolation_step(&counter) == 0 { usleep(1000) }
    }
  }

  // MARK: Counting

  /// Begins to count the system calls of the process and all that descend from it.
  func beginCounting() {
    counter.counts = true
    for process in ProcessTree.of(process) {
      for thread in ProcessTree.threads(of: process) {
        // unsafe: the counter is this object's.
        unsafe cisolation_seize(&counter, thread)
      }
    }
  }

  /// Ends it, and returns what was counted.
  func endCounting() -> CountedCalls {
    // What has stopped meanwhile is counted still.
    // unsafe: the counter is this object's.
    _ = unsafe cisolation_step(&counter)
    counter.counts = false
    var result = CountedCalls()
    (result.total, result.markers) = (counter.total, counter.markers)
    (result.threads, result.refused, result.refusal) = (counter.attached, counter.refused, counter.refusal)
    for number in 0..<UInt32(cisolation_most_calls) {
      // unsafe: number is below the array's count.
      let count = unsafe cisolation_count_of(&counter, number)
      if count > 0 { result.calls.append((number, count)) }
    }
    result.calls.sort { $0.count > $1.count }
    return result
  }
}
