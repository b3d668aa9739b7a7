import CGuestInit
import CLinux
import GuestProtocol
import System

/// Runs one command to its end: passes its input, its output, signals and window sizes on, and reaps whatever dies.
///
/// One thread waits in poll(2) for everything. Output is read only while the host takes it, and the host sends no more
/// input than was granted, so that memory stays bounded on both sides.
public final class CommandRunner {
  /// Milliseconds between looks at the channel where it has no doorbell.
  private static let pollInterval: Int32 = 5
  /// Milliseconds after which a host that owes credit is asked again, should a ring have got lost.
  private static let creditInterval: Int32 = 100
  /// Milliseconds of silence after which the terminal of a command that has ended is taken for empty.
  private static let terminalSilence: Int32 = 100

  private let channel: Channel
  private let hasTerminal: Bool
  private let process: pid_t
  private let children: FileDescriptor
  private var input: InputStream
  private var output: OutputStream
  private var errorOutput: OutputStream
  private var outcome: GuestMessage?
  private var violation: Failure?

  /// Starts the command and says so to the host.
  /// - Throws: `Failure` when there is nothing to run.
  public init(_ configuration: CommandConfiguration, _ channel: Channel) throws(Failure) {
    self.channel = channel
    hasTerminal = configuration.hasTerminal
    ignore_broken_pipes()
    let raw = open_child_signal()
    guard raw >= 0 else { throw Failure(SystemError("signalfd", "", .current)) }
    children = FileDescriptor(owning: raw)
    channel.mark(.commandAboutToRun)
    let command = try Command.start(configuration)
    process = command.process
    input = InputStream(command.input, isTerminal: configuration.hasTerminal, limit: channel.inputWindow)
    output = OutputStream(command.output, .stdout)
    errorOutput = OutputStream(command.errorOutput, .stderr)
    channel.send(.started)
    channel.send(.stdinWindow(UInt32(truncatingIfNeeded: channel.inputWindow)))
  }

  /// Waits for the command's end and for its output to be taken; returns how it ended, which is not sent yet.
  /// - Throws: `Failure` when the channel breaks down.
  public func run() throws(Failure) -> GuestMessage {
    // What came before the doorbell was there has not rung it.
    try receive()
    while true {
      channel.flush()
      if let outcome, !output.isOpen, !errorOutput.isOpen, channel.isDrained { return outcome }
      try wait()
    }
  }

  private func wait() throws(Failure) {
    let doorbell = channel.doorbell
    let takesOutput = channel.isDrained
    var entries: InlineArray<5, pollfd> = [
      pollfd(fd: children.rawValue, events: Int16(POLLIN), revents: 0),
      pollfd(fd: doorbell, events: Int16(channel.wantsOutput ? POLLIN | POLLOUT : POLLIN), revents: 0),
      pollfd(fd: takesOutput ? output.rawValue : -1, events: Int16(POLLIN), revents: 0),
      pollfd(fd: takesOutput ? errorOutput.rawValue : -1, events: Int16(POLLIN), revents: 0),
      // A pipe that nobody reads any more is always ready: it is watched only while there is something to write.
      pollfd(fd: input.hasPending ? input.rawValue : -1, events: Int16(POLLOUT), revents: 0),
    ]
    let timeout = timeout(doorbell)
    var span = entries.mutableSpan
    // unsafe: poll(2) is given the array's five entries.
    let count = unsafe span.withUnsafeMutableBufferPointer { unsafe poll($0.baseAddress, 5, timeout) }
    if count < 0 {
      if Errno.current == .interrupted { return }
      throw Failure(SystemError("poll", "", .current))
    }
    if entries[0].revents != 0 { reap() }
    if entries[1].revents != 0 || doorbell < 0 { try receive() }
    if entries[2].revents != 0 { output.forward(to: channel) }
    if entries[3].revents != 0 && channel.isDrained { errorOutput.forward(to: channel) }
    if entries[4].revents != 0 { input.write() }
    if let grant = input.takeGrant() { channel.send(.stdinWindow(grant)) }
    // A command that let its terminal go may have left it to others, who keep it open.
    if count == 0 && outcome != nil && hasTerminal && channel.isDrained { output.close() }
  }

  private func timeout(_ doorbell: Int32) -> Int32 {
    if doorbell < 0 { return Self.pollInterval }
    if !channel.isDrained { return Self.creditInterval }
    return outcome != nil && hasTerminal ? Self.terminalSilence : -1
  }

  private func receive() throws(Failure) {
    do throws(ProtocolError) {
      try channel.receive(self)
    } catch {
      throw Failure("guest init: \(error)")
    }
    if let violation { throw violation }
  }

  /// Collects every child that has ended, the command's orphans among them.
  private func reap() {
    var information = InlineArray<128, UInt8>(repeating: 0)
    var span = information.mutableSpan
    // unsafe: the buffer covers the array; one read takes the one pending SIGCHLD.
    unsafe span.withUnsafeMutableBytes { buffer in _ = try? unsafe children.read(into: buffer) }
    while true {
      var status: Int32 = 0
      // unsafe: waitpid writes the one status.
      let child = unsafe waitpid(-1, &status, WNOHANG)
      if child <= 0 { return }
      if child == process { commandEnded(status) }
    }
  }

  private func commandEnded(_ status: Int32) {
    outcome =
      clinux_wifexited(status)
      ? .exited(code: UInt32(clinux_wexitstatus(status))) : .killed(signal: UInt32(clinux_wtermsig(status)))
    input.close()
    if !hasTerminal {
      output.limitToPresent()
      errorOutput.limitToPresent()
    }
  }
}

extension CommandRunner: FrameReceiver {
  public func receive(data: UnsafeRawBufferPointer, kind: FrameKind) {
    guard kind == .stdin, unsafe input.accept(data) else {
      violation = Failure("guest init: the host sent more input than was asked for")
      return
    }
  }

  public func receive(message: [UInt8], kind: FrameKind) throws(ProtocolError) {
    switch try HostMessage(kind: kind, payload: message) {
    case .stdinEnd: input.end()
    case .signal(let number): deliver(number)
    case .windowSize(let size):
      guard hasTerminal, output.isOpen else { return }
      _ = set_window_size(output.rawValue, size.rows, size.columns, size.xPixels, size.yPixels)
    }
  }

  /// What a terminal sends to the group in its foreground goes to the command's group; the rest to the command alone.
  private func deliver(_ number: UInt32) {
    // Once the command has been reaped, its number may be somebody else's.
    guard outcome == nil, (1...64).contains(number) else { return }
    switch Int32(number) {
    case SIGINT, SIGQUIT, SIGHUP: _ = kill(-process, Int32(number))
    default: _ = kill(process, Int32(number))
    }
  }
}
