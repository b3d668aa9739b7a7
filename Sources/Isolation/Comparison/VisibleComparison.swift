import Report

/// Section 4: what a process inside sees of the machine.
extension Comparison {
  func visible() -> IsolationSection {
    let rows = [
      said("Processes", "processes"), said("Their names", "process.names"), said("The probe's own PID", "pid"),
      said("Mounts", "mounts"), said("Their types", "mounts.types"),
      said("Device nodes in /dev", "devices"), said("Their names", "devices.names"),
      row("Sensitive device nodes") { side in
        let names = side.findings.all("device.special")
        let isOwn = side.side == .vm && !names.isEmpty
        return .value(
          names.isEmpty ? "none" : Text.list(names, most: 6) + (isOwn ? " (the guest's own)" : ""),
          shared: !names.isEmpty && side.side == .container)
      },
      said("Sockets in /proc/net", "sockets"),
      said(
        "Kernel modules listed", "modules",
        note: container?.findings["modules"] == nil
          ? "" : "/proc/modules belongs to the kernel, not to a namespace: a container reads the host's.",
        marks: true),
      said("Processors", "processors", marks: true),
      said(
        "Processor model", "processor.model",
        note: machine == nil ? "" : "CPUID passes through to a VM on KVM but for the bits that vmrun and KVM hide.",
        marks: true),
      flags(),
      said("Memory in /proc/meminfo", "memory", marks: true),
      said("Network interfaces", "interfaces"), said("Users in /etc/passwd", "users"),
      row("cgroup paths") { side in
        let paths = side.findings.all("cgroup")
        return paths.isEmpty ? .unknown("not readable") : .value(Text.list(paths, most: 2))
      },
      said(
        "Kernel command line", "cmdline",
        note: "/proc/cmdline is the booted kernel's; docker's masks do not cover it.", marks: true),
      row("Firmware's names (DMI)") { side in
        let names = side.findings.all("dmi")
        let isSame = !names.isEmpty && names == host?.findings.all("dmi")
        return .value(names.isEmpty ? "none" : Text.list(names, most: 3), shared: isSame)
      },
      namespaces(),
    ]
    return IsolationSection(
      number: 4, title: "What is visible",
      introduction: "Marked where a sandbox shows the host's own.", rows: rows)
  }

  private func flags() -> IsolationRow {
    row("CPU flags") { side in
      guard let text = side.findings["processor.flags"] else { return .unknown("not readable") }
      let flags = Text.fields(Array(text.utf8)[...]).map { Text.string($0) }
      guard side.side != .host, let other = host?.findings["processor.flags"] else { return .number(flags.count) }
      let hosts = Text.fields(Array(other.utf8)[...]).map { Text.string($0) }
      let own = Set(flags)
      let less = hosts.filter { !own.contains($0) }.count
      let all = Set(hosts)
      let more = flags.filter { !all.contains($0) }.count
      if less == 0, more == 0 { return .value("\(flags.count), the host's", shared: true) }
      return .value("\(flags.count): \(less) of the host's missing, \(more) others")
    }
  }

  private func namespaces() -> IsolationRow {
    row("Namespaces that are the host's") { side in
      guard let host else { return .unknown("the host was not looked at") }
      if side.side == .host { return .value("-") }
      if !isOnHostKernel(side) { return .value("none: another kernel's") }
      let hosts = Set(host.findings.all("namespace"))
      let shared = side.findings.all("namespace").filter { hosts.contains($0) && $0.utf8.contains(0x5B) }
      let names = shared.map { String(decoding: $0.utf8.prefix { $0 != 0x20 }, as: UTF8.self) }
      return .value(names.isEmpty ? "none" : Text.list(names, most: 8), shared: !names.isEmpty)
    }
  }
}
