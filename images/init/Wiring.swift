import CGuestInit
import CLinux
import GuestProtocol
import System

/// What connects a command with init: three pipes or a pseudo-terminal.
struct Wiring: ~Copyable {
  /// Init's ends, non-blocking. With a terminal, input and output are its master and there is no error output.
  var input: FileDescriptor
  var output: FileDescriptor
  var errorOutput: FileDescriptor?
  /// The command's ends; with a terminal all three are the first one.
  var commandInput: FileDescriptor
  var commandOutput: FileDescriptor?
  var commandErrorOutput: FileDescriptor?

  /// The descriptors that become the command's 0, 1 and 2.
  var commandEnds: (Int32, Int32, Int32) {
    let first = commandInput.rawValue
    return (first, number(commandOutput) ?? first, number(commandErrorOutput) ?? first)
  }

  private func number(_ descriptor: borrowing FileDescriptor?) -> Int32? {
    switch descriptor {
    case .some(let open): open.rawValue
    case .none: nil
    }
  }

  /// What `configuration` asks for.
  static func make(_ configuration: CommandConfiguration) throws(Failure) -> Wiring {
    do throws(SystemError) {
      if configuration.hasTerminal {
        return try terminal(configuration.windowSize, user: configuration.userID)
      }
      return try pipes(user: configuration.userID, group: configuration.groupID)
    } catch {
      throw Failure(error)
    }
  }

  /// Three pipes that `user` may open anew through /dev/stdin, /dev/stdout and /dev/stderr.
  private static func pipes(user: UInt32, group: UInt32) throws(SystemError) -> Wiring {
    let input = try Pipe()
    let output = try Pipe()
    let errorOutput = try Pipe()
    for descriptor in [input.write.rawValue, output.read.rawValue, errorOutput.read.rawValue] {
      try makeNonBlocking(descriptor)
      if user != geteuid() { _ = fchown(descriptor, user, group) }
    }
    return Wiring(
      input: input.write, output: output.read, errorOutput: errorOutput.read,
      commandInput: input.read, commandOutput: output.write, commandErrorOutput: errorOutput.write)
  }

  /// A pseudo-terminal that belongs to `user`.
  private static func terminal(_ size: WindowSize, user: UInt32) throws(SystemError) -> Wiring {
    let master = try FileDescriptor.open("/dev/ptmx", O_RDWR | O_NOCTTY)
    let raw = open_terminal_peer(master.rawValue)
    guard raw >= 0 else { throw SystemError("open", "the terminal's other end", .current) }
    let peer = FileDescriptor(owning: raw)
    let error = set_window_size(master.rawValue, size.rows, size.columns, size.xPixels, size.yPixels)
    guard error == 0 else { throw SystemError("ioctl TIOCSWINSZ", "", Errno(rawValue: error)) }
    // The group stays "tty", as devpts sets it.
    if user != geteuid() { _ = fchown(raw, user, gid_t.max) }
    try makeNonBlocking(master.rawValue)
    let second = try FileDescriptor.duplicate(of: master.rawValue)
    return Wiring(
      input: second, output: master, errorOutput: nil, commandInput: peer, commandOutput: nil, commandErrorOutput: nil)
  }

  private static func makeNonBlocking(_ descriptor: Int32) throws(SystemError) {
    guard clinux_fcntl(descriptor, F_SETFL, Int(O_NONBLOCK)) == 0 else {
      throw SystemError("fcntl", "O_NONBLOCK", .current)
    }
  }
}

/// Both ends of a pipe. (`System` has a type like it, which other modules cannot take apart.)
private struct Pipe: ~Copyable {
  let read: FileDescriptor
  let write: FileDescriptor

  init() throws(SystemError) {
    var ends: InlineArray<2, Int32> = [-1, -1]
    var span = ends.mutableSpan
    // unsafe: pipe2 writes the array's two descriptors.
    let result = unsafe span.withUnsafeMutableBufferPointer { unsafe pipe2($0.baseAddress, O_CLOEXEC) }
    guard result == 0 else { throw SystemError("pipe", "", .current) }
    read = FileDescriptor(owning: ends[0])
    write = FileDescriptor(owning: ends[1])
  }
}
