import Boot
import CLinux
import Devices
import GuestMemory
import System
import Virtio

/// One run of a Linux machine, from the kernel file to the exit code: what the machine is connected to on the host.
final class LinuxSession: PowerClient, InputPumpClient, @unchecked Sendable {
  private let configuration: Configuration
  private let timeline: Timeline
  private let control: RunControl
  private let capture = ConsoleCapture()

  private init(_ configuration: Configuration, timeline: Timeline, control: RunControl) {
    self.configuration = configuration
    self.timeline = timeline
    self.control = control
  }

  /// Boots a Linux kernel and waits for its end.
  static func run(_ configuration: Configuration, timeline: Timeline) -> Outcome {
    do { return try boot(configuration, timeline: timeline) } catch { return .failure(error.description) }
  }

  private static func boot(_ configuration: Configuration, timeline: Timeline) throws(MachineError) -> Outcome {
    StandardStreams.hold()
    clinux_ignore_signal(SIGPIPE)
    let kernel = try prepare(configuration)
    let machine = try LinuxMachine(
      configuration, memory: configuration.memory ?? Configuration.linuxMemory, timeline: timeline)
    let session = LinuxSession(configuration, timeline: timeline, control: machine.control)
    return try session.run(machine, kernel)
  }

  private static func prepare(_ configuration: Configuration) throws(MachineError) -> PreparedKernel {
    try KernelLoader.prepare(path: configuration.kernel ?? "", mode: configuration.boot)
  }

  private func run(_ machine: LinuxMachine, _ kernel: borrowing PreparedKernel) throws(MachineError) -> Outcome {
    try KernelLoader.load(kernel, into: machine.ram)
    let initrd = try Initrd.load(configuration.initrd, into: machine.ram, kernel: kernel)
    try machine.attach(Entropy(memory: machine.ram))
    for (index, disk) in configuration.disks.enumerated() {
      let block = try naming("--disk") { () throws(DiskError) in
        try Block.open(path: disk.path, readOnly: disk.readOnly, serial: "vmrun-disk-\(index)", memory: machine.ram)
      }
      try machine.attach(block)
    }

    let output = try consoleOutput()
    let serial = Serial16550(
      interrupt: machine.ioapic.line(pin: Int(Layout.com1GSI)), output: output.map { TeeSink(capture, $0) } ?? capture)
    let ports = PortBus(console: serial, doorbell: nil, channel: nil, client: self)
    let processors = try machine.makeProcessors(
      kernel: kernel, initrd: initrd, commandLine: commandLine(), serialPorts: 1, ports: ports)
    let watch = try naming { () throws(SystemError) in
      try Watch(
        loop: machine.loop, control: control, processors: processors, signals: [SIGINT, SIGTERM, SIGHUP, SIGQUIT],
        deadline: configuration.timeout.map { timeline.start &+ $0 }, limit: configuration.timeout
      ) { [control] number in control.finish(.signal(number)) }
    }
    output?.onLoss { [control] loss in
      switch loss {
      case .readerGone: control.finish(.outputClosed)
      case .failed(let errno): control.finish(.failure("cannot write the console's output: \(errno)"))
      }
    }
    defer { Terminal.restore() }
    try naming { () throws(SystemError) in
      try watch.start()
      if configuration.console ?? .stdio == .stdio {
        if Terminal.isTerminal(0) { try Terminal.enterRawMode(0) }
        let input = try InputPump(inherited: 0, loop: machine.loop, consumer: serial, escapes: true, client: self)
        serial.onReceiveSpace { input.resume() }
        input.start()
      }
      try processors.start(control: control)
      try machine.loop.run()
    }
    timeline.end(.exit)
    output?.abort()
    processors.stop()
    machine.resetDevices()
    Terminal.restore()
    if let output { drain(output, watch) }
    return explain(control.outcome ?? .failure("the machine ended for no reason"))
  }

  /// Writes what is left of the console's output, as long as nobody asks a second time to stop.
  private func drain(_ output: OutputPump, _ watch: Watch) {
    while !output.drain(milliseconds: 50) {
      if watch.nextSignal() != nil { return }
    }
  }

  /// A reset or a dead processor right after a panic was the panic's doing.
  private func explain(_ outcome: Outcome) -> Outcome {
    switch outcome {
    case .reboot, .tripleFault, .hung:
      if let message = capture.panicMessage() { return .panic(message: message) }
      return outcome
    default: return outcome
    }
  }

  private func consoleOutput() throws(MachineError) -> OutputPump? {
    switch configuration.console ?? .stdio {
    case .stdio: return OutputPump(inherited: 1, coalesce: true)
    case .standardError: return OutputPump(inherited: 2, coalesce: true)
    case .none: return nil
    case .file(let path):
      return try naming("--console") { () throws(SystemError) in
        OutputPump(try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o666), coalesce: true)
      }
    }
  }

  private func commandLine() throws(MachineError) -> KernelCommandLine {
    var line = KernelCommandLine()
    try naming("--append") { () throws(CommandLineError) in
      try line.add("console=ttyS0 panic=-1 tsc=reliable no_timer_check")
      try line.append(configuration.append)
    }
    return line
  }

  // MARK: Clients

  func power(_ event: PowerEvent) {
    switch event {
    case .powerOff: control.finish(.powerOff)
    case .reboot: control.finish(.reboot)
    case .exit(let code): control.finish(.exit(code: code))
    case .marker(1): timeline.end(.firstEntry)
    case .marker(2): timeline.end(.kernel)
    case .marker(3): timeline.end(.initProcess)
    case .marker: break
    }
  }

  func escapeTyped() { control.finish(.escape) }
}
