import CContainer
import CLinux
import OCI
import System

extension Linux.NamespaceType {
  /// The CLONE_NEW flag of clone(2).
  var flag: UInt64 {
    switch self {
    case .pid: return UInt64(ccontainer_newpid)
    case .network: return UInt64(ccontainer_newnet)
    case .mount: return UInt64(ccontainer_newns)
    case .ipc: return UInt64(ccontainer_newipc)
    case .uts: return UInt64(ccontainer_newuts)
    case .user: return UInt64(ccontainer_newuser)
    case .cgroup: return UInt64(ccontainer_newcgroup)
    case .time: return UInt64(ccontainer_newtime)
    }
  }
}

/// A namespace of a path, opened before the container exists.
final class NamespaceHandle {
  let type: Linux.NamespaceType
  let path: String
  private let descriptor: FileDescriptor

  /// Opens `path` and checks that it is a namespace of `type`.
  init(_ type: Linux.NamespaceType, path: String) throws(ContainerError) {
    self.type = type
    self.path = path
    descriptor = try naming("namespace \(type.name)") { () throws(SystemError) in
      try FileDescriptor.open(path, O_RDONLY)
    }
    var file = statfs()
    // unsafe: fstatfs fills the one struct it is given.
    guard unsafe fstatfs(descriptor.rawValue, &file) == 0, file.f_type == 0x6e73_6673 else {  // NSFS_MAGIC
      throw ContainerError(.invalid, "linux.namespaces: \(path) is no namespace (give a file such as /proc/PID/ns/net)")
    }
    let kind = clinux_ioctl(descriptor.rawValue, 0xB703, 0)  // NS_GET_NSTYPE of ioctl_ns(2)
    guard kind < 0 || UInt64(UInt32(bitPattern: kind)) == type.flag else {
      throw ContainerError(.invalid, "linux.namespaces: \(path) is no \(type.name) namespace")
    }
  }

  /// Enters it (setns(2)).
  func enter() throws(ContainerError) {
    guard setns(descriptor.rawValue, Int32(truncatingIfNeeded: type.flag)) == 0 else {
      throw ContainerError("join \(type.name) namespace", SystemError("setns", path, .current))
    }
  }
}

/// Which namespaces a container gets, and in which order it gets into them.
struct NamespacePlan {
  /// CLONE_NEW flags of the new ones.
  let created: UInt64
  /// Those of a path.
  let joined: [NamespaceHandle]
  let uidMappings: [IDMapping]
  let gidMappings: [IDMapping]
  let timeOffsets: [Linux.TimeOffset]

  /// Opens the namespaces of a path that `linux` names.
  init(_ linux: Linux) throws(ContainerError) {
    var created: UInt64 = 0
    var joined: [NamespaceHandle] = []
    for namespace in linux.namespaces {
      if let path = namespace.path {
        joined.append(try NamespaceHandle(namespace.type, path: path))
      } else {
        created |= namespace.type.flag
      }
    }
    self.created = created
    // A user namespace first: it owns the rights to enter the others.
    self.joined = joined.filter { $0.type == .user } + joined.filter { $0.type != .user }
    uidMappings = linux.uidMappings
    gidMappings = linux.gidMappings
    timeOffsets = linux.timeOffsets
  }

  func creates(_ type: Linux.NamespaceType) -> Bool { created & type.flag != 0 }
  func joins(_ type: Linux.NamespaceType) -> Bool { joined.contains { $0.type == type } }

  /// Whether the container has a user namespace of its own.
  var hasUserNamespace: Bool { creates(.user) || joins(.user) }

  /// Whether a process between parent and container must enter namespaces first, because what owns a namespace is decided by
  /// where its maker stands: a joined user namespace must own the new ones, and a new user namespace could not enter those of a path.
  var needsIntermediate: Bool {
    joins(.user) || (creates(.user) && (!joined.isEmpty || creates(.time)))
  }

  /// The flags for the clone(2) that makes the container's first process. The cgroup namespace is made later, by the
  /// process itself, so that its root is the container's own cgroup; the time namespace is made by its parent.
  var cloneFlags: UInt64 {
    var flags = created & ~(Linux.NamespaceType.cgroup.flag | Linux.NamespaceType.time.flag)
    if needsIntermediate { flags &= ~Linux.NamespaceType.user.flag }
    return flags
  }

