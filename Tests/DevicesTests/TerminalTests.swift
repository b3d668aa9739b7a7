import CLinux
import System
import Testing

@testable import Devices

/// In a process of its own: opens the terminal at `path` for good, and makes it raw.
private func takeTerminal(_ path: String, controlling: Bool = false) -> Int32 {
  if controlling { setsid() }
  let terminal = clinux_open(path, O_RDWR | (controlling ? 0 : O_NOCTTY), 0)
  if terminal < 0 { exit(90) }
  let before = PseudoTerminal.modes(of: terminal)
  do throws(SystemError) {
    try Terminal.enterRawMode(terminal)
  } catch {
    exit(91)
  }
  guard Terminal.isTerminal(terminal), isRaw(terminal) else { exit(92) }
  guard before != PseudoTerminal.modes(of: terminal) else { exit(93) }
  return terminal
}

/// No line editing, no echo, no signals by key, no translation of either direction.
private func isRaw(_ descriptor: Int32) -> Bool {
  let modes = PseudoTerminal.modes(of: descriptor)
  return modes.count == 4 && modes[0] & UInt32(ICRNL | IXON | INLCR) == 0 && modes[1] & UInt32(OPOST) == 0
    && modes[3] & UInt32(ICANON | ECHO | ISIG) == 0
}

@Suite("Terminal", .timeLimit(.minutes(2)))
struct TerminalTests {
  @Test("what is no terminal is refused, and has no size")
  func noTerminal() throws {
    let null = try FileDescriptor.open("/dev/null", O_RDWR)
    #expect(!Terminal.isTerminal(null.rawValue))
    #expect(!Terminal.isTerminal(9999))
    #expect(WindowSize(of: null.rawValue) == nil)
    let number = null.rawValue
    #expect(throws: SystemError.self) { try Terminal.enterRawMode(number) }
    Terminal.restore()
  }

  @Test("the window's size")
  func size() throws {
    let pty = try PseudoTerminal()
    var size = winsize(ws_row: 33, ws_col: 101, ws_xpixel: 5, ws_ypixel: 6)
    #expect(clinux_ioctl_pointer(pty.master.rawValue, UInt(clinux_request.tiocswinsz.rawValue), &size) == 0)
    #expect(WindowSize(of: pty.slave.rawValue) == WindowSize(rows: 33, columns: 101, widthPixels: 5, heightPixels: 6))
  }

  @Test("given back by restore, and taken again")
  func restore() async throws {
    let pty = try PseudoTerminal(raw: false)
    let before = pty.modes()
    await #expect(processExitsWith: .exitCode(7)) { [path = pty.path as String] in
      let terminal = takeTerminal(path)
      Terminal.restore()
      Terminal.restore()
      if isRaw(terminal) { _exit(94) }
      do throws(SystemError) { try Terminal.enterRawMode(terminal) } catch { _exit(95) }
      if !isRaw(terminal) { _exit(96) }
      Terminal.restore()
      _exit(7)
    }
    #expect(!before.isEmpty && pty.modes() == before)
  }

  @Test("given back by exit")
  func exiting() async throws {
    let pty = try PseudoTerminal(raw: false)
    let before = pty.modes()
    await #expect(processExitsWith: .exitCode(7)) { [path = pty.path as String] in
      _ = takeTerminal(path)
      exit(7)
    }
    #expect(!before.isEmpty && pty.modes() == before)
  }

  @Test(
    "given back when a signal ends the process, which still ends by that signal",
    arguments: [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGSEGV, SIGABRT, SIGILL, SIGUSR1, SIGPIPE])
  func signals(number: Int32) async throws {
    let pty = try PseudoTerminal(raw: false)
    let before = pty.modes()
    await #expect(processExitsWith: .signal(number)) { [path = pty.path as String, number = number as Int32] in
      // The default action (SIG_DFL), whatever the test runner does with it.
      signal(number, nil)
      _ = takeTerminal(path)
      kill(getpid(), number)
      while true { pause() }
    }
    #expect(!before.isEmpty && pty.modes() == before)
  }

  @Test("given back when Swift traps")
  func trap() async throws {
    let pty = try PseudoTerminal(raw: false)
    let before = pty.modes()
    await #expect(processExitsWith: .failure) { [path = pty.path as String] in
      for number in [SIGILL, SIGTRAP, SIGABRT] { signal(number, nil) }
      _ = takeTerminal(path)
      let empty: [Int] = []
      exit(Int32(empty[Int(getpid())]))
    }
    #expect(!before.isEmpty && pty.modes() == before)
  }

  @Test("a signal that was ignored (nohup) stays ignored")
  func ignored() async throws {
    let pty = try PseudoTerminal(raw: false)
    await #expect(processExitsWith: .exitCode(7)) { [path = pty.path as String] in
      signal(SIGHUP, unsafeBitCast(1, to: (@convention(c) (Int32) -> Void).self))
      _ = takeTerminal(path)
      kill(getpid(), SIGHUP)
      exit(7)
    }
  }

  @Test("given back while stopped by SIGTSTP, and taken again by SIGCONT")
  func stopped() async throws {
    let pty = try PseudoTerminal(raw: false)
    let before = pty.modes()
    await #expect(processExitsWith: .exitCode(7)) { [path = pty.path as String] in
      for number in [SIGTSTP, SIGCONT] { signal(number, nil) }
      let terminal = takeTerminal(path, controlling: true)
      var result: [Int32] = [-1, -1]
      guard pipe(&result) == 0 else { _exit(97) }
      let parent = getpid()
      // The watcher makes system calls only, as a child of a process with threads must. A stopped parent is one that a look at
      // the terminal finds not raw.
      let watcher = fork()
      if watcher == 0 {
        var settings = termios()
        var restored: UInt8 = 0
        for _ in 0..<5000 {
          if tcgetattr(terminal, &settings) == 0 && settings.c_lflag & UInt32(ICANON) != 0 {
            restored = 1
            break
          }
          usleep(1000)
        }
        _ = write(result[1], &restored, 1)
        for _ in 0..<200 {
          kill(parent, SIGCONT)
          usleep(10_000)
        }
        _exit(0)
      }
      kill(parent, SIGTSTP)
      var restored: UInt8 = 9
      guard read(result[0], &restored, 1) == 1, restored == 1 else { _exit(98) }
      let deadline = Deadline(seconds: 5)
      while !isRaw(terminal) && !deadline.passed { usleep(1000) }
      guard isRaw(terminal) else { _exit(99) }
      kill(watcher, SIGKILL)
      Terminal.restore()
      _exit(7)
    }
    #expect(!before.isEmpty && pty.modes() == before)
  }
}
