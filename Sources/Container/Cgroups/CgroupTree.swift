import CLinux
import System

/// What is done to a cgroup and all below it. Containers may make cgroups of their own, as deep as they like, so the walk
/// holds one descriptor at a time and goes up by "..": cgroups cannot be moved to another parent.
enum CgroupTree {
  /// Hands `controllers` down from the top of the v2 tree to the children of `leaf`'s parent; true when the parent then hands down all of
  /// them. Ancestors that this user may not write are left as they are.
  @discardableResult
  static func enable(_ controllers: [String], above leaf: String) -> Bool {
    var ancestors: [String] = []
    var folder = CgroupPlacement.parent(leaf)
    while CgroupFolder(folder).has("cgroup.subtree_control") {
      ancestors.append(folder)
      if folder == "/" { break }
      folder = CgroupPlacement.parent(folder)
    }
    var complete = false
    for path in ancestors.reversed() {
      let ancestor = CgroupFolder(path)
      let enabled = names(ancestor.readIfThere("cgroup.subtree_control"))
      let missing = controllers.filter { !enabled.contains($0) }
      complete = missing.isEmpty
      if missing.isEmpty { continue }
      let line = missing.map { "+\($0)" }.reduce("") { $0.isEmpty ? $1 : "\($0) \($1)" }
      if (try? ancestor.write("cgroup.subtree_control", line)) != nil {
        complete = true
        continue
      }
      // One that cannot be handed down must not keep back the others.
      complete = true
      for name in missing where (try? ancestor.write("cgroup.subtree_control", "+\(name)")) == nil { complete = false }
    }
    return complete
  }

  static func names(_ text: String?) -> [String] { text?.split(separator: " ").map { String($0) } ?? [] }
}

extension CgroupTree {
  /// Makes `folder` and those above it that are missing; false when it was there already.
  static func make(_ folder: CgroupFolder) throws(SystemError) -> Bool {
    do { return try folder.make() } catch { guard error.errno == .notFound else { throw error } }
    let parts = folder.path.split(separator: "/")
    var path = ""
    var isNew = false
    for part in parts {
      path += "/" + part
      let step = CgroupFolder(path)
      isNew = step.fileSystem == nil ? try step.make() : false
    }
    return isNew
  }

  /// Makes what is missing above `leaf` and hands down to its children every controller that the top has, unless that is so already.
  ///
  /// To be called before `leaf` is made: while somebody else hands a controller down, a cgroup that is there already names it
  /// before it has its files; one that is made then has them all, since the kernel makes it after the other is done.
  static func prepare(above leaf: String) throws(SystemError) {
    let parent = CgroupFolder(CgroupPlacement.parent(leaf))
    var there = parent.readIfThere("cgroup.subtree_control")
    if there == nil {
      _ = try make(parent)
      there = parent.readIfThere("cgroup.subtree_control")
    }
    var top = parent
    while true {
      let above = CgroupFolder(CgroupPlacement.parent(top.path))
      guard above.path != top.path, above.has("cgroup.controllers") else { break }
      top = above
    }
    guard let offered = top.readIfThere("cgroup.controllers"), offered != there else { return }
    enable(names(offered), above: leaf)
  }

  /// A new v1 cpuset is empty and takes no process: fills it, and empty ones above it, from its parent.
  static func inheritCPUSet(_ hierarchy: CgroupHierarchy, isNew: Bool) throws(ContainerError) {
    var chain: [CgroupFolder] = []
    var path = hierarchy.path
    while path != "/" {
      let folder = CgroupFolder(hierarchy.mountPoint + path)
      if !isNew || !chain.isEmpty, let cpus = folder.readIfThere("cpuset.cpus"), !cpus.isEmpty,
        let mems = folder.readIfThere("cpuset.mems"), !mems.isEmpty
      {
        break
      }
      chain.append(folder)
      path = CgroupPlacement.parent(path)
    }
    let top = CgroupFolder(path == "/" ? hierarchy.mountPoint : hierarchy.mountPoint + path)
    do throws(SystemError) {
      let cpus = try top.read("cpuset.cpus")
      let mems = try top.read("cpuset.mems")
      for folder in chain.reversed() {
        try folder.write("cpuset.cpus", cpus)
        try folder.write("cpuset.mems", mems)
      }
    } catch { throw ContainerError("cgroups", error) }
  }

  /// What became of an attempt to remove a cgroup.
  enum Removal { case gone, busy }

