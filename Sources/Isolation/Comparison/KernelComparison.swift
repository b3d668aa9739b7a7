import CLinux
import Report

/// Sections 1 and 3: whose kernel answers, and what the host's kernel does for a sandbox.
extension Comparison {
  func kernels() -> IsolationSection {
    let rows = [
      row(
        "Is the kernel the host's own?",
        note: container == nil
          ? "" : "A container is processes of the host's kernel: nothing but that kernel answers their system calls."
      ) { side in
        side.findings["kernel.boot"] == nil
          ? .unknown("no boot ID") : .value(isOnHostKernel(side) ? "yes" : "no", shared: isOnHostKernel(side))
      },
      said("Boot ID", "kernel.boot", marks: true),
      // Equal in a VM, they say that both were built from one package.
      said("Release", "kernel.release"), said("Version", "kernel.version"),
      row("Booted at, seconds since 1970") { side in
        guard let text = side.findings["kernel.btime"] else { return .unknown("not readable") }
        return .value(text, shared: text == host?.findings["kernel.btime"])
      },
      row("Up for") { side in side.findings["kernel.uptime"].map { .value("\($0) s") } ?? .unknown("not readable") },
      row(
        "Did the host see a call made inside?",
        note: "The probe makes a call by a number that no kernel has; the launcher looks for it by ptrace."
      ) { side in
        guard let counted = side.counted, counted.threads > 0 else { return .unknown("ptrace was refused") }
        return counted.markers > 0 ? .value("yes", shared: true) : .value("no")
      },
    ]
    return IsolationSection(
      number: 1, title: "Whose kernel answered", introduction: "Who executes the system calls of a process inside.",
      rows: rows)
  }

  func work() -> IsolationSection {
    let rows = [
      row(
        "System calls of the host for it",
        note: machine == nil
          ? ""
          : "Those of a VM are its monitor's own (vmrun's, mostly KVM_RUN; or QEMU's): the guest's kernel served the workload's calls itself. Their number is the traffic, not the danger: a row below says who chooses them."
      ) { side in
        guard let counted = side.counted, counted.threads > 0 else { return .unknown("ptrace was refused") }
        return .value("\(counted.total)")
      },
      row("The most frequent") { side in
        guard let counted = side.counted, counted.threads > 0 else { return .unknown("ptrace was refused") }
        return .value(Text.list(counted.calls.map { "\(CallName.of($0.number)) \($0.count)" }, most: 5))
      },
      row("Different calls of the host in it") { side in
        guard let counted = side.counted, counted.threads > 0 else { return .unknown("ptrace was refused") }
        return .number(counted.calls.count)
      },
      row("Host calls that code inside can choose freely") { side in
        guard isOnHostKernel(side) else {
          return .value("none: it can only leave to \(side.isEmulated ? "QEMU" : "KVM and the VMM")")
        }
        guard let highest = highest, let permitted = side.calls.permitted(upTo: highest) else {
          return .unknown("section 2 did not ask the filters")
        }
        return .value("\(permitted) of \(highest + 1) numbers", shared: true)
      },
      row("Filter on the launcher's own calls") { side in
        guard side.side == .vm else { return .value(side.side == .host ? "none" : "the sandbox's, see section 8") }
        guard let own = side.launcher.first(where: { $0.name.hasPrefix("qemu") }) ?? side.launcher.first else {
          return .unknown("section 8 was not run")
        }
        return .value(
          own.seccomp == "0"
            ? "none: an escape from the guest has what \(own.name)'s user has"
            : "\(own.name): \(own.seccomp == "2" ? "a seccomp filter" : "seccomp mode \(own.seccomp)")")
      },
      row("Exits from the guest by reason") { side in
        guard side.side == .vm else { return .value("no guest") }
        if side.isEmulated { return .value("none: emulated, no processor enters the guest") }
        guard let exits = side.exits else { return .unknown("KVM's counters are not readable here") }
        return .value(Text.list(exits.map { "\($0.reason) \($0.count)" }, most: 5))
      },
      row("Processes that ptrace was refused for") { side in
        guard let counted = side.counted else { return .unknown("not counted") }
        return .number(Int(counted.refused))
      },
    ]
    return IsolationSection(
      number: 3, title: "What the host executed for it",
      introduction:
        "Counted by ptrace over all of the sandbox's processes while the probe does this: \(Probe.workloadText).",
      rows: rows)
  }
}
