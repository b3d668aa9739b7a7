import Boot
import CLinux
import Devices
import GuestMemory
import KernelCache
import System
import Virtio

/// One run of a Linux machine, from the kernel file to the exit code: what the machine is connected to on the host.
final class LinuxSession: PowerClient, InputPumpClient, @unchecked Sendable {
  private let configuration: Configuration
  private let timeline: Timeline
  private let machine: LinuxMachine
  private let control: RunControl
  private let link: CommandLink?
  private let capture = ConsoleCapture()
  private let console: OutputPump?

  /// Boots a Linux kernel and waits for its end.
  static func run(_ configuration: Configuration, timeline: Timeline) -> Outcome {
    do { return try boot(configuration, timeline: timeline) } catch { return .failure(error.description) }
  }

  private static func boot(_ configuration: Configuration, timeline: Timeline) throws(MachineError) -> Outcome {
    StandardStreams.hold()
    // A reader that goes away is an error of write(2) here, not the end of vmrun.
    clinux_ignore_signal(SIGPIPE)
    let kernel = try KernelLoader.prepare(path: configuration.kernel ?? "", mode: configuration.boot)
    if let warning = kernel.warning, !configuration.quiet { Log.message(warning) }
    timeline.end(.kernelFile)
    var archive: CommandArchive?
    if let command = configuration.command { archive = try CommandArchive(command) }
    let memory = try CommandArchive.memory(configuration, archive)
    let machine = try LinuxMachine(configuration, memory: memory, timeline: timeline)
    let session = try LinuxSession(configuration, machine: machine)
    return try session.run(kernel, &archive)
  }

  private init(_ configuration: Configuration, machine: LinuxMachine) throws(MachineError) {
    self.configuration = configuration
    self.machine = machine
    timeline = machine.timeline
    control = machine.control
    if let command = configuration.command {
      link = try CommandLink(command, control: machine.control, timeline: machine.timeline)
    } else {
      link = nil
    }
    let link = link
    console = try ConsoleRules.pump(configuration)
    // A lost console ends the VM only when it is what the VM is run for.
    if link == nil, let console { control.endOnLoss(of: console, "the console's output") }
  }

  private func run(_ kernel: borrowing PreparedKernel, _ archive: inout CommandArchive?) throws(MachineError) -> Outcome
  {
    try KernelLoader.load(kernel, pages: configuration.kernelPages, into: machine.ram)
    let initrd = try loadInitrd(kernel, archive)
    try machine.attach(Entropy(memory: machine.ram))
    for (index, disk) in configuration.disks.enumerated() {
      let block = try naming("--disk") { () throws(DiskError) in
        try Block.open(path: disk.path, readOnly: disk.readOnly, serial: "vmrun-disk-\(index)", memory: machine.ram)
      }
      try machine.attach(block)
    }

    let serial = Serial16550(
      interrupt: machine.ioapic.line(pin: Int(Layout.com1GSI)), output: console.map { TeeSink(capture, $0) } ?? capture)
    let ports = try makePorts(serial)
    let processors = try machine.makeProcessors(
      kernel: kernel, initrd: initrd, commandLine: commandLine(), serialPorts: link == nil ? 1 : 2, ports: ports)
    let watch = try naming { () throws(SystemError) in
      try Watch(
        loop: machine.loop, control: control, processors: processors, link: link,
        deadline: configuration.timeout.map { timeline.start &+ $0 }, limit: configuration.timeout)
    }
    defer { Terminal.restore() }
    try naming { () throws(SystemError) in
      try watch.start()
      try startInput(serial)
      try processors.start(control: control)
      // The guest boots on its own threads: this one has time for what is only good for the next start, and for giving back
      // what was noted about each file of the root, and the code that only the start needed.
      publish(kernel.publication)
      archive = nil
      _ = malloc_trim(0)
      clinux_give_back_code()
      try machine.loop.run()
    }
    timeline.end(.exit)
    console?.abort()
    processors.stop()
    machine.resetDevices()
    Terminal.restore()
    link?.finish(interruption: watch.signalDescriptor)
    _ = console?.finish(milliseconds: -1, interruption: watch.signalDescriptor)
    return explain(control.outcome ?? .failure("the machine ended for no reason"))
  }

  /// A cache that cannot take the kernel costs the next start its time, and this one nothing.
  private func publish(_ publication: Publication?) {
    do { try publication?.publish() } catch {
      if !configuration.quiet { Log.message("the kernel is not kept in the cache: \(error.description)") }
    }
  }

  private func loadInitrd(_ kernel: borrowing PreparedKernel, _ archive: CommandArchive?) throws(MachineError) -> Range<
    UInt64
  > {
    guard let archive, let link else { return try Initrd.load(configuration.initrd, into: machine.ram, kernel: kernel) }
    try archive.add(link.configuration())
    let address = try Initrd.place(size: archive.size, ram: machine.ram, kernel: kernel, what: "the copy of --rootfs")
    try archive.write(to: machine.ram, at: address)
    return address..<address + archive.size
  }

  private func makePorts(_ serial: Serial16550) throws(MachineError) -> PortBus {
    guard let link else { return PortBus(console: serial, doorbell: nil, channel: nil, window: nil, client: self) }
    let bell = Serial16550(
      interrupt: machine.ioapic.line(pin: Int(Layout.com2GSI)), output: ConsoleCapture(capacity: 1))
    let channel = link.makeChannel(doorbell: SerialDoorbell(bell))
    let window = try ChannelWindow(channel: channel, vm: machine.vm, slot: UInt32(machine.ram.regions.count))
    return PortBus(console: serial, doorbell: bell, channel: channel, window: window, client: self)
  }

  private func startInput(_ serial: Serial16550) throws(SystemError) {
    if let link { return try link.startInput(machine.loop, client: self) }
    guard configuration.console ?? .stdio == .stdio else { return }
    let isTerminal = Terminal.isTerminal(0)
    if isTerminal { try Terminal.enterRawMode(0) }
    let input = try InputPump(inherited: 0, loop: machine.loop, consumer: serial, escapes: isTerminal, client: self)
    serial.onReceiveSpace { input.resume() }
    try input.start()
  }

  private func commandLine() throws(MachineError) -> KernelCommandLine {
    // There is no PCI bus, and looking for one takes some hundred exits.
    try ConsoleRules.commandLine(configuration, own: "reboot=a tsc=reliable no_timer_check", forCommands: "pci=off")
  }

  private func explain(_ outcome: Outcome) -> Outcome {
    ConsoleRules.explain(
      outcome, capture: capture, isShown: console != nil, isUnheard: link.map { !$0.isGreeted } ?? false)
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

  func typed(_ escape: Escape) {
    switch escape {
    case .end: control.finish(.escape)
    case .help: Log.raw(EscapeFilter.help)
    }
  }
}
