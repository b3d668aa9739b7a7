import CLinux
import System

/// The terminal that vmrun was started on, in raw mode.
///
/// It is given back by `restore()`, by exit(3), and by a handler on every signal that would end the process and that nobody
/// else handles; SIGKILL alone leaves it raw (`stty sane` cures that). A stop by SIGTSTP gives it back as well, and
/// SIGCONT takes it again when vmrun is in the foreground then. `_exit` restores nothing: call `restore()` before it.
public enum Terminal {
  private enum State {
    static let given: UInt8 = 0
    static let raw: UInt8 = 1
    static let suspended: UInt8 = 2
  }

  private struct Settings {
    let descriptor: Int32
    var original: termios
    var raw: termios
    /// A `State`; only by single-copy atomic accesses, since handlers run in the middle of anything.
    var state: UInt8
  }

  /// Set once, before any handler is installed, and never freed: handlers may read it at any time.
  nonisolated(unsafe) private static var settings: UnsafeMutablePointer<Settings>?

  /// True when `descriptor` is a terminal.
  public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// Puts the terminal behind `descriptor`, which must stay open, in raw mode: every byte as it is typed, none interpreted, none
  /// echoed, output untouched. What was typed ahead is kept. Call again after `restore()` with the same descriptor only.
  public static func enterRawMode(_ descriptor: Int32) throws(SystemError) {
    // unsafe: settings is set here only, on the main thread.
    if unsafe settings == nil {
      var original = termios()
      // unsafe: tcgetattr fills the one struct it is given.
      guard unsafe tcgetattr(descriptor, &original) == 0 else {
        throw SystemError("tcgetattr", "descriptor \(descriptor)", .current)
      }
      var raw = original
      // unsafe: cfmakeraw changes the one struct it is given.
      unsafe cfmakeraw(&raw)
      let block = UnsafeMutablePointer<Settings>.allocate(capacity: 1)
      unsafe block.initialize(to: Settings(descriptor: descriptor, original: original, raw: raw, state: State.given))
      unsafe settings = block
      installHandlers()
    }
    // unsafe: never freed once it is set.
    guard let block = unsafe settings else { return }
    // Before the change, so that a signal in between restores rather than forgets.
    state = State.raw
    // unsafe: as above.
    guard unsafe apply(&block.pointee.raw) else {
      let error = Errno.current
      state = State.given
      throw SystemError("tcsetattr", "descriptor \(descriptor)", error)
    }
  }

  /// Gives the terminal back as it was; harmless when it is not in raw mode. Any thread, and signal handlers.
  public static func restore() {
    let before = state
    state = State.given
    // Two callers at once both do it, which is harmless; none of them returns before it is done.
    if before == State.raw { giveBack() }
  }

  private static var state: UInt8 {
    get {
      // unsafe: settings is never freed.
      guard let block = unsafe settings else { return State.given }
      return unsafe clinux_load8(&block.pointee.state)
    }
    set {
      // unsafe: as above.
      if let block = unsafe settings { unsafe clinux_store8(&block.pointee.state, newValue) }
    }
  }

  /// tcsetattr without waiting for output, which a stopped terminal would never take. Async-signal-safe.
  private static func apply(_ attributes: UnsafeMutablePointer<termios>) -> Bool {
    guard let block = unsafe settings else { return false }
    while true {
      // unsafe: the caller's struct is valid for the call.
      if unsafe tcsetattr(block.pointee.descriptor, TCSANOW, attributes) == 0 { return true }
      if clinux_errno() != EINTR { return false }
    }
  }

  private static func giveBack() {
    // unsafe: settings is never freed.
    if let block = unsafe settings { _ = unsafe apply(&block.pointee.original) }
  }

  // What follows runs in signal handlers: no allocation, no lock, and errno as it was.

  private static func installHandlers() {
    atexit { Terminal.restore() }
    let fatal = [
      SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGVTALRM, SIGPROF, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ, SIGPIPE,
      SIGIO, SIGPWR, SIGSTKFLT, SIGSYS, SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGTRAP,
    ]
    for number in fatal {
      // The default action follows when the handler returns, since raise() leaves the signal pending until then.
      install(number, Int32(bitPattern: SA_RESETHAND)) { number in
        Terminal.restore()
        _ = raise(number)
      }
    }
    install(SIGTSTP, SA_RESTART) { _ in Terminal.suspend() }
    install(SIGCONT, SA_RESTART) { _ in Terminal.takeAgain() }
  }

  /// Handles `number` unless it is ignored (nohup) or handled by somebody already.
  private static func install(_ number: Int32, _ flags: Int32, _ handler: @escaping @convention(c) (Int32) -> Void) {
    var action = sigaction()
    // unsafe: sigaction fills the one struct it is given; sa_handler is what a handler without SA_SIGINFO uses.
    guard unsafe sigaction(number, nil, &action) == 0, unsafe action.__sigaction_handler.sa_handler == nil
    else { return }
    action = sigaction()
    action.sa_flags = flags
    unsafe action.__sigaction_handler.sa_handler = handler
    // unsafe: sigaction reads the one struct it is given.
    _ = unsafe sigaction(number, &action, nil)
  }

  private static func suspend() {
    let error = clinux_errno()
    if state == State.raw {
      state = State.suspended
      giveBack()
    }
    _ = kill(getpid(), SIGSTOP)
    clinux_set_errno(error)
  }

  private static func takeAgain() {
    let error = clinux_errno()
    defer { clinux_set_errno(error) }
    guard let block = unsafe settings, state != State.given else { return }
    // In the background the terminal is another's: a change would stop us again.
    // unsafe: settings is never freed.
    if unsafe tcgetpgrp(block.pointee.descriptor) != getpgrp() {
      state = State.suspended
      return
    }
    // unsafe: as above.
    _ = unsafe apply(&block.pointee.raw)
    // Another thread may have restored in between, and must have the last word.
    if state == State.given { giveBack() } else { state = State.raw }
  }
}
