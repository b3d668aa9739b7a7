import CLinux
import OCI
import System

/// The folder that a controller's limits are written to, and which of the two interfaces its files have.
struct LimitTarget {
  let controller: String
  let folder: CgroupFolder
  let isLegacy: Bool
  /// Whether no process has been in the cgroup yet.
  let fresh: Bool

  /// Writes `value` to `file`; `what` is the member of linux.resources that asks for it.
  func set(_ file: String, _ value: String, _ what: String) throws(ContainerError) {
    do throws(SystemError) { try folder.write(file, value) } catch { throw explain(error, file, what) }
  }

  /// Tells why a limit could not be set.
  func explain(_ error: SystemError, _ file: String, _ what: String) -> ContainerError {
    // open(2) with O_WRONLY of a missing file: on cgroup v2 the kernel says EACCES in a folder without the controller.
    if !folder.has(file) {
      if folder.has("cgroup.procs") {
        let offered = isLegacy ? nil : folder.readIfThere("cgroup.controllers")
        if let offered, !offered.split(separator: " ").contains(where: { $0 == controller }) {
          return ContainerError(
            .notSupported,
            "linux.resources.\(what): needs the cgroup controller \(controller), which is not available in \(folder.path) "
              + "(there: \(offered.isEmpty ? "none" : offered))")
        }
        return ContainerError(
          .notSupported, "linux.resources.\(what): this kernel's \(controller) controller has no \(file)")
      }
      return ContainerError("linux.resources.\(what)", SystemError("open", folder.file(file), .notFound))
    }
    if error.errno == .busy, controller == "memory" {
      let usage = folder.number(isLegacy ? "memory.usage_in_bytes" : "memory.current") ?? 0
      return ContainerError(.system, "linux.resources.\(what): \(error) (in use: \(usage) bytes)")
    }
    return ContainerError("linux.resources.\(what)", error)
  }

  /// Writes two settings of which either may have to come first for the kernel to take both.
  func setPair(
    _ first: (file: String, value: String, what: String), _ second: (file: String, value: String, what: String)
  ) throws(ContainerError) {
    do throws(SystemError) { try folder.write(first.file, first.value) } catch {
      guard error.errno == .invalid else { throw explain(error, first.file, first.what) }
      try set(second.file, second.value, second.what)
      return try set(first.file, first.value, first.what)
    }
    try set(second.file, second.value, second.what)
  }
}

/// The limits of one container, on their way to its cgroups.
struct LimitWriter {
  let placement: CgroupPlacement
  /// Whether the cgroups were made just now.
  let fresh: Bool

  /// Where `controller` is on this host.
  /// - Throws: `.notSupported`, naming `what`, when it is nowhere.
  func target(_ controller: String, for what: String) throws(ContainerError) -> LimitTarget {
    switch placement.view {
    case .none:
      let reason = placement.reason ?? "the container has none"
      throw ContainerError(.notSupported, "linux.resources.\(what): a limit needs a cgroup, but \(reason)")
    case .unified(let path):
      return LimitTarget(controller: controller, folder: CgroupFolder(path), isLegacy: false, fresh: fresh)
    case .hierarchies(let hierarchies, let unified):
      if let hierarchy = hierarchies.first(where: { $0.has(controller) }) {
        return LimitTarget(
          controller: controller, folder: CgroupFolder(hierarchy.directory), isLegacy: true, fresh: fresh)
      }
      if let unified {
        let target = LimitTarget(controller: controller, folder: CgroupFolder(unified), isLegacy: false, fresh: fresh)
        if CgroupTree.enable([controller], above: unified) { return target }
      }
      let offered = hierarchies.reduce("") { $0.isEmpty ? $1.names : "\($0),\($1.names)" }
      throw ContainerError(
        .notSupported,
        "linux.resources.\(what): needs the cgroup controller \(controller), which this host does not offer (there: \(offered))"
      )
    }
  }

