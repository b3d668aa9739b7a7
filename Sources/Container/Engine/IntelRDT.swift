import CLinux
import OCI
import System

/// `linux.intelRdt`: the container's group in resctrl, Intel's Resource Director Technology (kernel documentation, x86/resctrl).
enum IntelRDT {
  private static let root = "/sys/fs/resctrl"

  /// The group of a container; `closID` names one that may be shared, otherwise it is the container's own.
  private static func group(_ rdt: Linux.IntelRDT, id: String) -> String { "\(root)/\(rdt.closID ?? id)" }

  /// The folder that `join` would make and whoever deletes the container removes; nil when a group of that name exists, and so
  /// belongs to others.
  static func ownGroup(_ rdt: Linux.IntelRDT, id: String) throws(ContainerError) -> String? {
    var file = statfs()
    // unsafe: statfs fills the one struct it is given.
    guard unsafe statfs(root, &file) == 0, file.f_type == 0x765_5821 else {  // RDTGROUP_SUPER_MAGIC
      throw ContainerError(
        .notSupported,
        "linux.intelRdt: resctrl is not mounted on \(root): this processor or kernel does not offer it, or "
          + "mount -t resctrl resctrl \(root) is missing")
    }
    let path = group(rdt, id: id)
    return unsafe access(path, F_OK) == 0 ? nil : path
  }

  /// Makes the group where it is missing, writes its schemata and moves process `pid` into it. An existing group must be set as
  /// the configuration says: it is not changed under those that share it.
  static func join(_ rdt: Linux.IntelRDT, id: String, pid: Int32) throws(ContainerError) {
    let path = group(rdt, id: id)
    guard unsafe mkdir(path, 0o755) == 0 || Errno.current == .exists else {
      throw ContainerError("linux.intelRdt", SystemError("mkdir", path, .current))
    }
    var lines = rdt.schemata
    for schema in [rdt.l3CacheSchema, rdt.memBwSchema] { if let schema { lines.append(schema) } }
    for line in lines { try write("\(line)\n", to: "\(path)/schemata") }
    try write("\(pid)", to: "\(path)/tasks")
    guard rdt.enableMonitoring else { return }
    let monitor = "\(path)/mon_groups/\(id)"
    guard unsafe mkdir(monitor, 0o755) == 0 || Errno.current == .exists else {
      throw ContainerError("linux.intelRdt.enableMonitoring", SystemError("mkdir", monitor, .current))
    }
    try write("\(pid)", to: "\(monitor)/tasks")
  }

  private static func write(_ text: String, to path: String) throws(ContainerError) {
    try naming("linux.intelRdt: \(path)") { () throws(SystemError) in
      try FileDescriptor.open(path, O_WRONLY).writeFully(Array(text.utf8))
    }
  }
}
