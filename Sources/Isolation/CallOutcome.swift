import CContainer
import CLinux
import System

/// Where one system call number ended.
enum CallClass: String, CaseIterable, Equatable {
  /// The kernel has no such call.
  case missing = "no such call"
  /// A filter answered in the call's place.
  case filtered
  /// The call's own code refused for want of a privilege.
  case denied = "capability denied"
  /// The call's code ran: it returned something else, waited, or ended the process.
  case reached
  /// It was not tried.
  case untried = "not tried"
}

/// What came of trying one system call number.
struct CallOutcome: Equatable {
  let number: UInt32
  private(set) var outcome: Raw

  /// As the probe says it, checked.
  struct Raw: Equatable {
    var filter: UInt8
    var filterErrno: Int32
    var state: UInt8
    var value: Int64
  }

  init(number: UInt32, _ outcome: Raw) {
    self.number = number
    self.outcome = outcome
  }

  init(number: UInt32, _ outcome: cisolation_outcome) {
    self.init(
      number: number,
      Raw(filter: outcome.filter, filterErrno: outcome.filter_errno, state: outcome.state, value: outcome.value))
  }

  /// "NUMBER FILTER ERRNO STATE VALUE".
  var text: String { "\(number) \(outcome.filter) \(outcome.filterErrno) \(outcome.state) \(outcome.value)" }

  /// - Throws: `IsolationError` for a text that no probe says.
  init(_ text: String) throws(IsolationError) {
    let fields = Text.fields(Array(text.utf8)[...])
    guard fields.count == 5, let number = Text.number(fields[0]), number < UInt64(cisolation_most_calls) + 2,
      let filter = Text.number(fields[1]), filter <= UInt64(cisolation_filter_kills.rawValue),
      let errno = Text.number(fields[2]), errno <= 4095,
      let state = Text.number(fields[3]), state <= UInt64(cisolation_not_run.rawValue),
      let value = Text.signed(fields[4])
    else { throw IsolationError("a call's outcome that is none") }
    self.init(
      number: UInt32(number),
      Raw(filter: UInt8(filter), filterErrno: Int32(errno), state: UInt8(state), value: value))
  }

  var callClass: CallClass {
    if outcome.filter == UInt8(cisolation_filter_answers.rawValue)
      || outcome.filter == UInt8(cisolation_filter_kills.rawValue)
    {
      return .filtered
    }
    switch UInt32(outcome.state) {
    case cisolation_returned.rawValue:
      if outcome.value == -Int64(ENOSYS) { return .missing }
      // Where the filters could be asked, an EPERM is not theirs.
      return outcome.value == -Int64(EPERM) ? .denied : .reached
    case cisolation_blocked.rawValue, cisolation_ended.rawValue, cisolation_not_run.rawValue: return .reached
    case cisolation_signalled.rawValue:
      // Without the filters' answer: it is theirs when it is their signal.
      return outcome.value == Int64(SIGSYS) ? .filtered : .reached
    default: return .untried
    }
  }

  /// Whether it is known what the filters say, so that an EPERM is known to be the call's own.
  var isFilterKnown: Bool { outcome.filter != UInt8(cisolation_filter_unknown.rawValue) }

  /// What happened, in words.
  var detail: String {
    if outcome.filter == UInt8(cisolation_filter_kills.rawValue) { return "a filter kills" }
    if outcome.filter == UInt8(cisolation_filter_answers.rawValue) {
      return outcome.filterErrno == 0
        ? "a filter answers success" : "a filter answers \(ErrnoName.of(outcome.filterErrno))"
    }
    switch UInt32(outcome.state) {
    case cisolation_returned.rawValue:
      if outcome.value < 0, outcome.value >= -4095 { return ErrnoName.of(Int32(-outcome.value)) }
      return "success"
    case cisolation_blocked.rawValue: return "waits"
    case cisolation_ended.rawValue: return "ends the process"
    case cisolation_signalled.rawValue: return "signal \(outcome.value)"
    case cisolation_not_run.rawValue: return "permitted by the filters; not run"
    default: return "not tried"
    }
  }
}

