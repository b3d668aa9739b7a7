import CLinux
import Container
import Devices
import System

/// Relays the terminal that vmrun was started on to a container's: what is typed goes in, what the command writes comes out, until
/// the command has ended. A standard input that is no terminal is passed on as it is, and its end as the terminal's own
/// end-of-file character.
///
/// Output is written by the pump's thread, so that a standard output that takes nothing stops neither signals nor the escape.
final class TerminalSession: TerminalRelay {
  /// Bytes that are read from standard input ahead of the command, so that the escape works when the command takes nothing.
  private static let aheadLimit = 64 << 10
  private static let chunkSize = 16 << 10
  /// Milliseconds of silence after which the terminal of a command that has ended is taken for empty.
  private static let silence: Int32 = 100
  private static let endOfFile: UInt8 = 4
  private static let help =
    "\r\nvmrun: Ctrl-A x ends the container, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-A h shows this\r\n"

  private let output: OutputPump
  private let wake: EventFD
  private let isRaw: Bool
  private var filter: EscapeFilter?
  private var master: FileDescriptor?
  private var number: Int32 = -1
  /// Typed and not taken by the container's terminal yet.
  private var ahead: [UInt8] = []
  private var lastByte = UInt8(ascii: "\n")
  private var inputEnded: Bool
  private var outputEnded = false
  private var finished = false
  private let loss = LossNote()

  /// A session on standard input and output.
  init() throws(SystemError) {
    output = try OutputPump(inherited: 1)
    wake = try EventFD()
    isRaw = Terminal.isTerminal(0)
    filter = isRaw ? EscapeFilter() : nil
    inputEnded = clinux_fcntl(0, F_GETFD, 0) < 0
    let (wake, loss) = (WakeNote(number: wake.descriptor.rawValue), loss)
    output.onRoom { wake.signal() }
    output.onLoss { reason in
      loss.note(reason)
      wake.signal()
    }
  }

  /// The size for the container's terminal.
  static var window: WindowSize? { WindowSize(of: 0) ?? WindowSize(of: 1) }

  /// Why the output was given up; nil when it was not.
  var lostOutput: OutputLoss? { loss.reason }

  func start(master number: Int32) throws(ContainerError) {
    do throws(SystemError) {
      let copy = try FileDescriptor.duplicate(of: number)
      try copy.setNonBlocking()
      self.number = copy.rawValue
      master = consume copy
      if isRaw { try Terminal.enterRawMode(0) }
    } catch {
      throw ContainerError("terminal", error)
    }
  }

  var interests: [(descriptor: Int32, events: Int16)] {
    var list: [(descriptor: Int32, events: Int16)] = [(wake.descriptor.rawValue, Int16(POLLIN))]
    if !inputEnded, ahead.count < Self.aheadLimit { list.append((0, Int16(POLLIN))) }
    var events: Int16 = 0
    if !outputEnded, output.room > 0 { events |= Int16(POLLIN) }
    if !ahead.isEmpty { events |= Int16(POLLOUT) }
    // poll(2) reports a hang-up whatever is asked for: without a wish it would spin.
    if events != 0, !outputEnded { list.append((number, events)) }
    return list
  }

  func pump() throws(ContainerError) -> Bool {
    wake.drain()
    if lostOutput != nil { return true }
    if readInput() { return true }
    writeInput()
    while !outputEnded, output.room > 0, moveOutput() {}
    return false
  }

  func resize() {
    guard let size = Self.window else { return }
    var window = winsize(
      ws_row: size.rows, ws_col: size.columns, ws_xpixel: size.widthPixels, ws_ypixel: size.heightPixels)
    // unsafe: TIOCSWINSZ reads the one struct it is given.
    _ = unsafe clinux_ioctl_pointer(number, UInt(clinux_request.tiocswinsz.rawValue), &window)
  }

  func finish() {
    guard !finished else { return }
    finished = true
    defer { Terminal.restore() }
    // A standard output that takes nothing must not keep vmrun from ending by a signal.
    var signals: SignalFD?
    signals = try? SignalFD([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
    let interruption = signals?.descriptor.rawValue ?? -1
    while !outputEnded, number >= 0 {
      if output.room == 0, !output.drain(milliseconds: -1, interruption: interruption) { break }
      if moveOutput() { continue }
      if outputEnded || !hasMore(milliseconds: Self.silence) { break }
    }
    Terminal.restore()
    _ = output.finish(milliseconds: -1, interruption: interruption)
  }

  // MARK: -

  /// Whether the container's terminal becomes readable in time.
  private func hasMore(milliseconds: Int32) -> Bool {
    var source = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
    // unsafe: poll is given one entry.
    return unsafe poll(&source, 1, milliseconds) > 0
  }

  /// Reads what was typed. True when the user wants the container's end.
  private func readInput() -> Bool {
    guard !inputEnded, ahead.count < Self.aheadLimit else { return false }
    var source = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
    // unsafe: poll is given one entry.
    guard unsafe poll(&source, 1, 0) > 0 else { return false }
    var chunk = [UInt8](repeating: 0, count: Self.chunkSize)
    // unsafe: the array's own bytes, valid for the call.
    let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(0, $0.baseAddress, $0.count) }
    if count < 0, Errno.current == .interrupted || Errno.current == .again { return false }
    guard count > 0 else {
      endInput()
      return false
    }
    lastByte = chunk[count - 1]
    guard let result = filter?.filter(chunk.span.extracting(0..<count)) else {
      ahead += chunk[..<count]
      return false
    }
    ahead += result.bytes
    for escape in result.escapes {
      switch escape {
      case .end: return true
      case .help: Log.raw(Self.help)
      }
    }
    return false
  }

  /// The end-of-file character ends a line that is not empty, and the input only at the beginning of a line. A terminal that was
  /// hung up has no user any more to end anything.
  private func endInput() {
    inputEnded = true
    let isAtLineStart = lastByte == UInt8(ascii: "\n") || lastByte == UInt8(ascii: "\r")
    ahead += [UInt8](repeating: Self.endOfFile, count: isAtLineStart ? 1 : 2)
  }

  private func writeInput() {
    guard !ahead.isEmpty else { return }
    let target = number
    // unsafe: the array's own bytes, valid for the call.
    let count = unsafe ahead.withUnsafeBytes { unsafe write(target, $0.baseAddress, $0.count) }
    if count > 0 { ahead.removeFirst(count) }
  }

  /// Moves one chunk of the command's output; false when there is none now.
  private func moveOutput() -> Bool {
    var chunk = [UInt8](repeating: 0, count: min(Self.chunkSize, output.room))
    let source = number
    // unsafe: the array's own bytes, valid for the call.
    let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(source, $0.baseAddress, $0.count) }
    if count > 0 {
      output.append(chunk.span.extracting(0..<count))
      return true
    }
    let reason = Errno.current
    // EIO: nobody has the terminal open any more.
    if count == 0 || (reason != .again && reason != .interrupted) { outputEnded = true }
    return false
  }
}

/// Why an output was given up, told by its pump's thread.
private final class LossNote: @unchecked Sendable {
  private let lock = Lock()
  private var noted: OutputLoss?

  var reason: OutputLoss? { lock.withLock { noted } }
  func note(_ reason: OutputLoss) { lock.withLock { noted = reason } }
}

/// Wakes poll(2) from the pump's thread, which ends before the session does.
private struct WakeNote: Sendable {
  let number: Int32

  func signal() {
    var one: UInt64 = 1
    // unsafe: write(2) reads the eight bytes of `one`.
    _ = unsafe write(number, &one, 8)
  }
}
