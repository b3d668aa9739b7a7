import Hypervise
import ProbeGuestABI

/// What the probe guest does, step by step (images/probe).
enum ProbeStep {
  /// A step by its number in the guest's ABI, in the words of a message; nil for a number that is none.
  static func name(_ number: Int) -> String? {
    switch number {
    case PROBE_STEP_ENTRY: return "the first instruction in 64-bit mode"
    case PROBE_STEP_SPEED: return "a plain loop"
    case PROBE_STEP_CMPXCHG16B: return "lock cmpxchg16b"
    case PROBE_STEP_FXSAVE: return "fxsave and fxrstor"
    case PROBE_STEP_XSAVE: return "xsetbv, xsave and xrstor"
    case PROBE_STEP_CPUID: return "cpuid"
    case PROBE_STEP_MSR: return "the model-specific registers that kernels set first"
    case PROBE_STEP_PAGING: return "changes of cr3, cr4 and page tables"
    case PROBE_STEP_DESCRIPTORS: return "descriptor tables"
    case PROBE_STEP_EXCEPTION: return "an exception and iretq"
    case PROBE_STEP_SWAPGS: return "swapgs"
    case PROBE_STEP_SYSCALL: return "sysretq and syscall"
    case PROBE_STEP_TSC: return "rdtsc"
    default: return nil
    }
  }
}

/// What one run of the probe guest showed, and what follows from it.
struct ProbeTrace {
  /// How it ended.
  enum Ending: Equatable {
    /// All steps were done.
    case done
    /// A step ran and gave a wrong result.
    case wrong
    /// KVM could not execute an instruction (KVM_EXIT_INTERNAL_ERROR).
    case gaveUp
    /// The processor shut down: an instruction raised an exception that it should not.
    case shutdown
    /// A step went on until its processor time was used up.
    case stuck
    /// The guest got too little processor time for a verdict.
    case starved
    /// KVM refused the guest as a whole.
    case refused(String)
    /// Something that says nothing about KVM's ability.
    case failed(String)
  }

  /// The last step that was announced; 0 before the first.
  var step = 0
  /// Nanoseconds of processor time that the timed loop took at best; nil when it was not finished.
  var fastest: UInt64?
  var ending = Ending.done

  /// Above this, guest code is emulated. What executes guest code at all needs a nanosecond or less for an instruction, a processor that is
  /// itself emulated by translation needs some five; an emulator of single instructions needs 600 to 1100. This is ten times away from
  /// either.
  static let slowestInstruction: UInt64 = 60

  /// What follows, and why: a clause about `subject`, "KVM here (kvm_pvm)".
  func verdict(_ subject: String) -> (ability: KVMProbe.Ability, reason: String) {
    switch ending {
    case .starved: return (.unanswered, "the probe guest got no processor time: this machine is too busy")
    case .failed(let message): return (.unanswered, message)
    case .refused(let message): return (.incapable, "\(subject) \(message)")
    default: break
    }
    let slow = slowness
    let failure = failedStep
    if slow == nil, failure == nil { return (.capable, KVMProbe.proven) }
    var reason = subject
    if let slow { reason += " " + slow }
    if let failure { reason += (slow == nil ? " " : ", and ") + failure }
    return (.incapable, reason)
  }

  /// What is to be said about the speed; nil when it is good.
  private var slowness: String? {
    let instructions = UInt64(PROBE_SPEED_INSTRUCTIONS)
    guard let fastest else {
      let least = Duration.text(ProbeMachine.processorTime / instructions)
      return ending == .stuck && step == PROBE_STEP_SPEED ? "emulates guest code, more than \(least) per instruction" : nil
    }
    guard fastest > instructions * Self.slowestInstruction else { return nil }
    return "emulates guest code, \(Duration.text(fastest / instructions)) per instruction"
  }

  /// What is to be said about the step that failed; nil when none did.
  private var failedStep: String? {
    let name = ProbeStep.name(step) ?? "what stock kernels do first"
    switch ending {
    case .wrong: return "does \(name) wrong"
    case .gaveUp: return "cannot execute \(name)"
    case .shutdown: return "shuts the processor down at \(name)"
    // Of a loop that is slow anyway the rest says nothing.
    case .stuck: return step == PROBE_STEP_SPEED ? nil : "does not get over \(name)"
    default: return nil
    }
  }
}
