import CContainer
import CLinux
import System

/// The first process of a container whose program is not to be process 1: it starts the program, forwards signals to it, reaps whatever
/// else ends, and ends as the program ends. Process 1 of a namespace takes no signal that it has no handler for, so a program
/// in that place would not end by SIGTERM as it does anywhere else.
enum Reaper {
  /// What the container's process list calls it.
  private static let name = "vmrun-init"

  /// Goes on in the program's process; the caller's process stays here, and notes the program's end.
  static func fork(_ clock: SetupClock?) throws(ContainerError) {
    _ = ccontainer_block_signals()
    let hadTerminal = isatty(0) == 1 && ccontainer_release_terminal(0) == 0
    // A session's leader that lets its terminal go is sent SIGHUP and SIGCONT (tty_ioctl(4)), which are not meant for the program.
    // Blocked as they are they wait; to ignore them for a moment drops them (sigaction(2)).
    for number in [SIGHUP, SIGCONT] {
      clinux_ignore_signal(number)
      clinux_default_signal(number)
    }
    let pid = CLinux.fork()
    if pid == 0 {
      _ = setsid()
      if hadTerminal { _ = ccontainer_take_terminal(0) }
      ccontainer_unblock_signals()
      return
    }
    guard pid > 0 else { throw ContainerError("start the program", SystemError("fork", "", .current)) }
    // Everybody in the container can read what process 1 was started with: that is the host's affair.
    unsafe ccontainer_forget_arguments(name)
    // Nothing stays open here, or the other side of a pipe would wait for this process too.
    _ = ccontainer_close_range(0, UInt32.max)
    while true {
      let number = ccontainer_next_signal(-1)
      guard number == SIGCHLD else {
        _ = kill(pid, number)
        continue
      }
      var status: Int32 = 0
      while true {
        // unsafe: the status is written before the call returns.
        let ended = unsafe ccontainer_wait(-1, WNOHANG, &status)
        if ended <= 0 { break }
        if ended == pid {
          clock?.stamp(.payload)
          _exit(ExitOutcome(waitStatus: status).exitCode)
        }
      }
    }
  }
}
