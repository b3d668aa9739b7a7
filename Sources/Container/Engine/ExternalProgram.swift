import CContainer
import CLinux
import System

/// Runs other programs: hooks, and the helpers that map IDs.
enum ExternalProgram {
  /// How a program ended, and the first of what it said.
  struct Outcome {
    /// As wait(2) gives it.
    let status: Int32
    let output: [UInt8]

    /// "exit status 3: message", or "signal 9".
    var text: String {
      let how =
        clinux_wifexited(status) ? "exit status \(clinux_wexitstatus(status))" : "signal \(clinux_wtermsig(status))"
      var said = String(decoding: output, as: UTF8.self)
      while let last = said.unicodeScalars.last, last == "\n" || last == " " { said.unicodeScalars.removeLast() }
      return said.isEmpty ? how : "\(how): \(said)"
    }
  }

  /// Longest output that is kept, in bytes.
  private static let outputLimit = 4096

  /// Runs `path` to its end, with `input` on its standard input; what it prints is kept aside.
  /// - Parameter timeout: seconds after which it is killed; nil for no limit.
  static func run(
    _ path: String, _ arguments: [[UInt8]], environment: [[UInt8]], input: [UInt8], timeout: Int?
  ) throws(ContainerError) -> Outcome {
    // A file in memory: neither side can block the other, however much is written.
    let standardInput = try memory("input")
    let output = try memory("output")
    try naming(path) { () throws(SystemError) in try standardInput.writeFully(input) }
    _ = lseek(standardInput.rawValue, 0, SEEK_SET)
    let argv = CStrings(arguments)
    let envp = CStrings(environment)
    // unsafe: both arrays end with a null pointer and outlive the call, which returns after the program was executed.
    let pid = unsafe ccontainer_start_program(
      path, argv.array, envp.array, standardInput.rawValue, output.rawValue)
    guard pid > 0 else { throw ContainerError("", SystemError("execute", path, .current)) }
    var status: Int32 = 0
    if let timeout {
      let raw = ccontainer_pidfd_open(pid)
      guard raw >= 0 else { throw ContainerError("", SystemError("pidfd_open", "\(pid)", .current)) }
      let process = FileDescriptor(owning: raw)
      var ready = pollfd(fd: process.rawValue, events: Int16(POLLIN), revents: 0)
      let deadline = Clock.now() &+ UInt64(timeout).multipliedReportingOverflow(by: 1_000_000_000).partialValue
      while true {
        let now = Clock.now()
        let left = deadline > now ? min((deadline - now) / 1_000_000 + 1, UInt64(Int32.max)) : 0
        // unsafe: one descriptor is polled.
        let count = unsafe poll(&ready, 1, Int32(left))
        if count > 0 { break }
        if count < 0 && Errno.current == .interrupted { continue }
        _ = ccontainer_pidfd_send_signal(process.rawValue, SIGKILL)
        // unsafe: the status is written before the call returns.
        _ = unsafe ccontainer_wait(pid, 0, &status)
        throw ContainerError(.system, "\(path) did not end within its timeout of \(timeout) s and was killed")
      }
    }
    // unsafe: the status is written before the call returns.
    guard unsafe ccontainer_wait(pid, 0, &status) == pid else {
      throw ContainerError("", SystemError("wait", path, .current))
    }
    _ = lseek(output.rawValue, 0, SEEK_SET)
    return Outcome(status: status, output: (try? output.readAll(limit: outputLimit)) ?? [])
  }

  private static func memory(_ name: String) throws(ContainerError) -> FileDescriptor {
    let raw = unsafe ccontainer_memfd_create(name, UInt32(MFD_CLOEXEC))
    guard raw >= 0 else { throw ContainerError("", SystemError("memfd_create", name, .current)) }
    return FileDescriptor(owning: raw)
  }
}
