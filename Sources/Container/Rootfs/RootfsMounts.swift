import CContainer
import CLinux
import System

// One entry of `mounts` after the other (config.md, section "Mounts").
extension Rootfs {
  /// Makes one mount.
  mutating func add(_ mount: PlannedMount, plan: borrowing RootfsPlan) throws(ContainerError) {
    if mount.options.isRemount { return try remount(mount) }
    if mount.isBind { return try bind(mount) }
    switch mount.type {
    case "cgroup", "cgroup2": try addCgroups(mount, plan: plan)
    default: try addFileSystem(mount, plan: plan)
    }
  }

  // MARK: - Bind mounts

  private mutating func bind(_ mount: PlannedMount) throws(ContainerError) {
    if mount.options.copiesSymlink, try copySymlink(mount) { return }
    let tree: SharedFile
    if let made = mount.tree {
      tree = made
    } else {
      tree = SharedFile(try openSource(mount))
      try BindMount.change(tree.descriptor.rawValue, mount.options)
    }
    try attach(tree, of: "bind", mount)
  }

  private func openSource(_ mount: PlannedMount) throws(ContainerError) -> FileDescriptor {
    do throws(SystemError) { return try BindMount.open(mount) } catch {
      if error.errno == .invalid, !mount.options.isRecursiveBind {
        throw ContainerError(
          .system,
          "\(error): what is mounted below it is locked to it in this user namespace; use rbind instead of bind")
      }
      throw ContainerError("", error)
    }
  }

  /// "copy-symlink": makes the source's link anew; false when the source is no link.
  private func copySymlink(_ mount: PlannedMount) throws(ContainerError) -> Bool {
    var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let source = mount.source
    // unsafe: the buffer is valid for its count, and one byte stays for the NUL.
    let count = unsafe target.withUnsafeMutableBytes { bytes in
      unsafe source.withCString { unsafe clinux_readlinkat(AT_FDCWD, $0, bytes.baseAddress, bytes.count - 1) }
    }
    guard count > 0 else { return false }
    let root = root.descriptor.rawValue
    try naming { () throws(SystemError) in
      let folder = try ContainedPath.findOrMakeParent(of: mount.destination, in: root)
      let name = ContainedPath.name(of: mount.destination)
      let link = String(decoding: target[..<count], as: UTF8.self)
      // unsafe: both strings are NUL-terminated for the call.
      guard unsafe symlinkat(link, folder.rawValue, name) == 0 || Errno.current == .exists else {
        throw SystemError("symlink", mount.destination, .current)
      }
    }
    return true
  }

  // MARK: - New file systems

  private mutating func addFileSystem(_ mount: PlannedMount, plan: borrowing RootfsPlan) throws(ContainerError) {
    let isKernelView = mount.type == "proc" || mount.type == "sysfs"
    // A link in the image must not decide what stands for /proc and /sys.
    let existing = try findTarget(mount, followingLink: !isKernelView)
    if isKernelView, let existing { try requireFolder(existing.descriptor.rawValue, mount) }
    var settings = mount.options.data
    if mount.type == "tmpfs", let existing, mount.options.value(ofData: "mode") == nil {
      settings.append("mode=\(octal: try permissions(of: existing.descriptor.rawValue))")
    }
    if !plan.label.isEmpty, SecurityLabels.applies(to: mount.type) { settings.append("context=\(plan.label)") }
    if NewFileSystem.needsOldInterface(mount, settings) {
      return try addByOldInterface(mount, settings, existing)
    }
    let tree: SharedFile
    do throws(SystemError) {
      tree = SharedFile(try NewFileSystem.make(mount, settings))
    } catch {
      guard error.errno == .notPermitted || error.errno == .busy, plan.userNamespace,
        let host = plan.hostView(mount.type)
      else { throw ContainerError("", error) }
      return try bindHostView(host, mount)
    }
    let raw = tree.descriptor.rawValue
    if mount.options.copiesUp, let existing {
      try naming("tmpcopyup") { () throws(SystemError) in
        try CopyUp.copy(from: existing.descriptor.rawValue, to: raw)
      }
    }
    try BindMount.applyCommon(raw, mount.options)
    if NewFileSystem.isReadOnlyLate(mount) { late.append(tree) }
    try attach(tree, of: mount.type, mount, existing: existing)
  }

  /// Mounts by mount(2) on the working directory: for what fsconfig(2) cannot say.
  private mutating func addByOldInterface(_ mount: PlannedMount, _ settings: [String], _ existing: SharedFile?)
    throws(ContainerError)
  {
    let target: SharedFile
    if let existing { target = existing } else { target = try makeTarget(mount, as: .folder) }
    try checkTarget(target.descriptor.rawValue, mount)
    try naming { () throws(SystemError) in
      try NewFileSystem.mountByOldInterface(mount, settings, on: target.descriptor.rawValue)
    }
    guard let made = try findTarget(mount, followingLink: true) else { throw ContainerError(.system, "it vanished") }
    let raw = made.descriptor.rawValue
    try BindMount.applyCommon(raw, mount.options)
    if NewFileSystem.isReadOnlyLate(mount) { late.append(made) }
    note(made, of: mount.type, at: mount.destination)
  }

  /// The host's own /proc or /sys in place of one that this user namespace may not have.
  private mutating func bindHostView(_ host: String, _ mount: PlannedMount) throws(ContainerError) {
    let tree = SharedFile(
      try naming { () throws(SystemError) in try MountCalls.cloneTree(host, recursive: true) })
    let raw = tree.descriptor.rawValue
    try naming { () throws(SystemError) in
      try MountCalls.change(raw, propagation: MountFlag.slave, recursive: true)
      // Without permission to change what is locked, what is asked for is at least added.
      let timeModes = MountAttribute.accessTimes | MountAttribute.noDirectoryAccessTime
      try MountCalls.change(raw, set: mount.options.attributes & ~timeModes)
    }
    try BindMount.applyCommon(raw, mount.options)
    try attach(tree, of: "bind", mount)
  }