  /// The PID and time namespaces that the direct parent of the first process gets for its children.
  var childrenFlags: UInt64 {
    joined.reduce(created & Linux.NamespaceType.time.flag) {
      $1.type == .pid || $1.type == .time ? $0 | $1.type.flag : $0
    }
  }

  /// What the direct parent of the container's first process does before it clones: its own view changes for its children only.
  func prepareParent(hostProc: borrowing FileDescriptor) throws(ContainerError) {
    for handle in joined where handle.type == .pid || handle.type == .time { try handle.enter() }
    try makeTimeNamespace(hostProc: hostProc)
  }

  /// Makes the time namespace for the caller's children, and sets its clocks while it is empty.
  func makeTimeNamespace(hostProc: borrowing FileDescriptor) throws(ContainerError) {
    guard creates(.time) else { return }
    guard unshare(Int32(truncatingIfNeeded: Linux.NamespaceType.time.flag)) == 0 else {
      throw ContainerError("time namespace", SystemError("unshare", "", .current))
    }
    guard !timeOffsets.isEmpty else { return }
    var text = ""
    for offset in timeOffsets { text += "\(offset.clock) \(offset.seconds) \(offset.nanoseconds)\n" }
    try Self.write(text, to: "self/timens_offsets", of: hostProc)
  }

  /// What the first process itself enters.
  func joinRest() throws(ContainerError) {
    for handle in joined where handle.type != .pid && handle.type != .time && handle.type != .user {
      try handle.enter()
    }
  }

  /// Maps the IDs of process `pid`, which has just entered a new user namespace. A caller without the privilege for
  /// ranges asks the system's newuidmap(1) and newgidmap(1), as shadow-utils install them.
  func writeMappings(pid: Int32, hostProc: borrowing FileDescriptor) throws(ContainerError) {
    let own = geteuid()
    let single =
      uidMappings.count == 1 && uidMappings[0].size == 1 && uidMappings[0].hostID == own && gidMappings.count <= 1
      && (gidMappings.first.map { $0.size == 1 && $0.hostID == getegid() } ?? true)
    if own != 0 && !single {
      try IDMapTool.run("newuidmap", pid: pid, uidMappings)
      try IDMapTool.run("newgidmap", pid: pid, gidMappings)
      return
    }
    if own != 0 { try Self.write("deny", to: "\(pid)/setgroups", of: hostProc) }
    try Self.write(Self.text(uidMappings), to: "\(pid)/uid_map", of: hostProc)
    if !gidMappings.isEmpty { try Self.write(Self.text(gidMappings), to: "\(pid)/gid_map", of: hostProc) }
  }

  private static func text(_ mappings: [IDMapping]) -> String {
    var text = ""
    for mapping in mappings { text += "\(mapping.containerID) \(mapping.hostID) \(mapping.size)\n" }
    return text
  }

  /// Writes a file of the host's /proc.
  private static func write(_ text: String, to name: String, of hostProc: borrowing FileDescriptor)
    throws(ContainerError)
  {
    let raw = unsafe clinux_openat(hostProc.rawValue, name, O_WRONLY | O_CLOEXEC, 0)
    guard raw >= 0 else { throw ContainerError("user namespace", SystemError("open", "/proc/\(name)", .current)) }
    let file = FileDescriptor(owning: raw)
    try naming("user namespace: /proc/\(name)") { () throws(SystemError) in try file.writeFully(Array(text.utf8)) }
  }
}

/// The set-user-ID helpers that map ranges of IDs for users without privilege (/etc/subuid, /etc/subgid).
enum IDMapTool {
  static func run(_ name: String, pid: Int32, _ mappings: [IDMapping]) throws(ContainerError) {
    var arguments = [name, "\(pid)"]
    for mapping in mappings { arguments += ["\(mapping.containerID)", "\(mapping.hostID)", "\(mapping.size)"] }
    var program: String?
    for folder in ["/usr/bin", "/bin", "/usr/local/bin"] where program == nil {
      if unsafe access("\(folder)/\(name)", X_OK) == 0 { program = "\(folder)/\(name)" }
    }
    guard let program else {
      throw ContainerError(
        .notSupported,
        "mapping more than one ID without root needs \(name); install it (Debian: apt-get install uidmap) and give the "
          + "user a range in /etc/subuid and /etc/subgid")
    }
    let outcome = try ExternalProgram.run(
      program, arguments.map { Array($0.utf8) }, environment: [], input: [], timeout: nil)
    guard outcome.status == 0 else {
      throw ContainerError(.system, "\(name) failed: \(outcome.text)")
    }
  }
}
