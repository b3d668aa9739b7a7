import CContainer
import CLinux
import Hypervise
import Kernels
import Machine
import System

/// /dev/kvm, the module behind it, and what it can run.
enum KVMChecks {
  /// The device node, as stat(2) shows it.
  struct Node: Equatable {
    var mode: UInt32
    var group: UInt32
    /// By /etc/group; empty when that does not know it.
    var groupName: String

    /// "0660 root:kvm" without the owner.
    var text: String {
      var digits = String(mode & 0o777, radix: 8)
      while digits.utf8.count < 4 { digits = "0" + digits }
      return "\(digits), group \(groupName.isEmpty ? "\(group)" : groupName)"
    }
    /// Whether a group of its own may use it.
    var isOpenToGroup: Bool { mode & 0o060 == 0o060 && group != 0 }
    var isOpenToAll: Bool { mode & 0o006 == 0o006 }
  }

  static func findings(_ trial: Trial, _ caller: Caller) -> [Finding] {
    let node = node()
    let opened = trial.run { () throws(DoctorError) in
      _ = try naming { () throws(KVMError) in try KVM() }
      return "\(KVM.devicePath) opens, API version 12"
    }
    var findings = [device(opened, node, caller)]
    if let node { findings.append(permissions(node, caller)) }
    guard opened.succeeded else { return findings + [guest(opened, caller)] }
    findings.append(
      machine(
        trial.run { () throws(DoctorError) in
          let start = Clock.now()
          try naming { () throws(KVMError) in
            let kvm = try KVM()
            let vm = try kvm.createVM()
            _ = try vm.createVCPU(id: 0)
          }
          return "a virtual machine and a processor are made in \(Text.milliseconds(Clock.now() - start))"
        }))
    findings.append(module(KVMProbe.module(), isNested: ccontainer_is_virtual_machine() != 0))
    findings.append(guest(trial.run(milliseconds: 5000, runGuest), caller))
    findings.append(
      probe(
        trial.run(milliseconds: 5000) { () throws(DoctorError) in
          let verdict = KVMProbe.run()
          guard verdict.isCapable else { throw DoctorError(verdict.reason) }
          return "\(verdict.reason), in \(Text.milliseconds(verdict.nanoseconds))"
        }))
    return findings
  }

  /// Boots the built-in guest, which ends with a code of its own.
  private static func runGuest() throws(DoctorError) -> String {
    var configuration = Configuration()
    configuration.append = "exit=7 quiet"
    configuration.console = Configuration.Console.none
    configuration.quiet = true
    let start = Clock.now()
    let outcome = Launcher.run(configuration, timeline: Timeline())
    guard outcome.exitCode == 7 else { throw DoctorError(outcome.message ?? "it ended with code \(outcome.exitCode)") }
    return "booted and ended in \(Text.milliseconds(Clock.now() - start))"
  }

  private static func node() -> Node? {
    var status = stat()
    // unsafe: stat fills the one struct it is given.
    guard unsafe stat(KVM.devicePath, &status) == 0 else { return nil }
    return Node(
      mode: status.st_mode, group: status.st_gid,
      groupName: Text.groupName(status.st_gid, TextFile.read("/etc/group") ?? []))
  }

  // MARK: Verdicts

  static let cost =
    "no virtual machine on KVM: Linux kernels only by libvirt's emulation, the built-in guest not at all"

  static func device(_ result: TrialResult, _ node: Node?, _ caller: Caller) -> Finding {
    if case .done(let text) = result { return .works("kvm.device", .kvm, "device", text) }
    guard let node else {
      return .lacks(
        "kvm.device", .kvm, "device", "\(KVM.devicePath) is not there", cost: cost,
        remedy: caller.asRoot("modprobe -a kvm_intel kvm_amd")
          + "   (VT-x or AMD-V on in the firmware; in a VM, nested virtualisation)")
    }
    guard Text.contains(result.text, "permission denied") else {
      return .lacks("kvm.device", .kvm, "device", result.text, cost: cost)
    }
    // The group that there is, or one that is made to be.
    let isOpen = node.isOpenToGroup && !node.groupName.isEmpty
    let join = caller.asRoot("usermod -aG \(isOpen ? node.groupName : "kvm") \"$USER\"") + "   (then log in again)"
    return .lacks(
      "kvm.device", .kvm, "device", "\(KVM.devicePath) may not be opened by you (\(node.text))", cost: cost,
      remedy: isOpen ? join : "\(openToGroup(caller)) && \(join)")
  }

  private static func openToGroup(_ caller: Caller) -> String {
    caller.asRoot("chgrp kvm \(KVM.devicePath)") + " && " + caller.asRoot("chmod 0660 \(KVM.devicePath)")
  }

  static func permissions(_ node: Node, _ caller: Caller) -> Finding {
    if node.isOpenToGroup || node.isOpenToAll {
      return .works("kvm.permissions", .kvm, "permissions", "\(KVM.devicePath) is \(node.text)")
    }
    return .lacks(
      "kvm.permissions", .kvm, "permissions", "\(KVM.devicePath) is \(node.text): for root alone", state: .missing,
      cost: "KVM for other users and libvirt's QEMU; libvirt then takes up to 40 s for each start",
      remedy: openToGroup(caller))
  }

  static func machine(_ result: TrialResult) -> Finding {
    if case .done(let text) = result { return .works("kvm.machine", .kvm, "machine", text) }
    return .lacks("kvm.machine", .kvm, "machine", result.text, cost: cost)
  }

  static func module(_ name: String, isNested: Bool) -> Finding {
    let place = isNested ? "this machine is itself virtual" : "on hardware"
    switch name {
    case "kvm_intel", "kvm_amd":
      return .works("kvm.module", .kvm, "module", "\(name), \(isNested ? "nested: \(place)" : place)")
    case "kvm_pvm":
      return .lacks(
        "kvm.module", .kvm, "module", "kvm_pvm: paravirtual, without VT-x or AMD-V; \(place)", state: .missing,
        cost: "speed: what is not made for it is emulated, instruction by instruction",
        remedy: "a machine with kvm_intel or kvm_amd, or nested virtualisation")
    default:
      return .works("kvm.module", .kvm, "module", "built into the kernel, or not named; \(place)")
    }
  }

  static func guest(_ result: TrialResult, _ caller: Caller) -> Finding {
    if case .done(let text) = result { return .works("kvm.guest", .kvm, "built-in guest", text) }
    return .lacks(
      "kvm.guest", .kvm, "built-in guest", result.text, cost: "vmrun without --kernel",
      remedy: "mend the lines above")
  }

  static func probe(_ result: TrialResult) -> Finding {
    if case .done(let text) = result { return .works("kvm.probe", .kvm, "Linux kernels", text) }
    return .lacks(
      "kvm.probe", .kvm, "Linux kernels", result.text,
      cost: "Linux kernels on KVM: libvirt runs them, by emulation, several times slower",
      remedy: "a machine with kvm_intel or kvm_amd, or nested virtualisation")
  }
}
