import Report

/// Section 8: privileges inside, and those that the launcher keeps.
extension Comparison {
  func privileges() -> IsolationSection {
    let rows = [
      said("User IDs (real, effective, saved, file)", "status.uid"),
      capabilities("Capabilities, effective", "status.capeff"),
      capabilities("Capabilities, bounding set", "status.capbnd"),
      said("no_new_privs", "status.nonewprivs"),
      row("Seccomp mode") { side in
        switch side.findings["status.seccomp"] {
        case "0"?: return .value("0: none")
        case "2"?: return .value("2: filter")
        case let mode?: return .value(mode)
        case nil: return .unknown("not readable")
        }
      },
      said("Seccomp filters", "status.filters"),
      row("User map (inside, outside, length)") { side in
        let lines = side.findings.all("uidmap")
        guard let first = lines.first else { return .unknown("not readable") }
        let isIdentity = first == "0, 0, 4294967295"
        return .value(
          isIdentity ? "all, as they are" : Text.list(lines.map { "\($0)" }, most: 2),
          shared: isIdentity && isOnHostKernel(side))
      },
      said("LSM label", "label"), said("Securebits", "securebits"),
      launcher("Launcher's processes outside: name and threads") { "\($0.name) (\($0.threads))" },
      launcher("Their user") { $0.user },
      launcher("Their effective capabilities") { Self.count($0.capabilities) },
      launcher("Their no_new_privs") { $0.noNewPrivileges },
      launcher("Their seccomp mode") { $0.seccomp },
      launcher("Their descriptors of KVM") { "\($0.kvmDescriptors)" },
    ]
    let note =
      container == nil || !SystemFile.isRoot
      ? ""
      : "Root's container has no user namespace, as docker's: its root is the host's, held by capabilities, filter and mounts."
    var marked = rows
    if let index = marked.firstIndex(where: { $0.question.hasPrefix("User map") }) { marked[index].note = note }
    if machine != nil, let index = marked.firstIndex(where: { $0.question == "Capabilities, effective" }) {
      marked[index].note = "A VM's root has every capability, over the guest's kernel."
    }
    if let index = marked.firstIndex(where: { $0.question == "Their effective capabilities" }) {
      marked[index].note =
        machine?.isEmulated == true
        ? "vmrun keeps what its user has: for a container's cgroup and mounts root's. QEMU is the daemon's child, with the rights of the session's user."
        : "vmrun keeps what its user has: for a container's cgroup and mounts root's, for a VM nothing but access to /dev/kvm is needed, and a plain user's do."
    }
    return IsolationSection(
      number: 8, title: "Privileges",
      introduction:
        "Of the probe inside, as its kernel shows them; and of the processes on the host that keep the sandbox, as the host's shows them.",
      rows: marked)
  }

  /// "14 of 41".
  static func count(_ mask: String) -> String {
    guard let bits = Text.hexadecimal(mask) else { return "?" }
    return bits == 0 ? "none" : "\(bits.nonzeroBitCount)"
  }

  private func capabilities(_ question: String, _ name: String) -> IsolationRow {
    row(question) { side in
      guard let text = side.findings[name], Text.hexadecimal(text) != nil else { return .unknown("not readable") }
      return .value("\(Self.count(text)) (\(text))")
    }
  }

  private func launcher(_ question: String, _ text: (LauncherProcess) -> String) -> IsolationRow {
    row(question) { side in
      if side.side == .host { return .value("-") }
      let outside = side.launcher.filter { $0.isOutside }
      if outside.isEmpty { return .unknown("not seen") }
      return .value(Text.list(outside.map { text($0) }, most: 4))
    }
  }
}
