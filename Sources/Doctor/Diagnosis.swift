/// All findings, and what follows for the main jobs.
public struct Diagnosis: Equatable, Sendable {
  /// Something that vmrun is used for.
  public struct Job: Equatable, Sendable {
    /// The name by which programs know it; never changes.
    public let id: String
    public let title: String
    public let works: Bool
    /// How it is done here, or what keeps it.
    public let text: String
  }

  public let findings: [Finding]
  public let jobs: [Job]

  /// Whether the main job can be done: a Linux kernel in a virtual machine, however, and a container.
  public var isWell: Bool { job("linux-vm") && (job("container") || job("rootless-container")) }

  private func job(_ id: String) -> Bool { jobs.contains { $0.id == id && $0.works } }

  /// What follows from `findings` for a `caller`.
  init(_ findings: [Finding], _ caller: Caller) {
    self.findings = findings
    func works(_ id: String) -> Bool { findings.contains { $0.id == id && $0.state == .works } }
    func obstacle(_ ids: [String]) -> String {
      for id in ids {
        if let finding = findings.first(where: { $0.id == id && $0.state != .works }) {
          return "\(finding.section.title), \(finding.title): \(finding.text)"
        }
      }
      return "not tried"
    }
    var jobs: [Job] = []
    jobs.append(
      Job(
        id: "built-in-guest", title: "built-in guest", works: works("kvm.guest"),
        text: works("kvm.guest") ? "on KVM" : obstacle(["kvm.device", "kvm.machine", "kvm.guest"])))
    let isLinux = works("linux.boot")
    let linux: String
    if !works("kvm.probe") && !works("libvirt.guests") {
      linux =
        obstacle(["kvm.device", "kvm.machine", "kvm.probe"]) + "; and "
        + obstacle(["libvirt.helper", "libvirt.connect", "libvirt.guests"])
    } else if !isLinux {
      linux =
        works("kernels.default")
        ? obstacle(["linux.boot"]) : obstacle(["kernels.default"]) + "; to get one: vmrun kernel fetch debian"
    } else if works("kvm.probe") {
      linux = "on KVM"
    } else {
      linux = "by libvirt and QEMU's emulation, since " + obstacle(["kvm.device", "kvm.machine", "kvm.probe"])
    }
    jobs.append(Job(id: "linux-vm", title: "Linux in a VM", works: isLinux, text: linux))
    if caller.isRoot {
      jobs.append(
        Job(
          id: "container", title: "container", works: works("container"),
          text: works("container")
            ? "with an own network, limits and a seccomp profile" : obstacle(Self.containerParts)))
    } else {
      jobs.append(
        Job(
          id: "container", title: "container", works: works("container"),
          text: works("container") ? "without root, see below" : obstacle(Self.containerParts)))
    }
    let isRootless = works("namespace.user") && works("overlay.rootless") && (caller.isRoot || works("container"))
    let noLimits = caller.isRoot ? !works("cgroup.delegation") : !works("cgroup.memory")
    jobs.append(
      Job(
        id: "rootless-container", title: "rootless container", works: isRootless,
        text: isRootless
          ? (noLimits ? "without limits (--cpus, --memory, --pids)" : "with limits where cgroups are given to the user")
          : obstacle(["namespace.user", "overlay.rootless", "container"])))
    self.jobs = jobs
  }

  private static let containerParts = [
    "namespace.pid", "namespace.mnt", "namespace.uts", "namespace.ipc", "namespace.net", "seccomp.filter", "overlay",
    "namespace.user", "overlay.rootless", "container",
  ]
}