  /// "remount": new flags for the mount that is at the destination, and new data for its file system unless it says "bind".
  private func remount(_ mount: PlannedMount) throws(ContainerError) {
    guard let target = try findTarget(mount, followingLink: true) else {
      throw ContainerError("", SystemError("open", mount.destination, .notFound))
    }
    let raw = target.descriptor.rawValue
    if mount.isBind { return try BindMount.change(raw, mount.options) }
    try naming { () throws(SystemError) in
      try NewFileSystem.mountByOldInterface(mount, mount.options.data, on: raw)
    }
    try BindMount.applyCommon(raw, mount.options)
  }

  // MARK: - Destinations

  /// Attaches a detached mount at its destination, which is made when it is missing, and remembers it.
  mutating func attach(_ tree: SharedFile, of type: String, _ mount: PlannedMount, existing: SharedFile? = nil)
    throws(ContainerError)
  {
    let raw = tree.descriptor.rawValue
    let followingLink = !mount.options.keepsDestinationSymlink && type != "proc" && type != "sysfs"
    var found = existing
    if found == nil { found = try findTarget(mount, followingLink: followingLink) }
    let target: SharedFile
    if let found {
      target = found
    } else {
      target = try makeTarget(mount, as: type == "bind" ? try kind(of: raw) : .folder)
    }
    try checkTarget(target.descriptor.rawValue, mount, tree: raw)
    do throws(SystemError) { try MountCalls.attach(raw, onto: target.descriptor.rawValue) } catch {
      try explainMismatch(raw, target.descriptor.rawValue)
      throw ContainerError("", error)
    }
    note(tree, of: type, at: mount.destination)
  }

  func findTarget(_ mount: PlannedMount, followingLink: Bool) throws(ContainerError) -> SharedFile? {
    let root = root.descriptor.rawValue
    let found: FileDescriptor?
    do throws(SystemError) {
      found = try ContainedPath.find(mount.destination, in: root, followingLink: followingLink)
    } catch { throw ContainerError("", error) }
    guard let found else { return nil }
    return SharedFile(found)
  }

  func makeTarget(_ mount: PlannedMount, as kind: ContainedPath.Kind) throws(ContainerError) -> SharedFile {
    let root = root.descriptor.rawValue
    return SharedFile(
      try naming { () throws(SystemError) in try ContainedPath.findOrMake(mount.destination, in: root, as: kind) })
  }

  private func kind(of tree: Int32) throws(ContainerError) -> ContainedPath.Kind {
    let mode = try naming { () throws(SystemError) in try MountCalls.status(of: tree) }.st_mode
    return clinux_s_isdir(mode) ? .folder : .file
  }

  private func permissions(of folder: Int32) throws(ContainerError) -> UInt32 {
    try naming { () throws(SystemError) in try MountCalls.status(of: folder) }.st_mode & 0o7777
  }

  private func requireFolder(_ target: Int32, _ mount: PlannedMount) throws(ContainerError) {
    let mode = try naming { () throws(SystemError) in try MountCalls.status(of: target) }.st_mode
    guard clinux_s_isdir(mode) else {
      throw ContainerError(.invalid, "the rootfs has something there that is no folder; \(mount.type) needs a real one")
    }
  }

  private func explainMismatch(_ tree: Int32, _ target: Int32) throws(ContainerError) {
    let modes = try naming { () throws(SystemError) in
      (try MountCalls.status(of: tree).st_mode, try MountCalls.status(of: target).st_mode)
    }
    let (isFolder, targetIsFolder) = (clinux_s_isdir(modes.0), clinux_s_isdir(modes.1))
    guard isFolder != targetIsFolder else { return }
    throw ContainerError(
      .invalid,
      "the source is \(isFolder ? "a folder" : "a file") and the destination \(targetIsFolder ? "a folder" : "a file")")
  }

  /// /proc shows a process what it is allowed to do, and takes its security labels: only the kernel's may stand there, and of
  /// what is in it only files that show resources may be replaced.
  private func checkTarget(_ target: Int32, _ mount: PlannedMount, tree: Int32? = nil) throws(ContainerError) {
    let isProc = { (descriptor: Int32) throws(ContainerError) -> Bool in
      try naming { () throws(SystemError) in try MountCalls.fileSystemType(of: descriptor) } == Int(PROC_SUPER_MAGIC)
    }
    if mount.type == "proc" { return }
    if mount.destination == "/proc" {
      if let tree, mount.isBind, try isProc(tree) { return }
      throw ContainerError(.invalid, "only a file system of type proc can be mounted on /proc")
    }
    guard try isProc(target), !ProcFiles.replaceable.contains(mount.destination) else { return }
    throw ContainerError(.invalid, "nothing can be mounted there, since it lies inside of a proc file system")
  }
}

/// Files of /proc that an engine may replace: they show what the machine has, and tools such as lxcfs show less.
enum ProcFiles {
  static let replaceable = [
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg",
    "/proc/slabinfo", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
  ]
}

extension RootfsPlan {
  /// The folder of the host that shows the same as a file system of `type` would, for a container that shares the namespace
  /// it shows; nil when there is none.
  borrowing func hostView(_ type: String) -> String? {
    switch type {
    case "sysfs" where !newNetwork: return "/sys"
    case "proc" where !newProcessIDs: return "/proc"
    default: return nil
    }
  }
}

extension String.StringInterpolation {
  /// Permission bits as tmpfs takes them.
  mutating func appendInterpolation(octal value: UInt32) { appendLiteral(String(value, radix: 8)) }
}
