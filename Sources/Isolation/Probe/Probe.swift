import CContainer
import CLinux
import System

/// The program that runs in every sandbox and on the host: looks around, tries what it may, and says what it found.
public enum Probe {
  /// Ends the probe in seconds, whatever hangs.
  private static let patience: UInt32 = 110

  /// Runs it with the words behind its name; returns the exit code.
  public static func run(_ words: [[UInt8]]) -> Int32 {
    // What the workload starts: a program that does nothing.
    if words.count == 1, words[0].elementsEqual("nothing".utf8) { return 0 }
    let order: ProbeOrder
    do throws(IsolationError) {
      order = try ProbeOrder(words)
    } catch {
      Log.message("__isolation-probe: \(error.description)")
      return 125
    }
    _ = alarm(patience)
    clinux_ignore_signal(SIGPIPE)
    var channel = ProbeChannel()
    run(order, &channel)
    channel.put("end", "1")
    channel.flush()
    return 0
  }

  private static func run(_ order: ProbeOrder, _ channel: inout ProbeChannel) {
    if order.sections.contains(7) { return ProbeBombs.run(&channel) }
    if order.sections.contains(1) { ProbeFacts.kernel(&channel) }
    if order.sections.contains(4) { ProbeFacts.visible(&channel) }
    if order.sections.contains(8) {
      ProbeFacts.privilege(&channel)
      channel.wait("privilege")
    }
    if order.sections.contains(2) { calls(order, &channel) }
    if order.sections.contains(5) {
      ProbeEffects.canaries(order, &channel)
      samples("file1", &channel)
      channel.wait("files1")
      if !order.isQuick {
        samples("file2", &channel)
        channel.wait("files2")
      }
    }
    if order.sections.contains(6) { ProbeEffects.effects(order, &channel) }
    if order.sections.contains(3) || order.sections.contains(1) {
      channel.wait("trace")
      workload(&channel)
      channel.wait("traced")
    }
  }

  private static func calls(_ order: ProbeOrder, _ channel: inout ProbeChannel) {
    let count = min(order.calls, UInt32(cisolation_most_calls))
    let room = Int(count) + Int(cisolation_extra_calls)
    var outcomes = [cisolation_outcome](repeating: cisolation_outcome(), count: room)
    // unsafe: the array has room for count and the two extra calls.
    let errno = unsafe outcomes.withUnsafeMutableBufferPointer {
      unsafe cisolation_sweep(count, order.isHost, 400, 45_000, $0.baseAddress)
    }
    if errno != 0 { channel.put("sweep.error", ErrnoName.of(errno)) }
    for (number, outcome) in outcomes.enumerated() {
      channel.put("call", CallOutcome(number: UInt32(number), outcome).text)
    }
  }

  private static func samples(_ name: String, _ channel: inout ProbeChannel) {
    for sample in SampledFiles.take() { channel.put(name, sample.text) }
  }

  // MARK: The workload

  /// What it does, for the table.
  static let workloadText = "20 times open, read 4096 bytes, write 4096 bytes, close; 5 times fork, exec and wait"

  /// A little of what programs do, while the launcher counts; and one call that no kernel has, to be recognised by.
  private static func workload(_ channel: inout ProbeChannel) {
    _ = cisolation_call(Int(cisolation_marker), 0, 0, 0, 0, 0, 0)
    var page = [UInt8](repeating: 0, count: 4096)
    var failures = 0
    // unsafe: the path outlives the call.
    let scratch = unsafe cisolation_may_write("/tmp") ? "/tmp" : ""
    let path = "\(scratch)/.vmrun-workload-\(getpid())"
    for _ in 0..<20 {
      do throws(SystemError) {
        let source = try FileDescriptor.open("/proc/self/exe", O_RDONLY)
        let number = source.rawValue
        // unsafe: read writes at most the page's size to the page.
        let count = unsafe page.withUnsafeMutableBytes { unsafe read(number, $0.baseAddress, $0.count) }
        if count <= 0 { failures += 1 }
        let target = try FileDescriptor.create(path)
        try target.writeFully(page)
      } catch {
        failures += 1
      }
    }
    // unsafe: the path outlives the call.
    _ = unsafe unlink(path)
    for _ in 0..<5 where !startNothing() { failures += 1 }
    channel.put("workload.failures", failures)
  }

  /// Starts this program to do nothing, and waits for its end.
  private static func startNothing() -> Bool {
    let arguments = CStrings(["vmrun", "__isolation-probe", "nothing"].map { Array($0.utf8) })
    let variables = CStrings([])
    // unsafe: both arrays end in null pointers, and outlive the call.
    return unsafe cisolation_run("/proc/self/exe", arguments.array, variables.array) == 0
  }
}
