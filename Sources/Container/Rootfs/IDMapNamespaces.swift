import CContainer
import CLinux
import OCI
import System

/// User namespaces whose only use is their mapping: mount_setattr(2) takes the mapping of an ID-mapped mount from one.
struct IDMapNamespaces {
  private let container: Linux
  private var made: [(map: Mapping, file: SharedFile)] = []

  struct Mapping: Equatable {
    var uids: [IDMapping]
    var gids: [IDMapping]
  }

  /// - Parameter linux: the container's own mapping, for mounts that name none.
  init(linux: Linux) { container = linux }

  /// Maps the IDs of the detached mount `tree`.
  mutating func apply(_ idMap: MountOptions.IDMap, to tree: Int32, _ name: String) throws(ContainerError) {
    let namespace = try namespace(for: idMap, name)
    do throws(SystemError) {
      try MountCalls.change(
        tree, set: MountAttribute.idMap, recursive: idMap.isRecursive, userNamespace: namespace.descriptor.rawValue)
    } catch {
      if error.errno == .invalid {
        throw ContainerError(
          .notSupported, "\(name): this file system cannot be ID-mapped by this kernel, or is ID-mapped already")
      }
      throw ContainerError("\(name): ID mapping", error)
    }
  }

  private mutating func namespace(for idMap: MountOptions.IDMap, _ name: String) throws(ContainerError) -> SharedFile {
    var map = Mapping(uids: idMap.uids, gids: idMap.gids)
    if map.uids.isEmpty {
      guard let user = container.namespace(.user) else {
        throw ContainerError(.invalid, "\(name): ID-mapped without mappings, and the container has no user namespace")
      }
      if let path = user.path {
        return SharedFile(try naming(name) { () throws(SystemError) in try FileDescriptor.open(path, O_RDONLY) })
      }
      map = Mapping(uids: container.uidMappings, gids: container.gidMappings)
    }
    for entry in made where entry.map == map { return entry.file }
    let file = SharedFile(try naming("\(name): ID mapping") { () throws(SystemError) in try Self.make(map) })
    made.append((map, file))
    return file
  }

  /// A new user namespace with `map`, kept alive by the descriptor alone.
  private static func make(_ map: Mapping) throws(SystemError) -> FileDescriptor {
    let child = ccontainer_user_namespace_holder()
    guard child > 0 else { throw SystemError("clone", "user namespace", .current) }
    defer {
      _ = kill(child, SIGKILL)
      var status: Int32 = 0
      // unsafe: waitpid fills the one integer it is given; the child can only have been killed.
      while unsafe waitpid(child, &status, 0) < 0, Errno.current == .interrupted {}
    }
    try write(map.uids, to: "/proc/\(child)/uid_map")
    try write(map.gids, to: "/proc/\(child)/gid_map")
    return try FileDescriptor.open("/proc/\(child)/ns/user", O_RDONLY)
  }

  private static func write(_ mappings: [IDMapping], to path: String) throws(SystemError) {
    var text = ""
    for mapping in mappings { text += "\(mapping.containerID) \(mapping.hostID) \(mapping.size)\n" }
    let file = try FileDescriptor.open(path, O_WRONLY)
    do throws(SystemError) { try file.writeFully(Array(text.utf8)) } catch {
      throw SystemError("write", path, error.errno)
    }
  }
}
