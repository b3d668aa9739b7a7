import Boot
import CLibvirt
import CLinux
import Devices
import Machine
import System

/// One run of a machine through libvirt, from the hand-over to the exit code: what the machine is connected to on the host.
public final class LibvirtSession: EventHandler, InputPumpClient, @unchecked Sendable {
  private enum Source: UInt32 { case ended, signals, timeout, pulse, settling, worker }

  private let handover: Handover
  private let rung: Rung
  private let timeline: Timeline
  private let control: RunControl
  private let loop: EventLoop
  private let link: CommandLink?
  private let console: ConsolePort
  private let worker: DomainWorker
  private let signals: SignalFD
  private let timeout: TimerFD
  private let pulse: TimerFD
  private let settling: TimerFD
  private let staging: Staging

  private var streams: [SerialStream] = []
  private var payload: PayloadPort?
  private var hasStarted = false
  /// When QEMU began to run, in nanoseconds.
  private var startTime: UInt64 = 0
  /// The user as whom QEMU runs, as far as libvirt said so.
  private var user: UInt32?
  private var isVerified = false
  private var hasEnded = false
  /// What the machine's end means once everything that it wrote is here.
  private var settlement: Outcome?
  private var quietTicks = 0
  private var lastWord = (count: 0, ticks: 0)
  private var machine: DomainXML.Machine = .q35
  private var isAccelerated = false

  /// How long a guest may take to its init, in nanoseconds, as on vmrun's own machine: TCG takes some 2 seconds.
  private static let bootLimit: UInt64 = 120_000_000_000
  /// How long the daemon may take to end the domain before it is left to its own devices, in nanoseconds.
  private static let endLimit: UInt64 = 15_000_000_000
  /// The same when QEMU is dead, which the daemon sees only when the system's first process has collected it: some take seconds, and those of
  /// many containers never do.
  private static let deadLimit: UInt64 = 500_000_000
  private static let settlingInterval: UInt64 = 10_000_000

  /// Runs what `handover` asks for; `program` is vmrun's own file, the guest's init.
  /// - Returns: how it ended, and what ran; its machine is "none" when it did not come to that.
  public static func run(_ handover: Handover, program: SharedFile, timeline: Timeline) -> (Outcome, BackendReport) {
    var backend = BackendReport(
      name: "libvirt", acceleration: "emulation", machine: "none", reason: handover.reason,
      kernel: handover.configuration.kernel)
    do throws(LibvirtError) {
      let session = try LibvirtSession(handover, program, timeline)
      let outcome = try session.run()
      backend.acceleration = session.isAccelerated ? "kvm" : "emulation"
      if session.hasStarted { backend.machine = session.machine.rawValue }
      return (outcome, backend)
    } catch {
      Terminal.restore()
      return (.failure(error.description), backend)
    }
  }

  private let files: GuestFiles
  private let memory: UInt64

  private init(_ handover: Handover, _ program: SharedFile, _ timeline: Timeline) throws(LibvirtError) {
    self.handover = handover
    self.timeline = timeline
    let configuration = handover.configuration
    // A reader that goes away is an error of write(2) here, not the end of vmrun.
    clinux_ignore_signal(SIGPIPE)
    let rung = try Rung.choose()
    self.rung = rung
    control = try naming { () throws(SystemError) in try RunControl() }
    loop = try naming { () throws(SystemError) in try EventLoop() }
    let control = control
    if let command = configuration.command {
      link = try naming { () throws(MachineError) in try CommandLink(command, control: control, timeline: timeline) }
    } else {
      link = nil
    }
    let output = try naming { () throws(MachineError) in try ConsoleRules.pump(configuration) }
    console = ConsolePort(output: output)
    // A lost console ends the VM only when it is what the VM is run for.
    if link == nil, let output { control.endOnLoss(of: output, "the console's output") }

    var archive: CommandArchive?
    if let command = configuration.command, let link {
      archive = try naming { () throws(MachineError) in
        let archive = try CommandArchive(command, program: program, channel: .serial)
        try archive.add(link.configuration())
        return archive
      }
    }
    let plan = archive
    memory = try naming { () throws(MachineError) in try CommandArchive.memory(configuration, plan) }
    staging = try Staging(
      bases: Staging.bases(user: geteuid(), runtimeFolder: variable("XDG_RUNTIME_DIR")),
      size: try GuestFiles.stagedSize(configuration, archive), isShared: rung.isShared)
    rung.sweepLogs()
    try staging.keepGuard(log: rung.log(of: staging.name))
    files = try GuestFiles.stage(configuration, archive, in: staging, isShared: rung.isShared)
    timeline.end(.initramfs)
    try rung.enter()
    worker = try DomainWorker(timeline: timeline)
    // Before any thread, all of which inherit what is blocked.
    let wanted = link?.signals ?? [SIGINT, SIGTERM, SIGHUP, SIGQUIT]
    signals = try naming { () throws(SystemError) in try SignalFD(wanted) }
    timeout = try naming { () throws(SystemError) in try TimerFD() }
    pulse = try naming { () throws(SystemError) in try TimerFD() }
    settling = try naming { () throws(SystemError) in try TimerFD() }
  }

