import CLinux
import OCI
import System

/// A container's cgroups on their way to a process: open descriptors by which a child joins them.
///
/// Order: `CgroupPlacement.decide`, save it, `Cgroup(creating:)`, clone with `cloneIntoDescriptor`, `adopt(pid:)` in the parent where
/// `needsPID`, and `joinSelf()` in the child. For a process that enters a running container: `Cgroup(joining:)`, then the same.
public struct Cgroup: ~Copyable {
  public let placement: CgroupPlacement
  private let resources: Resources?
  /// v1: the `tasks` files.
  private var tasks: [SharedFile] = []
  /// v2: the folder.
  private var folder: SharedFile?
  /// Whether systemd has yet to make the cgroups, around a process.
  public private(set) var needsPID = false

  /// Makes the cgroups of `placement` and sets the limits of `resources`; device rules too, which deny by default even without
  /// `resources`. With systemd only the limits' sense is checked here: the unit needs a process, see `adopt`.
  /// - Throws: the limit that cannot be set, by its name; `.wrongState` when other processes are in the cgroup already. What was made
  ///   is removed again.
  public init(creating placement: CgroupPlacement, resources: Resources?) throws(ContainerError) {
    self.placement = placement
    self.resources = resources
    if placement.systemd != nil {
      needsPID = true
      return
    }
    var made: [String] = []
    do throws(ContainerError) {
      let fresh = try Cgroup.make(placement, &made)
      try Cgroup.limit(placement, resources, fresh: fresh)
      (tasks, folder) = try Cgroup.open(placement)
    } catch {
      for path in made.reversed() { CgroupTree.removeQuietly(path) }
      throw error
    }
  }

  /// The cgroups of a running container. On v2 a cgroup that hands controllers down takes no processes any more (a container with
  /// its own systemd): then it is that of `initProcess`, when that lies below.
  /// - Throws: `.system` when they are gone.
  public init(joining placement: CgroupPlacement, initProcess: Int32?) throws(ContainerError) {
    self.placement = placement
    resources = nil
    (tasks, folder) = try Cgroup.open(placement, initProcess: initProcess)
  }

  /// v2: what clone3(2) takes as `cgroup` with CLONE_INTO_CGROUP; nil where a child cannot be born in its cgroup.
  /// The descriptor belongs to this value.
  public var cloneIntoDescriptor: Int32? { folder?.descriptor.rawValue }

  /// In the child: joins the v1 hierarchies through descriptors that the parent opened. A thread that moves itself by `tasks` does not
  /// wait for the kernel's process-wide lock, as a write to cgroup.procs does. On v2 there is nothing to do.
  public func joinSelf() throws(ContainerError) {
    for file in tasks {
      let result = retrying {
        // unsafe: one byte of a literal is read.
        unsafe write(file.descriptor.rawValue, "0", 1)
      }
      guard result == 1 else {
        throw ContainerError("join the container's cgroups", SystemError("write", "tasks", .current))
      }
    }
  }

  /// In the parent, with systemd: starts the scope around process `pid` (the waiting child) and sets what systemd does not.
  /// Without systemd there is nothing to do.
  public borrowing func adopt(pid: Int32) throws(ContainerError) {
    guard needsPID, let scope = placement.systemd else { return }
    try Systemd.start(
      scope, around: pid, resources: resources, legacy: !placement.isUnified, rootless: placement.rootless)
    var made: [String] = []
    do throws(ContainerError) {
      // systemd makes v1 cgroups only for the controllers that it uses.
      _ = try Cgroup.make(placement, &made, occupied: true)
      try Cgroup.limit(placement, resources, fresh: true)
      if case .hierarchies(let hierarchies, let unified) = placement.view {
        let paths = hierarchies.map { $0.directory } + (unified.map { [$0] } ?? [])
        for path in paths {
          try naming("join the container's cgroups") { () throws(SystemError) in
            try CgroupFolder(path).write("cgroup.procs", "\(pid)")
          }
        }
      }
    } catch {
      for path in made.reversed() { CgroupTree.removeQuietly(path) }
      throw error
    }
  }

  /// Where the container's cgroups lie.
  public var view: CgroupView { placement.view }

  /// Makes every cgroup of the placement, and appends those that were not there to `made`; true when none was.
  private static func make(_ placement: CgroupPlacement, _ made: inout [String], occupied: Bool = false)
    throws(ContainerError) -> Bool
  {
    var fresh = true
    switch placement.view {
    case .none: break
    case .unified(let path):
      try naming("cgroups") { () throws(SystemError) in try CgroupTree.prepare(above: path) }
      fresh = try make(path, &made, occupied)
    case .hierarchies(let hierarchies, let unified):
      for hierarchy in hierarchies {
        let isNew = try make(hierarchy.directory, &made, occupied)
        fresh = fresh && isNew
        if hierarchy.has("cpuset") { try CgroupTree.inheritCPUSet(hierarchy, isNew: isNew) }
      }
      if let unified {
        let isNew = try make(unified, &made, occupied)
        fresh = fresh && isNew
      }
    }
    return fresh
  }

