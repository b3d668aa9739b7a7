import CContainer
import CLinux
import System

/// Waits for a container's process on behalf of a caller: forwards signals, relays the terminal, keeps the time.
///
/// All signals were blocked before the process was made, so that none is lost; they are taken here one by one.
struct Foreground: ~Copyable {
  private let pid: Int32
  private let pidfd: Int32
  private let relay: (any TerminalRelay)?
  private let deadline: UInt64?
  private let patience: Int?
  private var interrupts = 0
  /// What `timeout` or the user ended it for, when it was not the process itself.
  private var reason: ExitOutcome?

  /// - Parameter patience: how many SIGINTs end the container whatever its process does; nil for no number.
  init(_ child: borrowing ChildProcess, relay: (any TerminalRelay)?, timeout: UInt64?, patience: Int? = nil) {
    pid = child.pid
    pidfd = child.pidfd.rawValue
    self.relay = relay
    self.patience = patience
    deadline = timeout.map { Clock.now() &+ $0 }
  }

  /// How the process ended.
  mutating func run() throws(ContainerError) -> ExitOutcome {
    let outcome = try relay.map { (relay) throws(ContainerError) in try waitRelaying(relay) } ?? waitForSignals()
    return reason ?? outcome
  }

  private var remaining: Int64 {
    guard let deadline, reason == nil else { return -1 }
    let now = Clock.now()
    return deadline > now ? Int64(min(deadline - now, UInt64(Int64.max))) : 0
  }

  /// What runs longer than this, in nanoseconds, runs long enough for the start's memory to be given back.
  private static let settling: Int64 = 100_000_000

  private mutating func waitForSignals() -> ExitOutcome {
    var settled = false
    while true {
      let left = remaining
      let limit = settled ? left : left < 0 ? Self.settling : min(left, Self.settling)
      let number = ccontainer_next_signal(limit)
      if number == 0 {
        if !settled {
          settled = true
          clinux_give_back_code()
        }
        if left >= 0 && left <= limit { end(.timeout) }
      } else if let outcome = take(number) {
        return outcome
      }
    }
  }

  private mutating func waitRelaying(_ relay: any TerminalRelay) throws(ContainerError) -> ExitOutcome {
    let raw = ccontainer_all_signals_descriptor()
    guard raw >= 0 else { throw ContainerError("", SystemError("signalfd", "", .current)) }
    let signals = FileDescriptor(owning: raw)
    defer { relay.finish() }
    while true {
      var polled = [pollfd(fd: signals.rawValue, events: Int16(POLLIN), revents: 0)]
      for interest in relay.interests {
        polled.append(pollfd(fd: interest.descriptor, events: interest.events, revents: 0))
      }
      let left = remaining
      let milliseconds = left < 0 ? -1 : Int32(min(left / 1_000_000 + 1, Int64(Int32.max)))
      // unsafe: the array holds count elements for the length of the call.
      let count = unsafe polled.withUnsafeMutableBufferPointer {
        unsafe poll($0.baseAddress, nfds_t($0.count), milliseconds)
      }
      if count < 0 && Errno.current != .interrupted { throw ContainerError("", SystemError("poll", "", .current)) }
      if left == 0 && count == 0 { end(.timeout) }
      if try relay.pump() { end(.escape) }
      guard polled[0].revents != 0 else { continue }
      var information = signalfd_siginfo()
      // unsafe: the struct takes exactly what a read of a signalfd gives.
      while unsafe read(signals.rawValue, &information, MemoryLayout<signalfd_siginfo>.size) > 0 {
        let number = Int32(bitPattern: information.ssi_signo)
        if number == SIGWINCH {
          relay.resize()
        } else if let outcome = take(number) {
          return outcome
        }
      }
    }
  }

  /// Handles signal `number`; the outcome once the process has ended.
  private mutating func take(_ number: Int32) -> ExitOutcome? {
    guard number == SIGCHLD else {
      if number == SIGINT, patience != nil {
        interrupts += 1
        if interrupts == patience { end(.signal(number)) }
      }
      // SIGPIPE and the runtime's own are no message to the process.
      if number != SIGPIPE { _ = ccontainer_pidfd_send_signal(pidfd, number) }
      return nil
    }
    while true {
      var status: Int32 = 0
      // unsafe: the status is written before the call returns.
      let ended = unsafe ccontainer_wait(-1, WNOHANG | Int32(bitPattern: UInt32(__WALL)), &status)
      if ended <= 0 { return nil }
      if ended == pid { return ExitOutcome(waitStatus: status) }
    }
  }

  private mutating func end(_ reason: ExitOutcome) {
    if self.reason == nil { self.reason = reason }
    _ = ccontainer_pidfd_send_signal(pidfd, SIGKILL)
  }
}
