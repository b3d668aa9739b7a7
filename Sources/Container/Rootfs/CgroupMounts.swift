import CContainer
import CLinux
import System

// Mounts of type "cgroup": what a container sees of its own limits. With a cgroup namespace of its own its cgroup is the root
// of what it sees (cgroup_namespaces(7)); without one the host's folder of its cgroup is bound.
extension Rootfs {
  /// Serves a mount of type "cgroup" (or "cgroup2") in whatever way this host has cgroups.
  mutating func addCgroups(_ mount: PlannedMount, plan: borrowing RootfsPlan) throws(ContainerError) {
    if case .hierarchies(let hierarchies, let unified) = plan.cgroups, mount.type == "cgroup" {
      return try addHierarchies(hierarchies, unified: unified, mount, namespaced: plan.newCgroups)
    }
    let host: String?
    switch plan.cgroups {
    case .unified(let path): host = path
    case .hierarchies(_, let unified): host = unified
    case .none: host = nil
    }
    let tree = try unifiedTree(mount, host: host, namespaced: plan.newCgroups)
    try BindMount.applyCommon(tree.descriptor.rawValue, mount.options)
    try attach(tree, of: "cgroup2", mount)
  }

  /// - Parameter host: the folder of the container's cgroup; nil when it has none, and sees what the host has.
  private func unifiedTree(_ mount: PlannedMount, host: String?, namespaced: Bool) throws(ContainerError) -> SharedFile
  {
    if namespaced {
      do throws(SystemError) {
        let context = try FileSystemContext("cgroup2")
        try context.set("source", mount.source.isEmpty ? "cgroup" : mount.source)
        for setting in mount.options.data { try context.set(option: setting) }
        return SharedFile(try context.mount(attributes: mount.options.attributes))
      } catch {
        // In a user namespace that joined another's cgroup namespace, or that may not mount it at all.
        guard error.errno == .notPermitted || error.errno == .busy else { throw ContainerError("", error) }
      }
    }
    if let host { return try bound(host, mount) }
    return try bound("/sys/fs/cgroup", mount, recursive: true)
  }

  private func bound(_ host: String, _ mount: PlannedMount, recursive: Bool = false) throws(ContainerError)
    -> SharedFile
  {
    let tree = SharedFile(
      try naming { () throws(SystemError) in try MountCalls.cloneTree(host, recursive: recursive) })
    let raw = tree.descriptor.rawValue
    try naming { () throws(SystemError) in
      try MountCalls.change(
        raw, set: mount.options.attributes & ~(MountAttribute.accessTimes | MountAttribute.noDirectoryAccessTime),
        propagation: MountFlag.slave, recursive: recursive)
    }
    return tree
  }

  /// v1: a tmpfs with a folder for each hierarchy, and links for controllers that share one.
  private mutating func addHierarchies(
    _ hierarchies: [CgroupHierarchy], unified: String?, _ mount: PlannedMount, namespaced: Bool
  ) throws(ContainerError) {
    let quiet = MountAttribute.noSetUserID | MountAttribute.noDevices | MountAttribute.noExecution
    let folder = SharedFile(
      try naming { () throws(SystemError) in
        let context = try FileSystemContext("tmpfs")
        try context.set("source", "cgroup")
        try context.set("mode", "755")
        return try context.mount(attributes: quiet)
      })
    let raw = folder.descriptor.rawValue
    try attach(folder, of: "cgroup", mount)
    for hierarchy in hierarchies {
      let name = Self.folderName(of: hierarchy)
      do throws(ContainerError) {
        let tree = try hierarchyTree(hierarchy, mount, namespaced: namespaced)
        try naming { () throws(SystemError) in try Self.place(tree.descriptor.rawValue, at: name, in: raw) }
        try BindMount.applyCommon(tree.descriptor.rawValue, mount.options)
        try naming { () throws(SystemError) in try Self.addLinks(to: name, in: raw) }
      } catch { throw error.inside("hierarchy \(hierarchy.names)") }
    }
    if let unified {
      let tree = try unifiedTree(mount, host: unified, namespaced: namespaced)
      try naming("unified hierarchy") { () throws(SystemError) in
        try Self.place(tree.descriptor.rawValue, at: "unified", in: raw)
      }
      try BindMount.applyCommon(tree.descriptor.rawValue, mount.options)
    }
    try naming { () throws(SystemError) in
      if mount.options.isReadOnly { try MountCalls.change(raw, set: MountAttribute.readOnly) }
      for propagation in mount.options.propagations {
        try MountCalls.change(raw, propagation: propagation.kind, recursive: false)
      }
    }
  }

  private func hierarchyTree(_ hierarchy: CgroupHierarchy, _ mount: PlannedMount, namespaced: Bool)
    throws(ContainerError) -> SharedFile
  {
    guard namespaced else { return try bound(hierarchy.directory, mount) }
    do throws(SystemError) {
      let context = try FileSystemContext("cgroup")
      try context.set("source", "cgroup")
      for name in hierarchy.names.split(separator: ",") { try context.set(option: String(name)) }
      return SharedFile(try context.mount(attributes: mount.options.attributes))
    } catch {
      guard error.errno == .notPermitted || error.errno == .busy else { throw ContainerError("", error) }
      return try bound(hierarchy.directory, mount)
    }
  }

  /// A hierarchy's folder as the host calls it: "cpu,cpuacct", "systemd".
  static func folderName(of hierarchy: CgroupHierarchy) -> String {
    let name = hierarchy.mountPoint.split(separator: "/").last
    return name.map { String($0) } ?? hierarchy.names
  }

  // The folder is the root of a tmpfs that only this process has seen so far: its names need no further care.
  private static func place(_ tree: Int32, at name: String, in folder: Int32) throws(SystemError) {
    // unsafe: the name is NUL-terminated for the call.
    guard unsafe mkdirat(folder, name, 0o755) == 0 else { throw SystemError("mkdir", name, .current) }
    try MountCalls.attach(tree, at: name, of: folder)
  }

  private static func addLinks(to name: String, in folder: Int32) throws(SystemError) {
    let controllers = name.split(separator: ",")
    guard controllers.count > 1 else { return }
    for controller in controllers {
      // unsafe: both strings are NUL-terminated for the call. The host may have the controller as a folder as well.
      guard unsafe symlinkat(name, folder, String(controller)) == 0 || Errno.current == .exists else {
        throw SystemError("symlink", String(controller), .current)
      }
    }
  }
}
