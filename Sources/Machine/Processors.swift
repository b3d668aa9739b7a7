import Boot
import CLinux
import Hypervise
import System

/// The vCPUs of a Linux machine and their threads.
final class Processors {
  private let runners: [VCPURunner]
  private var threads: [ThreadBox] = []

  /// Threads are move-only; an array needs a box for each.
  private final class ThreadBox {
    private var thread: Thread?
    init(_ thread: consuming Thread) { self.thread = consume thread }
    func interrupt(_ signal: Int32) { thread?.interrupt(signal) }
    func join() { thread.take()?.join() }
  }

  /// Creates `count` vCPUs in `vm`, the first at `entry`; the others wait for the guest's start-up messages.
  init(
    count: UInt32, vm: SharedVM, cpuid: CPUIDTable, entry: EntryState, ports: any PortSpace, memory: any MemorySpace,
    control: RunControl, timeline: Timeline
  ) throws(KVMError) {
    var runners: [VCPURunner] = []
    for id in 0..<count {
      let vcpu = try vm.vm.createVCPU(id: id)
      CPUIDPolicy.apply(to: cpuid, apicID: id, count: count, tscDeadline: true)
      try vcpu.set(cpuid)
      // A KVM that does not let them be set has them right, or cannot have them: the kernel copes with either.
      _ = try vcpu.set([.memoryTypeWriteBack, .miscEnableFastStrings])
      if id == 0 { try Self.enter(vcpu, entry) }
      runners.append(
        VCPURunner(vcpu: vcpu, ports: ports, memory: memory, control: control, timeline: id == 0 ? timeline : nil))
    }
    self.runners = runners
  }

  private static func enter(_ vcpu: borrowing VCPU, _ entry: EntryState) throws(KVMError) {
    var special = try vcpu.specialRegisters()
    special.cs = segment(entry.code)
    let data = segment(entry.data)
    (special.ds, special.es, special.fs, special.gs, special.ss) = (data, data, data, data, data)
    special.tr = segment(entry.task)
    special.gdt = kvm_dtable(base: entry.gdtBase, limit: entry.gdtLimit, padding: (0, 0, 0))
    special.idt = kvm_dtable(base: 0, limit: 0, padding: (0, 0, 0))
    special.cr0 = entry.cr0
    special.cr3 = entry.cr3
    special.cr4 = entry.cr4
    special.efer = entry.efer
    try vcpu.set(special)
    var registers = kvm_regs()
    registers.rip = entry.rip
    registers.rsi = entry.rsi
    registers.rsp = entry.rsp
    registers.rflags = entry.rflags
    try vcpu.set(registers)
  }

  private static func segment(_ state: SegmentState) -> kvm_segment {
    var segment = kvm_segment()
    segment.base = state.base
    segment.limit = state.limit
    segment.selector = state.selector
    segment.type = state.type
    segment.present = state.present ? 1 : 0
    segment.dpl = state.privilege
    segment.db = state.big ? 1 : 0
    segment.s = state.isCodeOrData ? 1 : 0
    segment.l = state.long ? 1 : 0
    segment.g = state.granular ? 1 : 0
    return segment
  }

  /// Starts a thread for each vCPU. On failure those already started have been stopped.
  func start(control: RunControl) throws(SystemError) {
    guard clinux_install_interrupting_handler(VCPURunner.kickSignal) == 0 else {
      throw SystemError("sigaction", "", .current)
    }
    for runner in runners {
      do { threads.append(ThreadBox(try Thread { runner.run() })) } catch {
        control.finish(.failure("cannot start a vCPU's thread: \(error.errno)"))
        stop()
        throw error
      }
    }
  }

  /// Takes every vCPU out of the guest and waits for its thread; `control` must be stopping.
  func stop() {
    for (runner, thread) in zip(runners, threads) {
      runner.requestExit()
      thread.interrupt(VCPURunner.kickSignal)
    }
    for thread in threads { thread.join() }
    threads = []
  }

  /// Asks every vCPU for its pulse; look at `hang` some time later.
  func ask() {
    for (runner, thread) in zip(runners, threads) {
      runner.ask()
      thread.interrupt(VCPURunner.kickSignal)
    }
  }

  /// True when every vCPU has answered, none could run again by itself, and one of them once did.
  var isHung: Bool {
    var halted = false
    for runner in runners {
      switch runner.pulse {
      case .halted: halted = true
      case .waiting: break
      case .unknown, .alive: return false
      }
    }
    return halted
  }
}
