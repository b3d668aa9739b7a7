import CLinux
import Kernels
import Machine
import System

/// Tries everything that vmrun needs, and says what works here. It leaves nothing behind and changes nothing: what would change
/// this process, or may hang, is done in children under a time limit.
public struct Doctor {
  private let executable: String
  private let interruption: Interruption?
  private let progress: (String) -> Void

  /// - Parameters:
  ///   - executable: vmrun's own program, for what is tried with it.
  ///   - interruption: ends the trials early; nil where nobody has taken signals over.
  ///   - progress: told what is tried, whenever that changes.
  public init(executable: String, interruption: Interruption?, progress: @escaping (String) -> Void = { _ in }) {
    self.executable = executable
    self.interruption = interruption
    self.progress = progress
  }

  /// Tries everything. Before any thread is started. Nil after a signal.
  public func examine() -> Diagnosis? {
    let caller = Caller(user: geteuid())
    let trial = Trial(interruption: interruption)
    let helper = HelperPlace.find(executable: executable)
    // The slowest by far: it is asked first and heard last.
    let libvirt = LibvirtChecks.ask(helper)
    var findings: [Finding] = []
    let steps: [(String, () -> [Finding])] = [
      ("namespaces", { NamespaceChecks.findings(trial, caller) }),
      ("cgroups", { CgroupChecks.findings(trial, caller) }),
      ("containers", { ContainerChecks.findings(trial, caller, executable: self.executable) }),
      ("network", { NetworkChecks.findings(trial, caller) }), ("limits", { LimitChecks.findings(trial, caller) }),
      ("kernels", { KernelChecks.findings() }), ("KVM", { KVMChecks.findings(trial, caller) }),
      ("QEMU", { [LibvirtChecks.qemu(trial, caller)] }),
      ("libvirt", { LibvirtChecks.findings(libvirt, helper, trial, caller) }),
    ]
    for (name, step) in steps {
      progress(name)
      findings += step()
      if interruption?.received != nil { return nil }
    }
    progress("a Linux kernel in a virtual machine")
    findings += BootChecks.findings(after: findings, trial, executable: executable)
    if interruption?.received != nil { return nil }
    var ordered: [Finding] = []
    for section in Finding.Section.allCases { ordered += findings.filter { $0.section == section } }
    return Diagnosis(ordered, caller)
  }
}
