import CContainer
import CLinux
import OCI
import System

/// `linux.intelRdt`: the process's class of service in the resctrl file system (Documentation/filesystems/resctrl.rst of the kernel).
enum IntelRDT {
  static let root = "/sys/fs/resctrl"

  /// RDTGROUP_SUPER_MAGIC of the kernel's magic.h, in headers newer than the C library's.
  private static let magic = 0x0765_5821

  /// Puts process `pid` into the class of `rdt`, which is made when it is the container's own or has a schema.
  /// - Throws: `.notSupported` where the file system is not mounted, `.invalid` for a name that can be none.
  static func join(_ rdt: Linux.IntelRDT, id: String, pid: Int32) throws(ContainerError) {
    var system = statfs()
    // unsafe: the path is a literal; statfs fills the one struct it is given.
    guard unsafe statfs(root, &system) == 0, Int(system.f_type) == magic else {
      throw ContainerError(
        .notSupported, "linux.intelRdt: \(root) is no resctrl file system: this processor or kernel offers none")
    }
    try join(rdt, id: id, pid: pid, root: root)
  }

  static func join(_ rdt: Linux.IntelRDT, id: String, pid: Int32, root: String) throws(ContainerError) {
    let folder = try folder(rdt, id: id, root: root)
    let schemata = schemata(rdt)
    // unsafe: the path is terminated for the call.
    if unsafe folder != root && access(folder, F_OK) != 0 {
      guard rdt.closID == nil || !schemata.isEmpty else {
        throw ContainerError(
          .notFound,
          "linux.intelRdt.closID: '\(rdt.closID ?? "")': there is no \(folder), and no schema to make one with")
      }
      // unsafe: as above.
      guard unsafe mkdir(folder, 0o755) == 0 || Errno.current == .exists else {
        throw ContainerError("linux.intelRdt", SystemError("mkdir", folder, .current))
      }
    }
    // The kernel takes several lines at once, but tells which one is wrong only for one.
    for line in schemata { try write("\(line)\n", "\(folder)/schemata", "linux.intelRdt: schema '\(line)'") }
    try write("\(pid)\n", "\(folder)/tasks", "linux.intelRdt")
    guard rdt.enableMonitoring else { return }
    let group = "\(folder)/mon_groups/\(id)"
    // unsafe: as above.
    guard unsafe mkdir(group, 0o755) == 0 || Errno.current == .exists else {
      throw ContainerError("linux.intelRdt.enableMonitoring", SystemError("mkdir", group, .current))
    }
    try write("\(pid)\n", "\(group)/tasks", "linux.intelRdt.enableMonitoring")
  }

  /// Removes what `join` made for the container alone. A class with a name of its own (`closID`) stays, as others may use it.
  static func remove(_ rdt: Linux.IntelRDT, id: String) throws(ContainerError) {
    let folder = try folder(rdt, id: id, root: root)
    var places: [String] = rdt.enableMonitoring ? ["\(folder)/mon_groups/\(id)"] : []
    if rdt.closID == nil { places.append(folder) }
    for place in places {
      // unsafe: the path is terminated for the call.
      guard unsafe rmdir(place) == 0 || Errno.current == .notFound else {
        throw ContainerError("linux.intelRdt", SystemError("rmdir", place, .current))
      }
    }
  }

  private static func folder(_ rdt: Linux.IntelRDT, id: String, root: String) throws(ContainerError) -> String {
    guard let name = rdt.closID else { return "\(root)/\(id)" }
    // The specification lets "/" stand for the default class.
    if name == "/" { return root }
    let reserved = ["", ".", "..", "info", "mon_groups", "mon_data"]
    guard !reserved.contains(name), !name.utf8.contains(where: { $0 == 0x2F || $0 == 0x0A || $0 == 0 }) else {
      throw ContainerError(.invalid, "linux.intelRdt.closID: '\(name)' can be no class's name")
    }
    return "\(root)/\(name)"
  }

  private static func schemata(_ rdt: Linux.IntelRDT) -> [String] {
    var lines: [String] = []
    for text in [rdt.l3CacheSchema, rdt.memBwSchema] {
      for line in (text ?? "").split(separator: "\n") { lines.append(String(line)) }
    }
    return lines + rdt.schemata
  }

  private static func write(_ text: String, _ path: String, _ field: String) throws(ContainerError) {
    try naming(field) { () throws(SystemError) in
      let file = try FileDescriptor.open(path, O_WRONLY)
      try HostProcFile.write(text, to: file, named: path)
    }
  }
}
