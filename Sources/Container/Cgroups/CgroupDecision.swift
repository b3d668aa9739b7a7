import CLinux
import System

extension CgroupPlacement {
  /// Decides where a container's cgroups will lie; makes nothing.
  ///
  /// `cgroupsPath` is `linux.cgroupsPath`: absolute below each hierarchy's mount point; relative to the runtime's own cgroup (on v2
  /// to that cgroup's parent, since a cgroup with processes cannot hand controllers to children); nil is the same as `id`; with
  /// `systemd` it is "slice:prefix:name". A `rootless` user gets what is writable for it, and `.none` with a reason otherwise.
  /// - Throws: `.invalid` for a path that leaves the hierarchy or names no cgroup; `.system` when the kernel's files cannot be read.
  public static func decide(cgroupsPath: String?, id: String, systemd: Bool, rootless: Bool) throws(ContainerError)
    -> CgroupPlacement
  {
    try decide(cgroupsPath: cgroupsPath, id: id, systemd: systemd, rootless: rootless, sources: CgroupLayout.Sources())
  }

  static func decide(cgroupsPath: String?, id: String, systemd: Bool, rootless: Bool, sources: CgroupLayout.Sources)
    throws(ContainerError) -> CgroupPlacement
  {
    if systemd { return try underSystemd(cgroupsPath, id: id, rootless: rootless, sources: sources) }
    let given = cgroupsPath.flatMap { $0.isEmpty ? nil : $0 } ?? id
    let absolute = given.utf8.first == UInt8(ascii: "/")
    let path = try normalized(given)
    let layout = try CgroupLayout.detect(relative: !absolute, sources: sources)
    return settle(layout, rootless: rootless) { mount, pureUnified in
      if absolute { return path }
      let base = pureUnified ? parent(mount.own) : mount.own
      return base == "/" ? path : base + path
    }
  }

  /// The placement of `path` in each of the layout's hierarchies, without those that this user cannot write.
  static func settle(_ layout: CgroupLayout, rootless: Bool, path: (CgroupLayout.Mount, Bool) -> String)
    -> CgroupPlacement
  {
    switch layout {
    case .none(let reason): return CgroupPlacement(.none, rootless: rootless, reason: reason)
    case .unified(let mount):
      let full = mount.mountPoint + path(mount, true)
      if let reason = obstacle(mount, full, rootless) {
        return CgroupPlacement(.none, rootless: rootless, reason: reason)
      }
      return CgroupPlacement(.unified(path: full), rootless: rootless)
    case .legacy(let mounts, let unified):
      var hierarchies: [CgroupHierarchy] = []
      var reason: String?
      for mount in mounts {
        let below = path(mount, false)
        if let obstacle = obstacle(mount, mount.mountPoint + below, rootless) {
          reason = obstacle
        } else {
          hierarchies.append(CgroupHierarchy(names: mount.names, mountPoint: mount.mountPoint, path: below))
        }
      }
      if hierarchies.isEmpty { return CgroupPlacement(.none, rootless: rootless, reason: reason) }
      var unifiedPath: String?
      if let unified {
        let full = unified.mountPoint + path(unified, false)
        if obstacle(unified, full, rootless) == nil { unifiedPath = full }
      }
      return CgroupPlacement(.hierarchies(hierarchies, unified: unifiedPath), rootless: rootless)
    }
  }

  /// What keeps this user from making `directory`; nil when nothing does.
  private static func obstacle(_ mount: CgroupLayout.Mount, _ directory: String, _ rootless: Bool) -> String? {
    if mount.readOnly { return "\(mount.mountPoint) is mounted read-only" }
    guard rootless else { return nil }
    var folder = parent(directory)
    while folder.utf8.count > mount.mountPoint.utf8.count {
      if CgroupFolder(folder).has("cgroup.procs") { break }
      folder = parent(folder)
    }
    // Moving a process takes the right to write cgroup.procs of the common ancestor too (cgroup-v2.rst, "Delegation Containment").
    let procs = mount.names.isEmpty ? CgroupFolder(folder + "/cgroup.procs").isWritable : true
    if CgroupFolder(folder).isWritable, procs { return nil }
    return "\(folder) may not be written by this user; a delegated cgroup gives limits to rootless containers "
      + "(systemd-run --user --scope --property=Delegate=yes, or --systemd-cgroup)"
  }

  /// `path` with one slash in front of each part.
  static func normalized(_ path: String) throws(ContainerError) -> String {
    var result = ""
    for part in path.split(separator: "/") where part != "." {
      guard part != "..", !part.utf8.contains(0), part.utf8.count <= 255 else {
        throw ContainerError(.invalid, "linux.cgroupsPath: '\(path)' names no cgroup: a part is '..' or too long")
      }
      result += "/" + part
    }
    guard !result.isEmpty else {
      throw ContainerError(.invalid, "linux.cgroupsPath: '\(path)' is the root; a container needs a cgroup of its own")
    }
    return result
  }

  /// The folder that `path` lies in.
  static func parent(_ path: String) -> String {
    let parts = path.split(separator: "/").dropLast()
    return parts.isEmpty ? "/" : parts.reduce("") { "\($0)/\($1)" }
  }
}
