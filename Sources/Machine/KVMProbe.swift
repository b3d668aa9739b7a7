import CLinux
import Hypervise
import KernelCache
import System

/// Whether this host's KVM can run stock Linux kernels: found out by a guest that does what they do (images/probe), and remembered as
/// long as the host does not restart and its KVM module stays loaded.
public enum KVMProbe {
  /// What KVM here can do.
  public enum Ability: UInt8, Sendable {
    /// It runs stock kernels.
    case capable
    /// It runs guests, but not these.
    case incapable
    /// It could not be asked: there is no /dev/kvm, or it may not be opened, or it failed at something that tells nothing.
    case unanswered
  }

  /// What was found, and why.
  public struct Verdict: Equatable, Sendable {
    public let ability: Ability
    /// One clause for people: "KVM here (kvm_pvm) emulates guest code, 1.05 us per instruction".
    public let reason: String
    /// The command that mends it; empty when none does.
    public let remedy: String
    /// KVM's module: "kvm_intel", "kvm_amd", "kvm_pvm" or "unknown".
    public let module: String
    /// Whether it comes from memory.
    public let isRemembered: Bool
    /// What the proof took, in nanoseconds; of what is remembered, what it took then.
    public let nanoseconds: UInt64

    /// What was found.
    public init(
      ability: Ability, reason: String, remedy: String, module: String, isRemembered: Bool, nanoseconds: UInt64
    ) {
      self.ability = ability
      self.reason = reason
      self.remedy = remedy
      self.module = module
      self.isRemembered = isRemembered
      self.nanoseconds = nanoseconds
    }

    /// Whether KVM can run stock kernels.
    public var isCapable: Bool { ability == .capable }
  }

  /// The reason of a KVM that can.
  static let proven = "the probe guest ran what stock kernels do"

  /// Proves it now, whatever is remembered. A few milliseconds on hardware, up to 0.1 s where guests are emulated. Uses SIGALRM, which has its
  /// default meaning afterwards; one thread at a time.
  public static func run() -> Verdict {
    do throws(KVMError) {
      return run(try KVM(), module: KVMModule.current())
    } catch {
      return verdict(error)
    }
  }

  /// What is remembered, else what `run` finds, which is then remembered. What could not be asked never is.
  public static func verdict() -> Verdict { verdict(memory: ProbeMemory()) }

  static func verdict(memory: ProbeMemory) -> Verdict {
    do throws(KVMError) {
      // A memory says nothing about whether this process may open KVM.
      let kvm = try KVM()
      let module = KVMModule.current()
      if let remembered = memory.recall(module) { return remembered }
      let verdict = run(kvm, module: module)
      memory.keep(verdict, module)
      return verdict
    } catch {
      return verdict(error)
    }
  }

  /// The module behind /dev/kvm: "kvm_intel", "kvm_amd", "kvm_pvm" or "unknown".
  public static func module() -> String { KVMModule.current().name }

  private static func run(_ kvm: borrowing KVM, module: KVMModule) -> Verdict {
    let start = Clock.now()
    let trace = ProbeMachine.run(kvm)
    let (ability, reason) = trace.verdict(module.subject)
    return Verdict(
      ability: ability, reason: reason, remedy: "", module: module.name, isRemembered: false,
      nanoseconds: Clock.now() - start)
  }

  /// Why KVM could not be asked.
  static func verdict(_ error: KVMError) -> Verdict {
    let (reason, remedy): (String, String)
    switch error {
    case .absent(let path): (reason, remedy) = ("\(path) is not there", "modprobe kvm_intel || modprobe kvm_amd")
    case .notPermitted(let path):
      (reason, remedy) = (
        "\(path): permission denied", "usermod -aG kvm \"$USER\", and log in again; vmrun doctor tells more"
      )
    case .busy(let path): (reason, remedy) = ("\(path) is busy: another hypervisor holds the processor", "")
    default: (reason, remedy) = (error.description, "")
    }
    return Verdict(
      ability: .unanswered, reason: reason, remedy: remedy, module: module(), isRemembered: false, nanoseconds: 0)
  }
}
