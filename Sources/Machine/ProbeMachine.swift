import Boot
import CLinux
import GuestMemory
import Hypervise
import ProbeGuest
import ProbeGuestABI
import System

/// The probe guest's machine: 2 MiB, one vCPU on the calling thread, no interrupt controller, and only so much processor time.
struct ProbeMachine {
  /// Processor time of this thread, in nanoseconds, after which a step is ended. In a lab of emulated processors the whole guest takes a
  /// fraction of it.
  static let processorTime: UInt64 = 50_000_000
  /// Time on the clock after which the guest is given up, whatever it got of the processor.
  static let patience: UInt64 = 3_000_000_000
  /// How often the loop is timed at most: a try in which the processor was taken away says nothing.
  static let tries = 2
  /// How often the guest is interrupted for a look at the time, in nanoseconds. It repeats, since a signal just before KVM_RUN is lost.
  private static let period = 5_000_000

  private(set) var trace = ProbeTrace()
  private var stepBegan: UInt64 = 0
  private var loopBegan: UInt64 = 0
  private var triesLeft = ProbeMachine.tries
  private let giveUp: UInt64

  private init() { giveUp = Clock.now() &+ Self.patience }

  /// Runs the probe guest on `kvm` and tells what it showed.
  static func run(_ kvm: borrowing KVM) -> ProbeTrace {
    var machine = ProbeMachine()
    do throws(KVMError) {
      try machine.boot(kvm)
    } catch {
      machine.trace.ending = Self.ending(error)
    }
    return machine.trace
  }

  private static func ending(_ error: KVMError) -> ProbeTrace.Ending {
    switch error {
    case .cannotRunGuest: return .gaveUp
    case .missingCapability(let name): return .refused("lacks \(name)")
    case .entryRefused(let reason):
      return .refused("refuses a guest in 64-bit mode (hardware reason 0x\(String(reason, radix: 16)))")
    default: return .failed(error.description)
    }
  }

  private mutating func boot(_ kvm: borrowing KVM) throws(KVMError) {
    try LinuxMachine.requireCapabilities(of: kvm)
    let vm = try kvm.createVM()
    let ram: GuestRAM
    do {
      ram = try GuestRAM(
        count: UInt64(PROBE_MEMORY), holeStart: Layout.holeStart, holeEnd: Layout.holeEnd, hugePages: false)
    } catch {
      trace.ending = .failed("no memory for the probe guest: \(error.errno)")
      return
    }
    try vm.setMemory(ram)
    try LinuxMachine.reserveIntelPages(of: vm)
    do { try Self.load(into: ram) } catch { die("the probe guest does not fit its memory: \(error)") }
    let vcpu = try vm.createVCPU(id: 0)
    let cpuid = try kvm.supportedCPUID()
    CPUIDPolicy.apply(to: cpuid, apicID: 0, count: 1, tscDeadline: false)
    try vcpu.set(cpuid)
    try vcpu.set(MinimalLayout.specialRegisters(vcpu.specialRegisters(), pageTables: UInt64(PROBE_PAGE_TABLES)))
    var registers = kvm_regs()
    registers.rip = ProbeGuest.loadAddress
    registers.rsp = UInt64(PROBE_STACK_TOP) - 8
    registers.rflags = 1 << 1
    try vcpu.set(registers)
    guard clinux_install_interrupting_handler(SIGALRM) == 0 else { throw .call("sigaction", .current) }
    let timer = clinux_thread_timer_start(SIGALRM, Self.period)
    guard timer >= 0 else { throw .call("timer_create", .current) }
    defer { clinux_thread_timer_end(timer, SIGALRM) }
    try loop(vcpu)
  }

  private static func load(into ram: GuestRAM) throws(GuestMemoryError) {
    // unsafe: the image is constant data, read during the call only.
    try unsafe ProbeGuest.withImage { image throws(GuestMemoryError) in
      try unsafe ram.write(GuestAddress(ProbeGuest.loadAddress), image)
    }
    // Present, writable, open to user mode; one large page (Intel SDM volume 3, 4.5).
    let (entry, large): (UInt64, UInt64) = (0b111, 1 << 7)
    let tables = UInt64(PROBE_PAGE_TABLES)
    try ram.store64(GuestAddress(tables), tables + 0x1000 | entry)
    try ram.store64(GuestAddress(tables + 0x1000), tables + 0x2000 | entry)
    try ram.store64(GuestAddress(tables + 0x2000), entry | large)
  }

  private mutating func loop(_ vcpu: borrowing VCPU) throws(KVMError) {
    stepBegan = ThreadClock.now()
    while true {
      switch try vcpu.run() {
      case .portOut(let port, 4, 1):
        var value: UInt32 = 0
        vcpu.withPortOutput { bytes in for index in bytes.indices { value |= UInt32(bytes[index]) << (UInt32(index) * 8) } }
        if isOver(port, value) { return }
      case .portIn(let port, 4, 1):
        let answer: UInt8 = Int(port) == PROBE_PORT_SPEED && wantsAnotherTry ? 1 : 0
        vcpu.withPortInput { bytes in for index in bytes.indices { bytes[index] = index == 0 ? answer : 0 } }
      case .interrupted:
        if ThreadClock.now() - stepBegan >= Self.processorTime { return trace.ending = .stuck }
        if Clock.now() >= giveUp { return trace.ending = .starved }
      case .shutdown: return trace.ending = .shutdown
      case let other: return trace.ending = .refused("answers the probe guest by \(other.name), which it never asks for")
      }
    }
  }

  /// Takes what the guest wrote to a port; whether that is its end.
  private mutating func isOver(_ port: UInt16, _ value: UInt32) -> Bool {
    switch Int(port) {
    case PROBE_PORT_STEP:
      trace.step = Int(value)
      stepBegan = ThreadClock.now()
      return trace.step == PROBE_STEP_DONE
    case PROBE_PORT_WRONG:
      trace.ending = .wrong
      return true
    case PROBE_PORT_SPEED where value != 0: loopBegan = ThreadClock.now()
    case PROBE_PORT_SPEED:
      trace.fastest = min(trace.fastest ?? .max, ThreadClock.now() - loopBegan)
      triesLeft -= 1
    default: break
    }
    return false
  }

  /// Whether the loop was slow so far, and there is time for one that may be faster.
  private var wantsAnotherTry: Bool {
    guard let fastest = trace.fastest, triesLeft > 0 else { return false }
    return fastest > UInt64(PROBE_SPEED_INSTRUCTIONS) * ProbeTrace.slowestInstruction
      && ThreadClock.now() - stepBegan + fastest < Self.processorTime
  }
}

/// CLOCK_THREAD_CPUTIME_ID: what the calling thread got of a processor, guest code included.
enum ThreadClock {
  /// Nanoseconds.
  static func now() -> UInt64 {
    var time = timespec()
    // unsafe: clock_gettime fills the one struct it is given.
    _ = unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }
}
