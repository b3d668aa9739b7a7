import CContainer
import CLinux
import OCI
import System

/// Where a container's root file system comes from; absolute paths of the host.
public enum RootSource: Equatable, Sendable {
  /// A folder, which the container changes.
  case directory(String)
  /// An overlay over `lower`, which stays as it is; what changes goes to `upper`. `work` is an empty folder on `upper`'s
  /// file system.
  case overlay(lower: String, upper: String, work: String)
  /// An overlay over `lower` whose changes are forgotten with the container, and which begins with `files`.
  case scratch(lower: String, files: [GeneratedFile])

  /// The folder upon which the root is mounted before the pivot, and which hooks know.
  var path: String {
    switch self {
    case .directory(let path): return path
    case .overlay(let lower, _, _), .scratch(let lower, _): return lower
    }
  }
}

/// One mount of config.json, with its options sorted.
struct PlannedMount {
  /// Absolute, without "." and "..".
  var destination: String
  /// Of the file system; "bind" for a bind mount.
  var type: String
  /// For a bind mount absolute; otherwise what the file system takes, perhaps empty.
  var source: String
  var options: MountOptions
  /// A bind mount's tree, when the parent had to make it.
  var tree: SharedFile?

  var isBind: Bool { options.isBind }
}

/// What the child needs to know and have in order to build a container's file system, made by the parent before the clone.
///
/// It owns the descriptors of mounts that only the parent can make: sources that the container's own user namespace could not
/// reach, and ID-mapped mounts. The child has copies of them.
public struct RootfsPlan: ~Copyable {
  let source: RootSource
  let mounts: [PlannedMount]
  let devices: [Linux.Device]
  let propagation: Linux.Propagation?
  let cgroups: CgroupView
  /// SELinux label for the file systems that take one; empty for none.
  let label: String
  let userNamespace: Bool
  let newNetwork: Bool
  let newProcessIDs: Bool
  let newCgroups: Bool
  /// The root, when the parent had to make it.
  let rootTree: SharedFile?

  /// Checks the mounts of `spec` and makes what has to be made by the parent.
  ///
  /// - Parameters:
  ///   - bundle: absolute path of the bundle, from which relative bind sources are taken.
  ///   - userNamespace: whether the child will be in another user namespace than the caller.
  ///   - cgroups: where the container's cgroup lies, for mounts of type "cgroup".
  /// - Throws: `.invalid` for a mount that makes no sense, `.notSupported` for one that this host cannot have, `.system` for
  ///   a source that cannot be opened.
  public static func prepare(
    spec: Spec, bundle: String, source: RootSource, userNamespace: Bool, cgroups: CgroupView
  ) throws(ContainerError) -> RootfsPlan {
    guard spec.linux.namespace(.mount) != nil else {
      throw ContainerError(.invalid, "linux.namespaces: a container needs a mount namespace")
    }
    let label = spec.linux.mountLabel
    if !label.isEmpty, !SecurityLabels.areEnabled {
      throw ContainerError(.notSupported, "linux.mountLabel '\(label)': SELinux is not enabled on this host")
    }
    var mounts: [PlannedMount] = []
    mounts.reserveCapacity(spec.mounts.count)
    var idMaps = IDMapNamespaces(linux: spec.linux)
    for mount in spec.mounts {
      var planned = try PlannedMount(mount, bundle: bundle)
      try planned.openInParent(userNamespace: userNamespace, &idMaps)
      mounts.append(planned)
    }
    let isNew = { (type: Linux.NamespaceType) -> Bool in
      guard let namespace = spec.linux.namespace(type) else { return false }
      return namespace.path == nil
    }
    return RootfsPlan(
      source: source, mounts: mounts, devices: DeviceNodes.all(with: spec.linux.devices),
      propagation: spec.linux.rootfsPropagation, cgroups: cgroups, label: label, userNamespace: userNamespace,
      newNetwork: isNew(.network), newProcessIDs: isNew(.pid), newCgroups: isNew(.cgroup),
      rootTree: userNamespace ? try RootMount.openInParent(source) : nil)
  }
}