  /// Sets everything that `resources` asks for. What engines send as 0 for "leave it" is left.
  /// - Throws: the first limit that cannot be set, by name.
  func apply(_ resources: Resources) throws(ContainerError) {
    if let cpu = resources.cpu { try apply(cpu) }
    if let memory = resources.memory { try apply(memory) }
    if let limit = resources.pids?.limit, limit >= 1 || placement.view != .none {
      try target("pids", for: "pids.limit").set("pids.max", limit < 1 ? "max" : "\(limit)", "pids.limit")
    }
    if let blockIO = resources.blockIO { try apply(blockIO) }
    try apply(resources.hugepageLimits)
    try apply(resources.rdma)
    if let network = resources.network { try apply(network) }
    try applyUnified(resources.unified)
  }

  private func apply(_ limits: [Resources.HugepageLimit]) throws(ContainerError) {
    for (index, limit) in limits.enumerated() {
      let what = "hugepageLimits[\(index)]"
      guard !limit.pageSize.isEmpty, !limit.pageSize.utf8.contains(UInt8(ascii: "/")) else {
        throw ContainerError(.invalid, "linux.resources.\(what).pageSize: '\(limit.pageSize)' is no page size")
      }
      let target = try target("hugetlb", for: what)
      let suffix = target.isLegacy ? "limit_in_bytes" : "max"
      try target.set("hugetlb.\(limit.pageSize).\(suffix)", "\(limit.limit)", what)
      // Reservations have a limit of their own since Linux 5.7; without it a mapping that nobody touches is not counted.
      let reserved = "hugetlb.\(limit.pageSize).rsvd.\(suffix)"
      if target.folder.has(reserved) { try target.set(reserved, "\(limit.limit)", what) }
    }
  }

  private func apply(_ limits: [Resources.RDMA]) throws(ContainerError) {
    for limit in limits {
      let what = "rdma.\(limit.device)"
      var line = limit.device
      if let handles = limit.hcaHandles { line += " hca_handle=\(handles)" }
      if let objects = limit.hcaObjects { line += " hca_object=\(objects)" }
      try target("rdma", for: what).set("rdma.max", line, what)
    }
  }

  private func apply(_ network: Resources.Network) throws(ContainerError) {
    let isUnified = placement.isUnified
    if let classID = network.classID, classID != 0 {
      if isUnified { throw LimitWriter.legacyOnly("network.classID") }
      try target("net_cls", for: "network.classID").set("net_cls.classid", "\(classID)", "network.classID")
    }
    for entry in network.priorities {
      if isUnified { throw LimitWriter.legacyOnly("network.priorities") }
      try target("net_prio", for: "network.priorities").set(
        "net_prio.ifpriomap", "\(entry.name) \(entry.priority)", "network.priorities")
    }
  }

  private func applyUnified(_ entries: [Spec.Annotation]) throws(ContainerError) {
    guard !entries.isEmpty else { return }
    guard case .unified(let path) = placement.view else {
      if case .none = placement.view { _ = try target("unified", for: "unified") }
      throw ContainerError(
        .notSupported,
        "linux.resources.unified: '\(entries[0].name)' is a cgroup v2 file; this host's controllers are on cgroup v1")
    }
    for entry in entries {
      let what = "unified.\(entry.name)"
      guard !entry.name.isEmpty, entry.name != ".", entry.name != "..", !entry.name.utf8.contains(UInt8(ascii: "/"))
      else {
        throw ContainerError(.invalid, "linux.resources.\(what): not the name of a cgroup file")
      }
      let controller = entry.name.split(separator: ".").first.map { String($0) } ?? entry.name
      let target = LimitTarget(controller: controller, folder: CgroupFolder(path), isLegacy: false, fresh: fresh)
      // A file with a line per device takes one line per write.
      for line in entry.value.split(separator: "\n") { try target.set(entry.name, String(line), what) }
    }
  }

  static func legacyOnly(_ what: String) -> ContainerError {
    ContainerError(.notSupported, "linux.resources.\(what): cgroup v2 has no such limit")
  }
}

extension CgroupPlacement {
  /// Whether the container is on cgroup v2 alone.
  var isUnified: Bool {
    if case .unified = view { return true }
    return false
  }
}
