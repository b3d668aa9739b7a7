import CContainer
import CLinux
import System

/// How this host has its cgroups, and where the calling process is in them.
enum CgroupLayout: Equatable {
  /// Nothing usable, and why.
  case none(String)
  case unified(Mount)
  /// v1, with the v2 tree of a hybrid host when it is mounted.
  case legacy([Mount], unified: Mount?)

  /// A mounted hierarchy.
  struct Mount: Equatable {
    /// As in /proc/self/cgroup; empty for v2.
    var names: String
    var mountPoint: String
    /// The process's own cgroup, as a path below the mount point with a slash in front.
    var own: String
    var readOnly = false
  }

  /// Where the kernel's files are; tests put other folders here.
  struct Sources {
    var mountPoint = "/sys/fs/cgroup"
    var proc = "/proc"
  }

  /// Finds the layout: one statfs(2) tells a pure v2 host; otherwise /proc/self/cgroup names the hierarchies, whose mount points
  /// follow from their names. /proc/self/mountinfo is read only when one does not, or when `relative` asks for the own
  /// cgroup and that is not below its mount: in a container without a cgroup namespace the mount shows a part of the tree.
  static func detect(relative: Bool, sources: Sources = Sources()) throws(ContainerError) -> CgroupLayout {
    let top = CgroupFolder(sources.mountPoint)
    guard let fileSystem = top.fileSystem else { return .none("there is no \(sources.mountPoint)") }
    let isUnified = fileSystem.type == UInt(CGROUP2_SUPER_MAGIC)
    if isUnified, !relative {
      return .unified(Mount(names: "", mountPoint: top.path, own: "/", readOnly: fileSystem.readOnly))
    }
    let text = try naming("cgroups") { () throws(SystemError) in try CgroupFolder(sources.proc + "/self").read("cgroup")
    }
    let memberships = Membership.parse(text)
    if isUnified {
      var mount = Mount(names: "", mountPoint: top.path, own: "/", readOnly: fileSystem.readOnly)
      if let own = memberships.first(where: { $0.names.isEmpty })?.path {
        mount.own = own
        if own != "/", !CgroupFolder(top.path + own).has("cgroup.procs") {
          mount.own = "/"
          for entry in try mounts(sources) where entry.isUnified && entry.mountPoint == top.path {
            mount.own = strip(own, root: entry.root)
          }
        }
      }
      return .unified(mount)
    }
    return try legacy(memberships, relative: relative, sources: sources)
  }

  private static func legacy(_ memberships: [Membership], relative: Bool, sources: Sources) throws(ContainerError)
    -> CgroupLayout
  {
    var found: [Mount] = []
    var unified: Mount?
    var complete = true
    for membership in memberships {
      let isUnified = membership.names.isEmpty
      let folder = CgroupFolder(sources.mountPoint + "/" + (isUnified ? "unified" : membership.folder))
      let magic = UInt(isUnified ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC)
      guard let fileSystem = folder.fileSystem, fileSystem.type == magic else {
        // The kernel lists the v2 tree whether or not anybody mounted it.
        if !isUnified { complete = false }
        continue
      }
      // A mount that shows only a part of the tree does not have the own path below it.
      if relative, membership.path != "/", !CgroupFolder(folder.path + membership.path).has("cgroup.procs") {
        complete = false
      }
      let mount = Mount(
        names: membership.names, mountPoint: folder.path, own: membership.path, readOnly: fileSystem.readOnly)
      if isUnified { unified = mount } else { found.append(mount) }
    }
    if !complete { (found, unified) = resolve(memberships, try mounts(sources)) }
    if found.isEmpty {
      if let unified { return .unified(unified) }
      return .none("no cgroup hierarchy is mounted below \(sources.mountPoint)")
    }
    return .legacy(found, unified: unified)
  }