extension PlannedMount {
  /// Sorts the options of `mount` and checks that they fit together.
  init(_ mount: Spec.Mount, bundle: String) throws(ContainerError) {
    let name = "mount of '\(mount.destination)'"
    do throws(ContainerError) { options = try MountOptions(parsing: mount.options) } catch {
      throw error.inside(name)
    }
    destination = ContainedPath.cleaned(mount.destination)
    tree = nil
    // "bind" as a type alone is what people write, and the specification's examples as well.
    if mount.type == "bind", !options.isRemount { options.flags |= MountFlag.bind }
    guard options.isBind, !options.isRemount else {
      type = mount.type
      source = mount.source
      if !mount.uidMappings.isEmpty || !mount.gidMappings.isEmpty || options.idMap != nil {
        throw ContainerError(.notSupported, "\(name): only bind mounts can be ID-mapped")
      }
      if type.isEmpty, !options.isRemount { throw ContainerError(.invalid, "\(name): no file system type") }
      if options.copiesUp, type != "tmpfs" {
        throw ContainerError(.invalid, "\(name): tmpcopyup is for tmpfs, not for '\(type)'")
      }
      return
    }
    type = "bind"
    guard !mount.source.isEmpty else { throw ContainerError(.invalid, "\(name): a bind mount needs a source") }
    source = mount.source.hasPrefix("/") ? mount.source : bundle + "/" + mount.source
    if let first = options.data.first {
      throw ContainerError(.invalid, "\(name): a bind mount takes no option of a file system ('\(first)')")
    }
    if options.superblockFlags != 0 {
      throw ContainerError(
        .invalid, "\(name): sync, dirsync, mand, lazytime, iversion and acl would change the host's file system as well"
      )
    }
    if options.copiesUp { throw ContainerError(.invalid, "\(name): tmpcopyup is for tmpfs, not for a bind mount") }
    try takeMappings(mount, name)
  }

  private mutating func takeMappings(_ mount: Spec.Mount, _ name: String) throws(ContainerError) {
    guard mount.uidMappings.isEmpty == mount.gidMappings.isEmpty else {
      throw ContainerError(.invalid, "\(name): uidMappings and gidMappings need each other")
    }
    guard !mount.uidMappings.isEmpty else { return }
    if let idMap = options.idMap, !idMap.uids.isEmpty {
      throw ContainerError(.invalid, "\(name): mappings stand both in the options and in uidMappings")
    }
    options.idMap = MountOptions.IDMap(
      isRecursive: options.idMap?.isRecursive ?? false, uids: mount.uidMappings, gids: mount.gidMappings)
  }

  /// Makes the tree of a bind mount that the child could not make.
  ///
  /// In a user namespace of its own the child may lack the right to walk to the source, and it never has the right to map IDs
  /// of the host's file systems. Without privileges the parent cannot make it either, and leaves it to the child.
  mutating func openInParent(userNamespace: Bool, _ idMaps: inout IDMapNamespaces) throws(ContainerError) {
    guard isBind, !options.isRemount, !options.copiesSymlink, userNamespace || options.idMap != nil else { return }
    let name = "mount \(source) on \(destination)"
    let opened: FileDescriptor
    do throws(SystemError) { opened = try BindMount.open(self) } catch {
      if error.errno == .notPermitted, options.idMap == nil { return }
      throw ContainerError(name, error)
    }
    let file = SharedFile(opened)
    let raw = file.descriptor.rawValue
    if let idMap = options.idMap { try idMaps.apply(idMap, to: raw, name) }
    // As a copy made in the child's mount namespace would be: what happens on the host arrives, nothing goes back.
    try naming(name) { () throws(SystemError) in
      try MountCalls.change(raw, propagation: MountFlag.slave, recursive: true)
    }
    do throws(ContainerError) { try BindMount.change(raw, options) } catch { throw error.inside(name) }
    tree = file
  }
}