/// The names of x86-64's system calls, as libseccomp knows them.
enum CallName {
  static func of(_ number: UInt32) -> String {
    // unsafe: the name is a string of its own, which is freed here.
    guard number < 0x4000_0000,
      let name = unsafe seccomp_syscall_resolve_num_arch(ccontainer_arch_x86_64, Int32(number))
    else { return "call \(number)" }
    defer { unsafe free(name) }
    return unsafe String(cString: name)
  }
}

/// The names of the errors that system calls give, for tables; others are numbers.
enum ErrnoName {
  private static let names: [(Int32, String)] = [
    (EPERM, "EPERM"), (ENOENT, "ENOENT"), (ESRCH, "ESRCH"), (EINTR, "EINTR"), (EIO, "EIO"), (ENXIO, "ENXIO"),
    (E2BIG, "E2BIG"), (EBADF, "EBADF"), (ECHILD, "ECHILD"), (EAGAIN, "EAGAIN"), (ENOMEM, "ENOMEM"), (EACCES, "EACCES"),
    (EFAULT, "EFAULT"), (EBUSY, "EBUSY"), (EEXIST, "EEXIST"), (ENODEV, "ENODEV"), (ENOTDIR, "ENOTDIR"),
    (EINVAL, "EINVAL"), (ENFILE, "ENFILE"), (EMFILE, "EMFILE"), (ENOTTY, "ENOTTY"), (ENOSPC, "ENOSPC"),
    (EROFS, "EROFS"), (ERANGE, "ERANGE"), (ENOSYS, "ENOSYS"), (ENAMETOOLONG, "ENAMETOOLONG"),
    (EOPNOTSUPP, "EOPNOTSUPP"), (EAFNOSUPPORT, "EAFNOSUPPORT"), (ECONNREFUSED, "ECONNREFUSED"),
    (ENETUNREACH, "ENETUNREACH"), (ETIMEDOUT, "ETIMEDOUT"), (ENOKEY, "ENOKEY"), (EDQUOT, "EDQUOT"), (ETIME, "ETIME"),
  ]

  static func of(_ number: Int32) -> String {
    for (value, name) in names where value == number { return name }
    return "error \(number)"
  }
}

/// One side's calls, by number.
struct CallTable: Equatable {
  /// What was tried, in the order of the numbers.
  private(set) var calls: [CallOutcome] = []
  /// Behind the numbers: x32's entry and that by int 0x80.
  private(set) var extra: [CallOutcome] = []

  init() {}

  /// From what a probe said about `count` numbers. The lines may be any, and are taken once each.
  /// - Throws: `IsolationError` for lines that no probe says.
  init(_ findings: Findings, count: UInt32) throws(IsolationError) {
    var next: UInt32 = 0
    for line in findings.all("call") {
      let call = try CallOutcome(line)
      guard call.number == next else { throw IsolationError("call \(call.number) where \(next) comes next") }
      next += 1
      if call.number < count { calls.append(call) } else { extra.append(call) }
    }
    guard calls.isEmpty || next == count + UInt32(cisolation_extra_calls) else {
      throw IsolationError("\(next) calls of \(count)")
    }
  }

  func count(_ wanted: CallClass) -> Int { calls.reduce(0) { $1.callClass == wanted ? $0 + 1 : $0 } }

  /// The highest number that the kernel has; nil when none was found.
  var highest: UInt32? {
    calls.last { $0.callClass != .missing && $0.callClass != .untried && $0.callClass != .filtered }?.number
  }

  /// How many numbers up to `highest` the filters let through; nil when they could not be asked.
  func permitted(upTo highest: UInt32) -> Int? {
    guard calls.contains(where: { $0.isFilterKnown }) else { return nil }
    return calls.reduce(0) { $1.number <= highest && $1.callClass != .filtered ? $0 + 1 : $0 }
  }

  subscript(_ number: UInt32) -> CallOutcome? {
    Int(number) < calls.count ? calls[Int(number)] : nil
  }
}
