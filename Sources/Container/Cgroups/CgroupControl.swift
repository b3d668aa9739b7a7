import CLinux
import OCI
import System

extension CgroupPlacement {
  /// Changes the limits of a running container. Members that are absent stay as they are; device rules change only when some are given.
  public func update(_ resources: Resources) throws(ContainerError) {
    let writer = LimitWriter(placement: self, fresh: false)
    if let systemd { try Systemd.update(systemd, resources, legacy: !isUnified, rootless: rootless) }
    try writer.apply(resources)
    if !resources.devices.isEmpty { try writer.applyDevices(resources.devices, fresh: false) }
  }

  /// The folders of all the container's cgroups.
  var folders: [String] {
    switch view {
    case .none: return []
    case .unified(let path): return [path]
    case .hierarchies(let hierarchies, let unified):
      return hierarchies.map { $0.directory } + (unified.map { [$0] } ?? [])
    }
  }

  /// The v2 folder, if there is one.
  private var unifiedFolder: CgroupFolder? {
    switch view {
    case .none: return nil
    case .unified(let path): return CgroupFolder(path)
    case .hierarchies(_, let unified): return unified.map { CgroupFolder($0) }
    }
  }

  private var legacyFreezer: CgroupFolder? {
    guard case .hierarchies(let hierarchies, _) = view else { return nil }
    return hierarchies.first { $0.has("freezer") }.map { CgroupFolder($0.directory) }
  }

  /// The folder that knows the container's processes: v2's where there is one, else a v1 hierarchy that containers have no business in.
  private var processFolder: String? {
    if let unifiedFolder { return unifiedFolder.path }
    guard case .hierarchies(let hierarchies, _) = view else { return nil }
    for controller in ["freezer", "devices", "pids", "memory"] {
      if let hierarchy = hierarchies.first(where: { $0.has(controller) }) { return hierarchy.directory }
    }
    return hierarchies.first?.directory
  }

  /// All processes of the container and of cgroups that it made below its own, in ascending order; none when it is gone.
  public func processes() -> [Int32] { processFolder.map { CgroupTree.processes($0) } ?? [] }

  /// Stops all processes (v1's freezer, v2's cgroup.freeze) and waits until all are, at most two seconds.
  /// - Throws: `.notSupported` without a freezer, `.system` when processes would not stop; they run on then.
  public func freeze() throws(ContainerError) {
    let deadline = Clock.now() &+ 2_000_000_000
    if let folder = legacyFreezer { return try freezeLegacy(folder, deadline) }
    guard let folder = unifiedFolder else { throw noFreezer }
    try naming("freeze") { () throws(SystemError) in try folder.write("cgroup.freeze", "1") }
    let events = try naming("freeze") { () throws(SystemError) in
      try FileDescriptor.open(folder.file("cgroup.events"), O_RDONLY)
    }
    while !CgroupPlacement.events(events, has: "frozen 1") {
      let left = Int64(bitPattern: deadline &- Clock.now())
      guard left > 0 else {
        try? folder.write("cgroup.freeze", "0")
        throw ContainerError(.system, "freeze: the processes in \(folder.path) did not stop in time")
      }
      var descriptor = pollfd(fd: events.rawValue, events: Int16(POLLPRI), revents: 0)
      // unsafe: one struct is handed over, and one is announced.
      _ = unsafe poll(&descriptor, 1, Int32(min(left / 1_000_000 + 1, 100)))
    }
  }

  private func freezeLegacy(_ folder: CgroupFolder, _ deadline: UInt64) throws(ContainerError) {
    var attempt = 0
    while true {
      do throws(SystemError) {
        // While processes fork, the kernel may stay at FREEZING; writing again makes it look again.
        try folder.write("freezer.state", "FROZEN")
        if try folder.read("freezer.state") == "FROZEN" { return }
      } catch { throw ContainerError("freeze", error) }
      guard Clock.now() < deadline else {
        try? folder.write("freezer.state", "THAWED")
        throw ContainerError(.system, "freeze: the processes in \(folder.path) did not stop in time")
      }
      attempt += 1
      if attempt % 50 == 0 {
        // A process that waits for a stopped one in the kernel stops only after that one went on for a moment.
        try? folder.write("freezer.state", "THAWED")
        CgroupPlacement.sleep(microseconds: 1000)
      } else {
        CgroupPlacement.sleep(microseconds: attempt < 10 ? 20 : 200)
      }
    }
  }

