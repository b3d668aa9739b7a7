import CLinux

/// Signals by name and number (signal(7)).
enum OCISignals {
  private static let names: [(String, Int32)] = [
    ("HUP", SIGHUP), ("INT", SIGINT), ("QUIT", SIGQUIT), ("ILL", SIGILL), ("TRAP", SIGTRAP), ("ABRT", SIGABRT),
    ("IOT", SIGIOT), ("BUS", SIGBUS), ("FPE", SIGFPE), ("KILL", SIGKILL), ("USR1", SIGUSR1), ("SEGV", SIGSEGV),
    ("USR2", SIGUSR2), ("PIPE", SIGPIPE), ("ALRM", SIGALRM), ("TERM", SIGTERM), ("STKFLT", SIGSTKFLT),
    ("CHLD", SIGCHLD),
    ("CLD", SIGCHLD), ("CONT", SIGCONT), ("STOP", SIGSTOP), ("TSTP", SIGTSTP), ("TTIN", SIGTTIN), ("TTOU", SIGTTOU),
    ("URG", SIGURG), ("XCPU", SIGXCPU), ("XFSZ", SIGXFSZ), ("VTALRM", SIGVTALRM), ("PROF", SIGPROF),
    ("WINCH", SIGWINCH),
    ("IO", SIGIO), ("POLL", SIGIO), ("PWR", SIGPWR), ("SYS", SIGSYS),
  ]

  /// The real-time signals as programs count them: the kernel's 32 and 33 are the C library's own.
  private static let realTime: ClosedRange<Int32> = 34...64

  /// The number of "15", "TERM", "SIGTERM", "sigterm", "RTMIN+3" or "RTMAX-1".
  static func number(_ text: String) throws(UsageError) -> Int32 {
    if let number = Int32(text) {
      guard (0...64).contains(number) else { throw UsageError("\(text) is no signal; there are 1 to 64") }
      return number
    }
    var name = Array(text.utf8).map { $0 >= 0x61 && $0 <= 0x7A ? $0 - 0x20 : $0 }
    if name.starts(with: "SIG".utf8) { name.removeFirst(3) }
    for (known, number) in names where name.elementsEqual(known.utf8) { return number }
    for (base, origin, sign) in [("RTMIN", realTime.lowerBound, "+"), ("RTMAX", realTime.upperBound, "-")]
    where name.starts(with: base.utf8) {
      let rest = name.dropFirst(5)
      if rest.isEmpty { return origin }
      guard rest.starts(with: sign.utf8), let offset = Int32(String(decoding: rest.dropFirst(), as: UTF8.self)),
        (0...30).contains(offset)
      else { break }
      return sign == "+" ? origin + offset : origin - offset
    }
    throw UsageError("unknown signal '\(text)'; expected a number or a name such as TERM, KILL, HUP, USR1")
  }
}