  private func run() throws(LibvirtError) -> Outcome {
    defer { Terminal.restore() }
    try connectSerialPorts()
    try naming { () throws(SystemError) in try watch() }
    try worker.start(plan())
    try naming { () throws(SystemError) in
      try startInput()
      try loop.run()
    }
    timeline.end(.exit)
    killQEMU()
    worker.end()
    Terminal.restore()
    console.output?.abort()
    link?.finish(interruption: signals.descriptor.rawValue)
    _ = console.output?.finish(milliseconds: -1, interruption: signals.descriptor.rawValue)
    let reason = qemuReason()
    finish()
    let outcome = control.outcome ?? .failure("the machine ended for no reason")
    if case .failure(let text) = outcome, !reason.isEmpty { return .failure(text + "; QEMU said: " + reason) }
    // A machine that was never there has said nothing.
    guard hasStarted else { return outcome }
    return ConsoleRules.explain(
      outcome, capture: console.capture, isShown: console.output != nil,
      isUnheard: link.map { !$0.isGreeted } ?? false)
  }

  // MARK: The start

  private func connectSerialPorts() throws(LibvirtError) {
    let (isShared, own) = (rung.isShared, geteuid())
    // The system's driver has a user of its own for QEMU, which libvirt tells when QEMU runs.
    let isAllowed: (UInt32) -> Bool = { isShared || $0 == own || $0 == 0 }
    let line = try SerialStream(
      path: staging.path(of: "console"), isShared: isShared, loop: loop, client: console, isAllowed: isAllowed)
    console.join(line)
    streams.append(line)
    guard let link else { return }
    let timeline = timeline
    let port = PayloadPort { timeline.end(.initProcess) }
    let second = try SerialStream(
      path: staging.path(of: "channel"), isShared: isShared, loop: loop, client: port, isAllowed: isAllowed)
    port.join(link.makeChannel(doorbell: port), second)
    streams.append(second)
    payload = port
  }

  private func watch() throws(SystemError) {
    if let limit = handover.configuration.timeout {
      let (deadline, overflow) = timeline.start.addingReportingOverflow(limit)
      let now = Clock.now()
      if !overflow { timeout.arm(nanoseconds: deadline > now ? deadline - now : 1) }
    }
    pulse.arm(nanoseconds: 500_000_000, interval: 500_000_000)
    for (descriptor, source) in [
      (control.ended.descriptor.rawValue, Source.ended), (signals.descriptor.rawValue, .signals),
      (timeout.descriptor.rawValue, .timeout), (pulse.descriptor.rawValue, .pulse),
      (settling.descriptor.rawValue, .settling), (worker.ready.descriptor.rawValue, .worker),
    ] {
      try loop.add(descriptor, events: EPOLLIN.rawValue, token: source.rawValue, handler: self)
    }
  }

