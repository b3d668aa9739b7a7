import CContainer
import CLinux
import OCI
import System

/// The mount that becomes a container's "/".
enum RootMount {
  /// The root's tree, made with the caller's rights on the host; nil when the child has to make it with its own.
  static func openInParent(_ source: RootSource) throws(ContainerError) -> SharedFile? {
    // Its upper layer exists in the child's mount namespace only.
    if case .scratch = source { return nil }
    do throws(SystemError) {
      let tree = try make(source, userNamespace: false)
      // As a copy made in the child's mount namespace would be.
      try MountCalls.change(tree.rawValue, propagation: MountFlag.slave, recursive: true)
      return SharedFile(tree)
    } catch {
      if error.errno == .notPermitted { return nil }
      throw ContainerError("root file system \(source.path)", error)
    }
  }

  /// Puts the container's root on the source's folder, where hooks look for it, in the child's mount namespace.
  static func attach(
    _ source: RootSource, tree given: SharedFile?, propagation: Linux.Propagation?, userNamespace: Bool
  ) throws(SystemError) -> SharedFile {
    try changeHostPropagation(propagation)
    let place: FileDescriptor
    do throws(SystemError) { place = try FileDescriptor.open(source.path, O_PATH | O_DIRECTORY) } catch {
      // The user namespace cannot walk to the folder, and the parent made the tree: any other place does as well.
      guard let given, error.errno == .accessDenied else { throw error }
      let root = try FileDescriptor.open("/", O_PATH | O_DIRECTORY)
      try MountCalls.attach(given.descriptor.rawValue, onto: root.rawValue)
      return given
    }
    // A root of a shared mount would hand every mount made in it to the host (pivot_root(2) refuses it too).
    if propagation == .shared { try makePrivate(around: place.rawValue) }
    let tree: SharedFile
    if let given {
      tree = given
    } else if case .directory = source {
      tree = SharedFile(try MountCalls.cloneTree(of: place.rawValue, recursive: true))
    } else if case .scratch(_, let files) = source {
      tree = SharedFile(try ScratchLayer.make(over: place, files: files, userNamespace: userNamespace))
    } else {
      tree = SharedFile(try make(source, userNamespace: userNamespace))
    }
    try MountCalls.attach(tree.descriptor.rawValue, onto: place.rawValue)
    return tree
  }

  /// What the root's own propagation has to become after the pivot; 0 when it already is.
  static func finalPropagation(_ propagation: Linux.Propagation?) -> UInt {
    switch propagation {
    case .shared: return MountFlag.shared
    case .unbindable: return MountFlag.unbindable
    case .private, .slave, nil: return 0
    }
  }

  // Nothing that the container mounts may reach the host, unless the configuration shares the root.
  private static func changeHostPropagation(_ propagation: Linux.Propagation?) throws(SystemError) {
    let kind: UInt
    switch propagation {
    case nil, .slave: kind = MountFlag.slave
    case .private, .unbindable: kind = MountFlag.private
    case .shared: kind = MountFlag.shared
    }
    try MountCalls.changeRoot(propagation: kind, recursive: true)
  }

  private static func makePrivate(around place: Int32) throws(SystemError) {
    var current = try FileDescriptor.duplicate(of: place)
    // A path has at most PATH_MAX / 2 components, so that the walk up ends; "/" is the root of a mount.
    for _ in 0...(PATH_MAX / 2) {
      let isRoot = ccontainer_is_mount_root(current.rawValue)
      guard isRoot >= 0 else { throw SystemError("statx", "", .current) }
      if isRoot == 1 { return try MountCalls.change(current.rawValue, propagation: MountFlag.private) }
      // unsafe: the literal is NUL-terminated.
      let parent = unsafe clinux_openat(current.rawValue, "..", O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
      guard parent >= 0 else { throw SystemError("open", "..", .current) }
      current = FileDescriptor(owning: parent)
    }
    throw SystemError("statx", "", .invalid)
  }

  private static func make(_ source: RootSource, userNamespace: Bool) throws(SystemError) -> FileDescriptor {
    switch source {
    case .directory(let path): return try MountCalls.cloneTree(path, recursive: true)
    case .overlay(let lower, let upper, let work):
      return try overlay(
        lower: try FileDescriptor.open(lower, O_PATH | O_DIRECTORY),
        upper: try FileDescriptor.open(upper, O_PATH | O_DIRECTORY),
        work: try FileDescriptor.open(work, O_PATH | O_DIRECTORY), userNamespace: userNamespace)
    case .scratch(let lower, let files):
      return try ScratchLayer.make(
        over: try FileDescriptor.open(lower, O_PATH | O_DIRECTORY), files: files, userNamespace: userNamespace)
    }
  }

  /// A detached overlay. Descriptors stand for the folders: paths would have to be escaped, and are limited to 255 bytes
  /// (fsconfig(2)).
  static func overlay(
    lower: borrowing FileDescriptor, upper: borrowing FileDescriptor, work: borrowing FileDescriptor,
    userNamespace: Bool
  ) throws(SystemError) -> FileDescriptor {
    let context = try FileSystemContext("overlay")
    try context.set("source", "overlay")
    try context.set("lowerdir", "/proc/self/fd/\(lower.rawValue)")
    try context.set("upperdir", "/proc/self/fd/\(upper.rawValue)")
    try context.set("workdir", "/proc/self/fd/\(work.rawValue)")
    // Without rights over the host's file systems overlay keeps its marks in user.overlay attributes (Linux 5.11).
    if userNamespace { try context.set("userxattr") }
    return try context.mount(attributes: 0)
  }
}