  /// Lets the processes go on. That they are running already is fine.
  public func thaw() throws(ContainerError) {
    if let folder = legacyFreezer {
      return try naming("thaw") { () throws(SystemError) in try folder.write("freezer.state", "THAWED") }
    }
    guard let folder = unifiedFolder else { throw noFreezer }
    try naming("thaw") { () throws(SystemError) in try folder.write("cgroup.freeze", "0") }
  }

  /// Whether the container was frozen (or is about to be). False without a cgroup or without a freezer.
  public var isFrozen: Bool {
    if let folder = legacyFreezer {
      guard let state = folder.readIfThere("freezer.state") else { return false }
      return state != "THAWED"
    }
    return unifiedFolder?.readIfThere("cgroup.freeze") == "1"
  }

  private var noFreezer: ContainerError {
    ContainerError(.notSupported, "pausing needs a cgroup with a freezer, but \(reason ?? "this host has none")")
  }

  /// Sends SIGKILL to all processes of the container, also to those that fork meanwhile, and thaws it. Does not wait for their end.
  public func killAll() throws(ContainerError) {
    // cgroup.kill is there since Linux 5.14, and reaches frozen ones on v2.
    if let folder = unifiedFolder, (try? folder.write("cgroup.kill", "1")) != nil {
      // SIGKILL waits behind v1's freezer.
      if isFrozen { try? thaw() }
      return
    }
    // In a frozen cgroup nobody forks and no number is used anew.
    let frozen = (try? freeze()) != nil
    for round in 0..<(frozen ? 1 : 20) {
      let processes = processes()
      if processes.isEmpty { break }
      if round > 0 { CgroupPlacement.sleep(microseconds: 1000) }
      for pid in processes { _ = kill(pid, SIGKILL) }
    }
    if isFrozen { try? thaw() }
  }

  /// Removes the cgroups, with those that the container made below. What is gone already is fine; a process that is just ending is
  /// waited for, at most two seconds. Does not kill: call `killAll` before.
  /// - Throws: `.wrongState` when processes remain, `.system` when the kernel refuses.
  public func remove() throws(ContainerError) {
    // The unit goes with its last process; when the manager does not answer, the cgroups are removed all the same.
    if let systemd { try? Systemd.stop(systemd) }
    var pending = folders
    var pause: UInt32 = 500
    let deadline = Clock.now() &+ 2_000_000_000
    while true {
      var busy: [String] = []
      for path in pending {
        let removal = try naming("cgroups") { () throws(SystemError) in try CgroupTree.remove(path) }
        if case .busy = removal { busy.append(path) }
      }
      if busy.isEmpty { return }
      guard Clock.now() < deadline else {
        let processes = CgroupTree.processes(busy[0])
        let who = processes.isEmpty ? "" : ": process \(processes[0])" + (processes.count > 1 ? " and others" : "")
        throw ContainerError(.wrongState, "the cgroup \(busy[0]) is still in use\(who)")
      }
      pending = busy
      CgroupPlacement.sleep(microseconds: pause)
      pause = min(pause * 2, 100_000)
    }
  }

  /// Whether any of the cgroups is there.
  public var exists: Bool { folders.contains { CgroupFolder($0).has("cgroup.procs") } }

  private static func events(_ file: borrowing FileDescriptor, has line: String) -> Bool {
    var chunk = [UInt8](repeating: 0, count: 256)
    // unsafe: the array outlives the call and is as long as the buffer says.
    let count = retrying { unsafe pread(file.rawValue, &chunk, 256, 0) }
    guard count > 0 else { return false }
    return chunk[..<count].split(separator: UInt8(ascii: "\n")).contains { $0.elementsEqual(line.utf8) }
  }

  static func sleep(microseconds: UInt32) {
    let time = timespec(tv_sec: Int(microseconds / 1_000_000), tv_nsec: Int(microseconds % 1_000_000) * 1000)
    // unsafe: nanosleep reads the one struct. A signal shortens the pause, and every caller looks again after it.
    _ = unsafe withUnsafePointer(to: time) { unsafe nanosleep($0, nil) }
  }
}
