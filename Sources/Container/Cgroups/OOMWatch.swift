import CContainer
import CLinux
import System

/// Tells when the kernel kills a process of a container for want of memory.
public struct OOMWatch: ~Copyable {
  /// Readable when there may be news: poll it, then call `drain`.
  public let descriptor: FileDescriptor
  private let folder: CgroupFolder
  /// v2: how many kills were told of already. v1 counts by itself.
  private var seen: UInt64?

  private init(_ descriptor: consuming FileDescriptor, _ folder: CgroupFolder, seen: UInt64?) {
    self.descriptor = descriptor
    self.folder = folder
    self.seen = seen
  }

  static func open(_ placement: CgroupPlacement) throws(ContainerError) -> OOMWatch {
    let target = try LimitWriter(placement: placement, fresh: false).memoryFolder()
    do throws(SystemError) {
      if target.isLegacy { return OOMWatch(try legacy(target.folder), target.folder, seen: nil) }
      return OOMWatch(try unified(target.folder), target.folder, seen: kills(target.folder))
    } catch { throw ContainerError("out-of-memory events", error) }
  }

  /// v2: changes of the counters in memory.events, and of whether there are processes.
  private static func unified(_ folder: CgroupFolder) throws(SystemError) -> FileDescriptor {
    let raw = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    guard raw >= 0 else { throw SystemError("inotify_init1", "", .current) }
    let descriptor = FileDescriptor(owning: raw)
    for file in ["memory.events", "cgroup.events"] {
      // unsafe: the path is NUL-terminated for the call.
      guard unsafe inotify_add_watch(raw, folder.file(file), UInt32(IN_MODIFY)) >= 0 else {
        throw SystemError("watch", folder.file(file), .current)
      }
    }
    return descriptor
  }

  /// v1: an eventfd(2) that memory.oom_control rings (Documentation/admin-guide/cgroup-v1/memory.rst, section 10).
  private static func legacy(_ folder: CgroupFolder) throws(SystemError) -> FileDescriptor {
    let control = try FileDescriptor.open(folder.file("memory.oom_control"), O_RDONLY)
    let raw = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    guard raw >= 0 else { throw SystemError("eventfd", "", .current) }
    let event = FileDescriptor(owning: raw)
    try folder.write("cgroup.event_control", "\(raw) \(control.rawValue)")
    return event
  }

  private static func kills(_ folder: CgroupFolder) -> UInt64 {
    StatisticsReader(folder: folder).values("memory.events").first { $0.name == "oom_kill" }?.value ?? 0
  }

  /// What happened since the last call.
  public enum News: Equatable, Sendable { case nothing, outOfMemory, ended }

  /// Takes what is pending. `.ended`: the cgroup is gone or has no process left, and nothing more will come.
  public mutating func drain() -> News {
    guard let seen else {
      var count: UInt64 = 0
      // unsafe: read(2) fills the eight bytes of `count`.
      let got = retrying { unsafe read(descriptor.rawValue, &count, 8) }
      // The kernel rings once more when the cgroup is removed.
      if !folder.has("memory.oom_control") { return .ended }
      return got == 8 && count > 0 ? .outOfMemory : .nothing
    }
    var buffer = [UInt8](repeating: 0, count: 4096)
    // unsafe: the array outlives the call and is as long as the buffer says; what the events say is read from the files.
    while retrying({ unsafe read(descriptor.rawValue, &buffer, 4096) }) > 0 {}
    let kills = OOMWatch.kills(folder)
    if kills > seen {
      self.seen = kills
      return .outOfMemory
    }
    guard let events = folder.readIfThere("cgroup.events") else { return .ended }
    return events.split(separator: "\n").contains("populated 0") ? .ended : .nothing
  }
}

extension LimitWriter {
  /// Where the memory controller is.
  fileprivate func memoryFolder() throws(ContainerError) -> (folder: CgroupFolder, isLegacy: Bool) {
    switch placement.view {
    case .none: break
    case .unified(let path): return (CgroupFolder(path), false)
    case .hierarchies(let hierarchies, let unified):
      if let hierarchy = hierarchies.first(where: { $0.has("memory") }) {
        return (CgroupFolder(hierarchy.directory), true)
      }
      if let unified { return (CgroupFolder(unified), false) }
    }
    let reason = placement.reason ?? "this host does not have it"
    throw ContainerError(.notSupported, "out-of-memory events need the memory controller: \(reason)")
  }
}

extension CgroupPlacement {
  /// Watches for processes of the container that are killed for want of memory.
  /// - Throws: `.notSupported` without the memory controller.
  public func oomEvents() throws(ContainerError) -> OOMWatch { try OOMWatch.open(self) }
}