  private static func make(_ path: String, _ made: inout [String], _ occupied: Bool) throws(ContainerError) -> Bool {
    let folder = CgroupFolder(path)
    let isNew = try naming("cgroups") { () throws(SystemError) in try CgroupTree.make(folder) }
    if isNew {
      made.append(path)
    } else if !occupied {
      let processes = folder.readIfThere("cgroup.procs") ?? ""
      guard processes.isEmpty else {
        throw ContainerError(
          .wrongState, "the cgroup \(path) is in use by process \(processes.split(separator: "\n")[0]) already")
      }
      // A cgroup that was left frozen would stop the child before it is one.
      if folder.readIfThere("freezer.state") == "FROZEN" { try? folder.write("freezer.state", "THAWED") }
      if folder.readIfThere("cgroup.freeze") == "1" { try? folder.write("cgroup.freeze", "0") }
    }
    return isNew
  }

  private static func limit(_ placement: CgroupPlacement, _ resources: Resources?, fresh: Bool) throws(ContainerError) {
    let writer = LimitWriter(placement: placement, fresh: fresh)
    if let resources { try writer.apply(resources) }
    try writer.applyDevices(resources?.devices ?? [], fresh: fresh)
  }

  private static func open(_ placement: CgroupPlacement, initProcess: Int32? = nil) throws(ContainerError)
    -> ([SharedFile], SharedFile?)
  {
    switch placement.view {
    case .none: return ([], nil)
    case .unified(let path): return ([], try openFolder(path, initProcess))
    case .hierarchies(let hierarchies, let unified):
      var tasks: [SharedFile] = []
      tasks.reserveCapacity(hierarchies.count)
      for hierarchy in hierarchies {
        tasks.append(
          SharedFile(
            try naming("cgroups") { () throws(SystemError) in
              try FileDescriptor.open(CgroupFolder(hierarchy.directory).file("tasks"), O_WRONLY)
            }))
      }
      guard let unified else { return (tasks, nil) }
      return (tasks, try openFolder(unified, initProcess))
    }
  }

  private static func openFolder(_ path: String, _ initProcess: Int32?) throws(ContainerError) -> SharedFile {
    var path = path
    if let initProcess, CgroupFolder(path).readIfThere("cgroup.subtree_control")?.isEmpty == false,
      let inner = innerCgroup(of: initProcess, below: path)
    {
      path = inner
    }
    return SharedFile(
      try naming("cgroups") { () throws(SystemError) in try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY) })
  }

  /// The v2 cgroup of process `pid` when it lies below `path`.
  private static func innerCgroup(of pid: Int32, below path: String) -> String? {
    guard let text = CgroupFolder("/proc/\(pid)").readIfThere("cgroup"),
      let own = Membership.parse(text).first(where: { $0.names.isEmpty })?.path
    else { return nil }
    // The mount point is not part of the saved path: the longest end of `path` that begins the process's own path.
    let parts = path.split(separator: "/")
    let inner = own.split(separator: "/")
    for start in parts.indices {
      let end = parts[start...]
      guard inner.count > end.count, inner.prefix(end.count).elementsEqual(end) else { continue }
      let folder = inner.dropFirst(end.count).reduce(path) { "\($0)/\($1)" }
      if !inner.contains("..") { return folder }
    }
    return nil
  }
}

extension LimitWriter {
  /// `linux.resources.devices`, by v1's devices controller or by a program on v2. Without a cgroup there are none to apply; a rootless
  /// container cannot make devices work that its user may not open anyway.
  func applyDevices(_ rules: [Resources.DeviceRule], fresh: Bool) throws(ContainerError) {
    let policy = try DevicePolicy(rules)
    if placement.rootless { return }
    switch placement.view {
    case .none:
      guard rules.allSatisfy({ $0.allow }) else {
        throw ContainerError(
          .notSupported,
          "linux.resources.devices: device rules need a cgroup, but \(placement.reason ?? "the container has none")")
      }
    case .unified(let path): try DeviceProgram(policy).install(at: path)
    case .hierarchies(let hierarchies, let unified):
      guard let hierarchy = hierarchies.first(where: { $0.has("devices") }) else {
        guard let unified else { _ = try target("devices", for: "devices"); return }
        return try DeviceProgram(policy).install(at: unified)
      }
      let folder = CgroupFolder(hierarchy.directory)
      let exceptions = try DeviceExceptions(policy)
      var commands = exceptions.commands
      if !fresh, let list = folder.readIfThere("devices.list") {
        commands = exceptions.commands(from: DeviceExceptions(list: list))
      }
      try naming("linux.resources.devices") { () throws(SystemError) in
        try LimitWriter.write(commands, to: folder)
      }
    }
  }

  /// One write per rule, as the kernel takes them, but one open per file: there are a dozen rules for every container.
  private static func write(_ commands: [(file: String, line: String)], to folder: CgroupFolder) throws(SystemError) {
    var index = 0
    while index < commands.count {
      let file = commands[index].file
      let descriptor = try FileDescriptor.open(folder.file(file), O_WRONLY)
      while index < commands.count, commands[index].file == file {
        let line = commands[index].line
        do throws(SystemError) { try descriptor.writeFully(Array(line.utf8)) } catch {
          throw SystemError("write \(line) to", folder.file(file), error.errno)
        }
        index += 1
      }
    }
  }
}
