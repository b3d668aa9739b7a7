import CLinux
import Hypervise
import Synchronization
import System

/// What serves a guest's accesses to ports. Called on vCPU threads, several at once.
protocol PortSpace: AnyObject {
  /// The guest wrote `bytes`, units of `width` bytes.
  func write(port: UInt16, width: Int, _ bytes: Span<UInt8>)
  /// The guest reads units of `width` bytes; all of `bytes` is to be filled.
  func read(port: UInt16, width: Int, into bytes: inout MutableSpan<UInt8>)
}

/// What serves a guest's accesses to memory that is not RAM. Called on vCPU threads, several at once.
protocol MemorySpace: AnyObject {
  func write(address: UInt64, width: Int, value: UInt64)
  func read(address: UInt64, width: Int) -> UInt64
}

/// Runs one vCPU on the thread that calls `run` until the machine ends.
final class VCPURunner: @unchecked Sendable {
  /// Whether a vCPU that was asked could ever run again by itself.
  enum Pulse: UInt8, AtomicRepresentable {
    /// It was not asked, or has not answered.
    case unknown
    /// It runs, or an interrupt can wake it.
    case alive
    /// It halts with interrupts off.
    case halted
    /// It waits for a start-up message from another vCPU.
    case waiting
  }

  /// The signal that takes a vCPU out of KVM_RUN; its handler does nothing.
  static let kickSignal = SIGUSR1

  private let vcpu: VCPU
  private let ports: any PortSpace
  private let memory: any MemorySpace
  private let control: RunControl
  private let timeline: Timeline?
  private let question = Atomic<Bool>(false)
  private let answer = Atomic<Pulse>(.unknown)

  init(
    vcpu: consuming VCPU, ports: any PortSpace, memory: any MemorySpace, control: RunControl, timeline: Timeline?
  ) {
    self.vcpu = vcpu
    self.ports = ports
    self.memory = memory
    self.control = control
    self.timeline = timeline
  }

  /// What the vCPU answered to the last `ask`.
  var pulse: Pulse { answer.load(ordering: .acquiring) }

  /// Asks for a pulse; the caller then interrupts the thread. The answer comes when the vCPU has left the guest.
  func ask() {
    answer.store(.unknown, ordering: .releasing)
    question.store(true, ordering: .releasing)
    vcpu.page.requestExit()
  }

  /// Makes `run` return as soon as the thread is interrupted; `control` must already be stopping.
  func requestExit() { vcpu.page.requestExit() }

  /// Runs the guest. Returns when `control` stops; whatever ends the guest here is told to it.
  func run() {
    timeline?.end(.vcpu)
    do {
      while !control.isStopping {
        switch try vcpu.run() {
        case .portOut(let port, let width, _): vcpu.withPortOutput { ports.write(port: port, width: width, $0) }
        case .portIn(let port, let width, _): vcpu.withPortInput { ports.read(port: port, width: width, into: &$0) }
        case .mmioWrite(let address, let width, let value): memory.write(address: address, width: width, value: value)
        case .mmioRead(let address, let width): vcpu.completeRead(memory.read(address: address, width: width))
        case .interrupted:
          // Cleared first: a request that comes after this point asks for another exit.
          vcpu.page.clearExitRequest()
          if question.exchange(false, ordering: .acquiring) { answer.store(takePulse(), ordering: .releasing) }
        case .halt: control.finish(.hung(message: "it halted, and this machine has no interrupt controller to wake it"))
        case .shutdown: control.finish(.tripleFault)
        case .systemEvent(let type): control.finish(Self.outcome(ofSystemEvent: type))
        case .endOfInterrupt: break  // every line is edge triggered: there is no level to look at again
        case .other(let reason):
          control.finish(.failure("KVM_RUN returned exit reason \(reason), which vmrun does not know"))
        }
      }
    } catch {
      control.finish(.failure(error.description))
    }
  }

  private func takePulse() -> Pulse {
    do {
      switch Int32(bitPattern: try vcpu.multiprocessorState()) {
      case KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED: return .waiting
      // RFLAGS.IF is bit 9 (Intel SDM volume 1, 3.4.3).
      case KVM_MP_STATE_HALTED: return try vcpu.registers().rflags & 1 << 9 == 0 ? .halted : .alive
      default: return .alive
      }
    } catch { return .alive }
  }

  private static func outcome(ofSystemEvent type: UInt32) -> Outcome {
    switch Int32(bitPattern: type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN: return .powerOff
    case KVM_SYSTEM_EVENT_RESET: return .reboot
    case KVM_SYSTEM_EVENT_CRASH: return .panic(message: "it reported a crash to the hypervisor")
    default: return .failure("the guest asked for system event \(type), which vmrun does not know")
    }
  }
}
