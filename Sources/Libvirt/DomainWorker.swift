import CLibvirt
import CLinux
import Machine
import System

/// Calls libvirt, whose functions wait for a daemon, on a thread of its own, so that the event loop stays free for signals and time limits.
final class DomainWorker: DomainWatcher, @unchecked Sendable {
  /// What the event loop is told.
  enum Report {
    /// What the machine will be.
    case choice(DomainXML.Machine, isAccelerated: Bool)
    /// QEMU runs, as this user if libvirt says so.
    case started(user: UInt32?)
    case failed(LibvirtError)
    case news(DomainNews)
    /// The domain is gone, and so is the connection.
    case ended
  }

  /// What is started.
  struct Plan: Sendable {
    let rung: Rung
    let name: String
    /// Whether the machine has no use for PCI.
    let isSmall: Bool
    let acceleration: Handover.Acceleration
    /// The domain's document for what libvirt offers.
    let document: @Sendable (DomainXML.Machine, _ isAccelerated: Bool) -> Result<String, LibvirtError>
  }

  /// Readable when there is a report.
  let ready: EventFD

  private let timeline: Timeline
  private let lock = Lock()
  private let ending = Condition()
  private var reports: [Report] = []
  private var isEnding = false

  init(timeline: Timeline) throws(LibvirtError) {
    self.timeline = timeline
    ready = try naming { () throws(SystemError) in try EventFD() }
  }

  /// Starts the domain of `plan`.
  func start(_ plan: Plan) throws(LibvirtError) {
    // The library's own functions take more stack than vmrun's.
    let thread = try naming { () throws(SystemError) in
      try Thread(stackSize: 2 << 20) {
        do throws(LibvirtError) { try self.run(plan) } catch { self.tell(.failed(error)) }
        self.tell(.ended)
      }
    }
    // It runs on by itself: a daemon that hangs must not keep the process.
    _ = consume thread
  }

  /// Asks for the domain's end. Any thread.
  func end() {
    lock.withLock { isEnding = true }
    ending.broadcast()
  }

  /// The next report, or nil when there is none yet.
  func next() -> Report? { lock.withLock { reports.isEmpty ? nil : reports.removeFirst() } }

  func domain(_ news: DomainNews) { tell(.news(news)) }

  private func tell(_ report: Report) {
    lock.withLock { reports.append(report) }
    ready.signal()
  }

  private func run(_ plan: Plan) throws(LibvirtError) {
    guard clibvirt_start() == 0 else { throw .last("libvirt") }
    let connection = try Connection(plan.rung.uri)
    timeline.end(.connect)
    let accelerates = Self.accelerates(plan.acceleration) && connection.offers("q35", accelerated: true)
    let machine: DomainXML.Machine =
      plan.isSmall && connection.offers("microvm", accelerated: accelerates) ? .microvm : .q35
    guard machine == .microvm || connection.offers("q35", accelerated: accelerates) else {
      throw LibvirtError("libvirt (\(plan.rung.uri)) finds no QEMU for x86_64; install it: \(Rung.packages)")
    }
    tell(.choice(machine, isAccelerated: accelerates))
    let document = try plan.document(machine, accelerates).get()
    try connection.watch(plan.name, self)
    if lock.withLock({ isEnding }) { return }
    let domain = try connection.start(document)
    timeline.end(.domainStart)
    tell(.started(user: plan.rung.isShared ? domain.user() : nil))
    lock.lock()
    while !isEnding { ending.wait(lock) }
    lock.unlock()
    domain.destroy()
  }

  /// Whether KVM is worth asking for. Where nobody has tried, only the modules of processors that run every kernel are trusted.
  private static func accelerates(_ verdict: Handover.Acceleration) -> Bool {
    switch verdict {
    case .kvm: true
    case .emulation: false
    case .unknown: can("/sys/module/kvm_intel", F_OK) || can("/sys/module/kvm_amd", F_OK)
    }
  }
}
