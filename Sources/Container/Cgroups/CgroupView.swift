/// Where a container's cgroup lies, as a mount of type "cgroup" has to know it.
public enum CgroupView: Equatable, Sendable {
  /// The container has no cgroup of its own.
  case none
  /// cgroup v2 alone; the absolute path of the container's cgroup in the host's tree.
  case unified(path: String)
  /// cgroup v1, or v1 with a v2 tree beside it (hybrid): the container's cgroup in each v1 hierarchy, and the absolute path
  /// of its cgroup in the v2 tree, nil when it has none there.
  case hierarchies([CgroupHierarchy], unified: String?)

  /// One v1 hierarchy.
  public typealias Hierarchy = CgroupHierarchy
}

/// One cgroup v1 hierarchy and a container's cgroup in it.
public struct CgroupHierarchy: Equatable, Sendable {
  /// The controllers that are mounted together, as the mount options and /proc/self/cgroup spell them: "cpu,cpuacct",
  /// "name=systemd".
  public var names: String
  /// Absolute path where the host has it mounted.
  public var mountPoint: String
  /// The container's cgroup below the mount point, with a slash in front: "/docker/ID".
  public var path: String

  /// `path` below `mountPoint`.
  public init(names: String, mountPoint: String, path: String) {
    self.names = names
    self.mountPoint = mountPoint
    self.path = path
  }

  /// The cgroup's absolute path in the host's tree.
  public var directory: String { path == "/" ? mountPoint : mountPoint + path }

  /// Whether `controller` ("memory", "name=systemd") is among the names.
  public func has(_ controller: String) -> Bool { names.split(separator: ",").contains { $0 == controller } }
}
