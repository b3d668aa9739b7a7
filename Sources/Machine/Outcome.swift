/// How a launch ended.
public enum Outcome: Sendable {
  /// The guest switched itself off through ACPI.
  case powerOff
  /// The guest wrote this code to the exit register.
  case exit(code: UInt8)
  /// The command exited with this code.
  case commandExited(code: UInt8)
  /// The command was ended by this signal.
  case commandKilled(signal: UInt8)
  /// The command could not be started: 125, 126 or 127, and why.
  case commandFailed(code: UInt8, message: String)
  /// The guest asked for a restart.
  case reboot
  /// The kernel panicked, and what it said.
  case panic(message: String)
  /// The processor gave up (KVM_EXIT_SHUTDOWN).
  case tripleFault
  /// No virtual processor can ever run again.
  case hung(message: String)
  /// `--timeout` passed.
  case timeout(nanoseconds: UInt64)
  /// The user ended it by the console's escape.
  case escape
  /// A signal to vmrun ended it.
  case signal(Int32)
  /// Standard output lost its reader.
  case outputClosed
  /// vmrun or KVM failed.
  case failure(String)

  /// The exit code for scripts.
  public var exitCode: Int32 {
    switch self {
    case .powerOff: return 0
    case .exit(let code), .commandExited(let code): return Int32(code)
    case .commandKilled(let signal): return 128 + Int32(signal & 0x7F)
    case .commandFailed(let code, _): return Int32(code)
    case .hung: return 120
    case .reboot: return 121
    case .panic: return 122
    case .tripleFault: return 123
    case .timeout: return 124
    case .failure: return 125
    case .escape: return 130
    case .signal(let number): return 128 + number
    case .outputClosed: return 141
    }
  }

  /// What standard error is told; nil when there is nothing to tell.
  public var message: String? {
    switch self {
    case .powerOff, .exit, .commandExited, .commandKilled, .outputClosed: return nil
    case .commandFailed(_, let message): return message
    case .reboot: return "the guest asked for a restart; vmrun ends instead (exit code 121)"
    case .panic(let message): return "the guest's kernel panicked: \(message) (exit code 122)"
    case .tripleFault: return "the guest's processor shut down after a triple fault (exit code 123)"
    case .hung(let message): return "the guest hangs: \(message) (exit code 120)"
    case .timeout(let nanoseconds):
      return "the guest was still running after \(Duration.text(nanoseconds)); ended by --timeout (exit code 124)"
    case .escape: return "ended by the console's escape"
    case .signal(let number): return "ended by signal \(number)"
    case .failure(let message): return message
    }
  }

  /// Whether what the guest's kernel said explains this end, so that it is worth showing.
  public var isGuestFailure: Bool {
    switch self {
    case .panic, .tripleFault, .hung, .reboot: return true
    default: return false
    }
  }
}

/// Nanoseconds as text for people.
public enum Duration {
  /// "1.5 s", "12.3 ms", "45 us": three figures are enough to compare.
  public static func text(_ nanoseconds: UInt64) -> String {
    if nanoseconds >= 1_000_000_000 { return decimal(nanoseconds, unit: 1_000_000_000) + " s" }
    if nanoseconds >= 1_000_000 { return decimal(nanoseconds, unit: 1_000_000) + " ms" }
    return decimal(nanoseconds, unit: 1000) + " us"
  }

  /// `value / unit` with two digits behind the point, zeros at the end dropped.
  static func decimal(_ value: UInt64, unit: UInt64) -> String {
    let hundredths = (value / (unit / 100) + 0)
    let (whole, part) = (hundredths / 100, hundredths % 100)
    if part == 0 { return "\(whole)" }
    if part % 10 == 0 { return "\(whole).\(part / 10)" }
    return "\(whole)." + (part < 10 ? "0" : "") + "\(part)"
  }
}