  private func plan() -> DomainWorker.Plan {
    let (configuration, files, memory, name) = (handover.configuration, files, memory, staging.name)
    var sockets = [staging.path(of: "console")]
    if link != nil { sockets.append(staging.path(of: "channel")) }
    let paths = sockets
    return DomainWorker.Plan(
      rung: rung, name: name, isSmall: link != nil && configuration.disks.isEmpty,
      acceleration: handover.acceleration
    ) { machine, isAccelerated in
      do throws(LibvirtError) {
        let xml = DomainXML(
          name: name, machine: machine, isAccelerated: isAccelerated, memory: memory, cpus: configuration.cpus,
          kernel: files.kernel, initrd: files.initrd,
          commandLine: try GuestWords.commandLine(configuration, isAccelerated: isAccelerated), disks: files.disks,
          serialSockets: paths)
        return .success(try xml.text())
      } catch {
        return .failure(error)
      }
    }
  }

  private func startInput() throws(SystemError) {
    if let link { return try link.startInput(loop, client: self) }
    guard ConsoleRules.place(handover.configuration) == .stdio else { return }
    let isTerminal = Terminal.isTerminal(0)
    if isTerminal { try Terminal.enterRawMode(0) }
    let input = try InputPump(inherited: 0, loop: loop, consumer: console, escapes: isTerminal, client: self)
    console.join(input)
    try input.start()
  }

  // MARK: The run

  public func handle(events: UInt32, token: UInt32) {
    switch Source(rawValue: token) {
    case .ended: loop.stop()
    case .signals:
      while let number = signals.next() {
        if let link { link.forward(number) } else { control.finish(.signal(number)) }
      }
    case .timeout:
      if timeout.drain() > 0 { control.finish(.timeout(nanoseconds: handover.configuration.timeout ?? 0)) }
    case .pulse: if pulse.drain() > 0 { look() }
    case .settling: if settling.drain() > 0 { settle() }
    case .worker:
      worker.ready.drain()
      while let report = worker.next() { take(report) }
    case nil: break
    }
  }

  private func take(_ report: DomainWorker.Report) {
    switch report {
    case .choice(let machine, let isAccelerated):
      (self.machine, self.isAccelerated) = (machine, isAccelerated)
      guard !handover.configuration.quiet, handover.reason != Handover.asked else { return }
      Log.message(
        "backend libvirt (QEMU, \(isAccelerated ? "KVM" : "emulation"), \(rung.uri)): \(handover.reason)")
    case .started(let user):
      (hasStarted, startTime, self.user) = (true, Clock.now(), user)
      verify()
    case .failed(let error): control.finish(.failure(error.description))
    case .news(let news): take(news)
    case .ended: hasEnded = true
    }
  }

  private func take(_ news: DomainNews) {
    switch news {
    case .shutDown: settle(as: .powerOff)
    case .reboot: settle(as: .reboot)
    case .stopped:
      if settlement == nil { settle(as: .failure("the virtual machine was ended from outside")) }
    case .destroyed: settle(as: .failure("the virtual machine was ended from outside (virsh destroy)"))
    case .failed: settle(as: .failure("QEMU failed"))
    case .crashed: settle(as: .failure("QEMU crashed"))
    case .paused(ioError: true):
      control.finish(.failure("QEMU stopped the machine: a disk's file cannot be written (is its file system full?)"))
    case .paused(ioError: false), .other: break
    case .connectionLost:
      control.finish(.failure("the connection to libvirt (\(rung.uri)) was lost: its daemon has ended or hangs"))
    }
  }

  /// Once QEMU runs and has connected its ports: whether it is QEMU, and then its files are of no more use.
  private func verify() {
    guard hasStarted, !isVerified, streams.allSatisfy({ $0.isConnected }) else { return }
    isVerified = true
    for stream in streams {
      let peer = stream.peer?.user ?? .max
      if rung.isShared, peer != 0, peer != geteuid(), let user, peer != user {
        return control.finish(.failure("user \(peer) took QEMU's place at the machine's serial port"))
      }
    }
    staging.remove()
  }

  /// The machine has ended by itself: `outcome` counts once everything that it wrote before is here.
  private func settle(as outcome: Outcome) {
    guard settlement == nil else { return }
    settlement = outcome
    settling.arm(nanoseconds: Self.settlingInterval, interval: Self.settlingInterval)
  }