  /// Removes the cgroup at `path` with those below it, once. `.busy` when processes are in one of them.
  static func remove(_ path: String) throws(SystemError) -> Removal {
    // unsafe: the path is NUL-terminated for the calls.
    if unsafe rmdir(path) == 0 { return .gone }
    switch Errno.current {
    case .notFound: return .gone
    case .busy: break
    case let error: throw SystemError("remove the cgroup", path, error)
    }
    try removeChildren(path)
    // unsafe: as above.
    if unsafe rmdir(path) == 0 || Errno.current == .notFound { return .gone }
    guard Errno.current == .busy else { throw SystemError("remove the cgroup", path, .current) }
    return .busy
  }

  /// For a cgroup that was made a moment ago and that nothing can be in.
  static func removeQuietly(_ path: String) {
    // unsafe: the path is NUL-terminated for the call.
    _ = unsafe rmdir(path)
  }

  private static func removeChildren(_ path: String) throws(SystemError) {
    try walk(path, enter: { _ in }) { parent, name in
      // A child with processes keeps its parents, whose removal then tells.
      // unsafe: the name is NUL-terminated for the call.
      _ = unsafe unlinkat(parent, name, AT_REMOVEDIR)
    }
  }

  /// Calls `enter` with the descriptor of each cgroup from the top on, and `leave` with the parent's descriptor and a child's name after
  /// everything below that child. A cgroup that vanishes meanwhile is left out.
  static func walk(
    _ path: String, enter: (borrowing FileDescriptor) -> Void, leave: (Int32, String) -> Void
  ) throws(SystemError) {
    var current = try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY)
    enter(current)
    /// Per level the children still to visit; the name under way is the last of `names`.
    var pending: [[String]] = [children(current)]
    var names: [String] = []
    while let level = pending.indices.last {
      if let name = pending[level].popLast() {
        // unsafe: the name is NUL-terminated for the call.
        let raw = unsafe clinux_openat(current.rawValue, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0)
        guard raw >= 0 else { continue }
        current = FileDescriptor(owning: raw)
        enter(current)
        names.append(name)
        pending.append(children(current))
        continue
      }
      pending.removeLast()
      guard let name = names.popLast() else { break }
      // unsafe: the name is a literal.
      let raw = unsafe clinux_openat(current.rawValue, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
      guard raw >= 0 else { throw SystemError("open", "\(path): the cgroup above \(name)", .current) }
      current = FileDescriptor(owning: raw)
      leave(current.rawValue, name)
    }
  }

  /// The cgroups right below `folder`.
  private static func children(_ folder: borrowing FileDescriptor) -> [String] {
    // unsafe: the name is a literal; the descriptor stays the caller's.
    let raw = unsafe clinux_openat(folder.rawValue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard raw >= 0 else { return [] }
    // unsafe: raw is a fresh descriptor of a folder; the stream owns it from here on and closedir closes it.
    guard let stream = unsafe fdopendir(raw) else {
      _ = close(raw)
      return []
    }
    // unsafe: the stream is open.
    defer { _ = unsafe closedir(stream) }
    var names: [String] = []
    // unsafe: an entry is valid until the next readdir, and its name is NUL-terminated.
    while let entry = unsafe readdir(stream) {
      // unsafe: as above.
      guard unsafe entry.pointee.d_type == UInt8(DT_DIR) else { continue }
      // unsafe: as above.
      let name = unsafe String(cString: clinux_dirent_name(entry))
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// The processes in `path` and below; none when it is gone.
  static func processes(_ path: String) -> [Int32] {
    var found: Set<Int32> = []
    // A cgroup that vanishes has no processes.
    try? walk(path) { folder in
      // unsafe: the name is a literal.
      let raw = unsafe clinux_openat(folder.rawValue, "cgroup.procs", O_RDONLY | O_CLOEXEC, 0)
      guard raw >= 0 else { return }
      let file = FileDescriptor(owning: raw)
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 4096)
      while true {
        // unsafe: the array outlives the call and is as long as the buffer says.
        let count = retrying { unsafe read(file.rawValue, &chunk, 4096) }
        // A threaded cgroup has no processes of its own: its domain lists them (EOPNOTSUPP).
        if count <= 0 { break }
        bytes.append(contentsOf: chunk[..<count])
      }
      for line in bytes.split(separator: UInt8(ascii: "\n")) {
        if let pid = Int32(String(decoding: line, as: UTF8.self)), pid > 0 { found.insert(pid) }
      }
    } leave: { _, _ in
    }
    return found.sorted()
  }
}
