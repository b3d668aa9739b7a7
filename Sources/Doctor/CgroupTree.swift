/// A mounted hierarchy of cgroups, as this process sees it.
struct CgroupTree: Equatable {
  /// Whether it is cgroup v2.
  var isUnified: Bool
  var mountPoint: String
  /// The process's own cgroup, as a path below the mount point: empty, or with a slash in front.
  var own: String
  /// Of v1, the controllers that are bound to it.
  var controllers: [String]
  var isReadOnly: Bool
  /// Whether it was mounted with favordynmods (Linux 6.0), with which moving a process does not wait.
  var favorsDynamicModification: Bool

  /// Joins the lines of /proc/self/mountinfo (proc_pid_mountinfo(5)) with those of /proc/self/cgroup (cgroups(7)).
  static func parse(mounts: [String], memberships: [String]) -> [CgroupTree] {
    var trees: [CgroupTree] = []
    for line in mounts {
      let fields = Text.split(line, " ")
      guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count >= dash + 4 else { continue }
      let isUnified = fields[dash + 1] == "cgroup2"
      guard isUnified || fields[dash + 1] == "cgroup" else { continue }
      let options = Text.split(fields[dash + 3], ",")
      let controllers = isUnified ? [] : options.filter { known.contains($0) }
      // A hierarchy that only names processes, like systemd's, has none.
      if !isUnified && controllers.isEmpty { continue }
      var own = ""
      for membership in memberships {
        let parts = membership.utf8.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
          .map { String(decoding: $0, as: UTF8.self) }
        guard parts.count == 3 else { continue }
        let names = Text.split(parts[1], ",")
        if isUnified ? parts[1].isEmpty : names.contains(where: { controllers.contains($0) }) {
          own = below(parts[2], root: fields[3])
        }
      }
      let tree = CgroupTree(
        isUnified: isUnified, mountPoint: fields[4], own: own, controllers: controllers,
        isReadOnly: Text.split(fields[5], ",").contains("ro"),
        favorsDynamicModification: options.contains("favordynmods"))
      // Of several mounts of one hierarchy the first is enough.
      if !trees.contains(where: { $0.isUnified == isUnified && $0.controllers == controllers }) { trees.append(tree) }
    }
    return trees
  }

  static let known = [
    "cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio", "hugetlb", "perf_event", "net_cls",
    "net_prio", "rdma", "misc",
  ]

  /// `path` as seen below a mount that shows the hierarchy from `root` on.
  private static func below(_ path: String, root: String) -> String {
    if path == root || path == "/" || path.hasPrefix("/..") { return "" }
    if root == "/" { return path }
    return path.hasPrefix(root + "/") ? String(decoding: path.utf8.dropFirst(root.utf8.count), as: UTF8.self) : ""
  }
}
