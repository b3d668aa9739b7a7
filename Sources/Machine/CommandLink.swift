import CLinux
import Devices
import GuestProtocol
import Synchronization
import System

/// The command's side of a session: its streams on the host, its signals, and how it ended.
package final class CommandLink: PayloadClient, @unchecked Sendable {
  package let output: OutputPump
  package let errors: OutputPump

  private let command: Configuration.Command
  private let control: RunControl
  private let timeline: Timeline
  private let greeted = Atomic<Bool>(false)
  private let running = Atomic<Bool>(false)
  private var channel: PayloadChannel?
  private var input: InputPump?
  private var interrupts = 0

  /// How many SIGINTs end the VM whatever the command does.
  static let patience = 3

  /// Streams on standard output and standard error, which stay in order when both are one file.
  package init(_ command: Configuration.Command, control: RunControl, timeline: Timeline) throws(MachineError) {
    self.command = command
    self.control = control
    self.timeline = timeline
    let output = try naming { () throws(SystemError) in try OutputPump(inherited: 1) }
    self.output = output
    errors = StandardStreams.same(1, 2) ? output : try naming { () throws(SystemError) in try OutputPump(inherited: 2) }
    for pump in [output, errors] {
      control.endOnLoss(of: pump, "the command's output")
    }
  }

  /// Whether the guest's init has said hello.
  package var isGreeted: Bool { greeted.load(ordering: .acquiring) }
  /// Whether the command was executed.
  package var isRunning: Bool { running.load(ordering: .acquiring) }

  /// What init is told in the initramfs.
  package func configuration() -> CommandConfiguration {
    var size = GuestProtocol.WindowSize()
    if command.terminal, let host = Devices.WindowSize(of: 0) ?? Devices.WindowSize(of: 1) {
      size = GuestProtocol.WindowSize(
        rows: host.rows, columns: host.columns, xPixels: host.widthPixels, yPixels: host.heightPixels)
    }
    return CommandConfiguration(
      arguments: command.arguments, environment: command.environment,
      workingDirectory: Array(command.workingDirectory.utf8), hostname: Array(command.hostname.utf8),
      userID: command.user,
      groupID: command.group, hasTerminal: command.terminal, windowSize: size)
  }

  /// Makes the channel that rings at `doorbell`.
  package func makeChannel(doorbell: any Doorbell) -> PayloadChannel {
    let output = FirstByteSink(output, timeline)
    let errors = self.errors === self.output ? output : FirstByteSink(errors, timeline)
    let channel = PayloadChannel(output: output, errors: errors, doorbell: doorbell, client: self)
    self.channel = channel
    return channel
  }

  /// Begins to read standard input for the command. The loop's thread.
  package func startInput(_ loop: EventLoop, client: any InputPumpClient) throws(SystemError) {
    guard let channel else { return }
    let isRaw = command.terminal && Terminal.isTerminal(0)
    if isRaw { try Terminal.enterRawMode(0) }
    let pump = try InputPump(inherited: 0, loop: loop, consumer: channel, escapes: isRaw, client: client)
    input = pump
    try pump.start()
  }

  /// The signals that are forwarded.
  package var signals: [Int32] { [SIGINT, SIGTERM, SIGHUP, SIGQUIT] + (command.terminal ? [SIGWINCH] : []) }

  /// A signal that came to vmrun. The loop's thread.
  package func forward(_ number: Int32) {
    if number == SIGWINCH {
      if let size = Devices.WindowSize(of: 0) ?? Devices.WindowSize(of: 1) { channel?.send(windowSize: size) }
      return
    }
    if number == SIGINT { interrupts += 1 }
    guard isRunning, interrupts < Self.patience, channel?.send(signal: number) == true else {
      return control.finish(.signal(number))
    }
  }

  /// Writes what is left of the command's output, until `interruption` becomes readable.
  package func finish(interruption: Int32) {
    _ = output.finish(milliseconds: -1, interruption: interruption)
    if errors !== output { _ = errors.finish(milliseconds: -1, interruption: interruption) }
  }

  // MARK: PayloadClient

  package func payload(_ event: PayloadEvent) {
    switch event {
    case .hello: greeted.store(true, ordering: .releasing)
    case .started:
      running.store(true, ordering: .releasing)
    case .exited(let code): control.finish(.commandExited(code: code))
    case .killed(let signal): control.finish(.commandKilled(signal: signal))
    case .failed(let code, let message): control.finish(.commandFailed(code: code, message: message))
    case .violated(let text): control.finish(.failure("the guest broke the command channel's protocol: \(text)"))
    }
  }

  package func payloadTakesInput() { input?.resume() }
}

/// A sink that notes when its first byte came.
private final class FirstByteSink: CreditedSink, @unchecked Sendable {
  private let sink: OutputPump
  private let timeline: Timeline

  init(_ sink: OutputPump, _ timeline: Timeline) {
    self.sink = sink
    self.timeline = timeline
  }

  var room: Int { sink.room }
  func onRoom(_ body: @escaping @Sendable () -> Void) { sink.onRoom(body) }
  func append(_ bytes: Span<UInt8>) {
    timeline.end(.firstByte)
    sink.append(bytes)
  }
}