  /// Joins what the process is in with what is mounted. Hierarchies that nobody mounted are left out.
  static func resolve(_ memberships: [Membership], _ mounts: [MountEntry]) -> ([Mount], Mount?) {
    var found: [Mount] = []
    var unified: Mount?
    for membership in memberships {
      let wanted = membership.names.split(separator: ",")
      let entry = mounts.last { entry in
        membership.names.isEmpty
          ? entry.isUnified : !entry.isUnified && wanted.allSatisfy { entry.options.contains(String($0)) }
      }
      guard let entry else { continue }
      let mount = Mount(
        names: membership.names, mountPoint: entry.mountPoint, own: strip(membership.path, root: entry.root),
        readOnly: entry.readOnly)
      if membership.names.isEmpty { unified = mount } else { found.append(mount) }
    }
    return (found, unified)
  }

  /// `own` as seen below a mount whose root is `root`; the mount's root itself when it lies outside.
  static func strip(_ own: String, root: String) -> String {
    if own.utf8.starts(with: "/..".utf8) { return "/" }
    if root == "/" { return own }
    if own == root { return "/" }
    let prefix = root + "/"
    guard own.utf8.starts(with: prefix.utf8) else { return "/" }
    return String(decoding: Array(own.utf8).dropFirst(root.utf8.count), as: UTF8.self)
  }

  private static func mounts(_ sources: Sources) throws(ContainerError) -> [MountEntry] {
    MountEntry.parse(
      try naming("cgroups") { () throws(SystemError) in try CgroupFolder(sources.proc + "/self").read("mountinfo") })
  }
}

/// A line of /proc/PID/cgroup (cgroups(7)).
struct Membership: Equatable {
  /// Empty for v2.
  var names: String
  var path: String

  /// The folder that the hierarchy has by convention.
  var folder: String {
    let prefix = "name="
    guard names.utf8.starts(with: prefix.utf8) else { return names }
    return String(decoding: Array(names.utf8).dropFirst(prefix.utf8.count), as: UTF8.self)
  }

  /// The lines of `text`; those that are no memberships are left out.
  static func parse(_ text: String) -> [Membership] {
    text.split(separator: "\n").compactMap { line in
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3, parts[2].utf8.first == UInt8(ascii: "/") else { return nil }
      return Membership(names: String(parts[1]), path: String(parts[2]))
    }
  }
}

/// A line of /proc/self/mountinfo that is a cgroup mount.
struct MountEntry: Equatable {
  /// The part of the hierarchy that the mount shows.
  var root: String
  var mountPoint: String
  var isUnified: Bool
  /// The super block's options: the controllers of a v1 hierarchy among them.
  var options: [String]
  var readOnly: Bool

  /// The cgroup mounts in `text` (proc_pid_mountinfo(5)).
  static func parse(_ text: String) -> [MountEntry] {
    text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count >= dash + 4 else { return nil }
      let type = fields[dash + 1]
      guard type == "cgroup" || type == "cgroup2" else { return nil }
      return MountEntry(
        root: unescape(fields[3]), mountPoint: unescape(fields[4]), isUnified: type == "cgroup2",
        options: fields[dash + 3].split(separator: ",").map { String($0) },
        readOnly: fields[5].split(separator: ",").contains("ro"))
    }
  }

  /// Undoes the kernel's \ooo for blanks, tabs, line ends and backslashes.
  private static func unescape(_ text: Substring) -> String {
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    var index = 0
    while index < bytes.count {
      if bytes[index] == UInt8(ascii: "\\"), index + 3 < bytes.count {
        let digits = bytes[index + 1...index + 3].map { UInt32($0) &- 48 }
        if digits.allSatisfy({ $0 < 8 }), digits[0] < 4 {
          result.append(UInt8(digits[0] * 64 + digits[1] * 8 + digits[2]))
          index += 4
          continue
        }
      }
      result.append(bytes[index])
      index += 1
    }
    return String(decoding: result, as: UTF8.self)
  }
}