  private func settle() {
    guard let settlement else { return }
    var came = false
    var waits = false
    for stream in streams {
      if stream.poll() { came = true }
      // The reader of the output takes its time.
      if !stream.isClosed, stream.room == 0 { waits = true }
    }
    quietTicks = came || waits ? 0 : quietTicks + 1
    if quietTicks >= 3 { control.finish(settlement) }
  }

  /// Every half second: what no event tells.
  private func look() {
    verify()
    console.look()
    guard hasStarted, settlement == nil else { return }
    if let link, !link.isGreeted, Clock.now() &- startTime > Self.bootLimit {
      return control.finish(.hung(message: "its init did not start within \(Duration.text(Self.bootLimit))"))
    }
    // QEMU does not tell of processors that have halted for good. The kernel's last word does, when nothing follows it.
    let word = console.capture.tail(lines: 1)
    lastWord = (word.utf8.count, word.utf8.count == lastWord.count ? lastWord.ticks + 1 : 0)
    if lastWord.ticks >= 1, Self.isLastWord(word) {
      // A kernel that knows no way to switch the machine off halts it instead.
      control.finish(
        machine == .microvm ? .powerOff : .hung(message: "every processor halted with interrupts off"))
    }
  }

  /// "[    1.247269] reboot: System halted", and nothing else.
  static func isLastWord(_ line: String) -> Bool {
    let text = Array(line.utf8.filter { $0 != 10 && $0 != 13 })
    let word = Array("reboot: System halted".utf8)
    return text.count >= word.count && text.suffix(word.count).elementsEqual(word)
  }

  public func typed(_ escape: Escape) {
    switch escape {
    case .end: control.finish(.escape)
    case .help: Log.raw(EscapeFilter.help)
    }
  }

  // MARK: The end

  /// Ends QEMU at once, as vmrun's own machine ends: asked politely, which is all that libvirt does at first, it takes up to two seconds
  /// for it. Whatever a guest has flushed to a disk is the host kernel's by now.
  private func killQEMU() {
    if isQEMUAlive, let process = streams[0].peer?.process { _ = kill(process, SIGKILL) }
  }

  /// Whether the process at the other end of the console is there, not merely its remains, and this run's QEMU.
  private var isQEMUAlive: Bool {
    guard isVerified, let process = streams[0].peer?.process, process > 1 else { return false }
    // unsafe: the string lives during the call.
    return unsafe clibvirt_process_has(process, staging.name)
  }

  /// Waits until the domain is gone, and removes what is left of it. A daemon that takes too long does it when this process's connection is
  /// gone, and the guard does the rest.
  private func finish() {
    let start = Clock.now()
    while !hasEnded, Clock.now() - start < (isVerified && !isQEMUAlive ? Self.deadLimit : Self.endLimit) {
      var entries: InlineArray<2, pollfd> = [
        pollfd(fd: worker.ready.descriptor.rawValue, events: Int16(POLLIN), revents: 0),
        pollfd(fd: signals.descriptor.rawValue, events: Int16(POLLIN), revents: 0),
      ]
      var span = entries.mutableSpan
      // unsafe: poll(2) is given the array's two entries.
      _ = unsafe span.withUnsafeMutableBufferPointer { unsafe poll($0.baseAddress, 2, 100) }
      worker.ready.drain()
      while let report = worker.next() { if case .ended = report { hasEnded = true } }
      if signals.next() != nil { break }
    }
    guard hasEnded else { return }
    // unsafe: the string lives during the call.
    _ = unsafe unlink(rung.log(of: staging.name))
    rung.sweepLogs()
    staging.finish()
  }

  /// What QEMU wrote to its log when it failed while it ran; empty otherwise.
  private func qemuReason() -> String {
    guard hasStarted, case .failure? = settlement else { return "" }
    guard let file = try? FileDescriptor.open(rung.log(of: staging.name), O_RDONLY) else { return "" }
    return QEMULog.reason(in: file)
  }
}
