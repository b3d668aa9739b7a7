import CLinux
import Foundation
import OCI
import System
import Testing

@testable import Container

/// Whether this process may make cgroups in v1 hierarchies (or in a v2 tree) here.
let realPlacement: CgroupPlacement? = {
  guard geteuid() == 0,
    let placement = try? CgroupPlacement.decide(
      cgroupsPath: "/vmrun-probe-\(getpid())", id: "x", systemd: false, rootless: false)
  else { return nil }
  guard placement.view != .none, var made = try? Cgroup(creating: placement, resources: nil) else { return nil }
  try? made.adopt(pid: 0)
  try? placement.remove()
  return placement
}()

/// A shell in a cgroup; killed with its owner.
final class Inhabitant {
  let process = Foundation.Process()
  init(_ placement: CgroupPlacement, _ script: String) throws {
    var joins = ""
    for folder in placement.folders { joins += "echo 0 > \(folder)/cgroup.procs && " }
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", joins + "{ \(script); }"]
    process.standardError = FileHandle.nullDevice
    try process.run()
  }
  deinit {
    if process.isRunning { process.terminate() }
  }
}

func eventually(_ seconds: Double = 5, _ condition: () throws -> Bool) rethrows -> Bool {
  let end = Date().addingTimeInterval(seconds)
  while Date() < end {
    if try condition() { return true }
    usleep(2000)
  }
  return try condition()
}

@Suite(.serialized, .enabled(if: realPlacement != nil)) struct CgroupLifecycleTests {
  func placement(_ name: String) throws -> CgroupPlacement {
    try CgroupPlacement.decide(
      cgroupsPath: "/vmrun-test-\(getpid())/\(name)", id: "x", systemd: false, rootless: false)
  }

  /// Runs `body` on a cgroup of its own with `resources`, and removes it with the folder above.
  func with(_ name: String, _ resources: Resources?, _ body: (CgroupPlacement) throws -> Void) throws {
    let placement = try placement(name)
    defer {
      try? placement.killAll()
      #expect(throws: Never.self) { try placement.remove() }
      #expect(!placement.exists)
      for folder in placement.folders { rmdir(CgroupPlacement.parent(folder)) }
    }
    let cgroup = try Cgroup(creating: placement, resources: resources)
    #expect(cgroup.view == placement.view)
    try body(placement)
  }

  func file(_ placement: CgroupPlacement, _ controller: String, _ legacy: String, _ unified: String) -> String? {
    switch placement.view {
    case .none: return nil
    case .unified(let path): return CgroupFolder(path).readIfThere(unified)
    case .hierarchies(let list, _):
      return list.first { $0.has(controller) }.flatMap { CgroupFolder($0.directory).readIfThere(legacy) }
    }
  }

  @Test func limitsReachTheKernelAndUpdatesKeepItsOrder() throws {
    var resources = Resources()
    resources.memory = .init()
    resources.memory?.limit = 64 << 20
    resources.memory?.swap = 128 << 20
    resources.pids = .init()
    resources.pids?.limit = 20
    resources.cpu = .init()
    resources.cpu?.shares = 512
    resources.cpu?.quota = 50_000
    resources.cpu?.period = 100_000
    try with("limits", resources) { placement in
      #expect(file(placement, "memory", "memory.limit_in_bytes", "memory.max") == "\(64 << 20)")
      #expect(file(placement, "pids", "pids.max", "pids.max") == "20")
      #expect(file(placement, "cpu", "cpu.cfs_quota_us", "cpu.max")?.hasPrefix("50000") == true)
      // Up beyond the old memory-and-swap limit, and down below the old memory limit: both orders of the two files.
      for limit: Int64 in [256 << 20, 32 << 20] {
        var change = Resources()
        change.memory = .init()
        change.memory?.limit = limit
        change.memory?.swap = limit * 2
        try placement.update(change)
        #expect(file(placement, "memory", "memory.limit_in_bytes", "memory.max") == "\(limit)")
        if case .hierarchies = placement.view {
          #expect(file(placement, "memory", "memory.memsw.limit_in_bytes", "") == "\(limit * 2)")
        }
      }
      var lift = Resources()
      lift.memory = .init()
      lift.memory?.limit = -1
      lift.pids = .init()
      lift.pids?.limit = -1
      try placement.update(lift)
      #expect(file(placement, "pids", "pids.max", "pids.max") == "max")
      let statistics = try placement.statistics()
      #expect(statistics.memory != nil && statistics.pids?.limit == 0)
    }
  }

  @Test func aSecondContainerMayNotTakeAnInhabitedCgroup() throws {
    try with("twice", nil) { placement in
      let inhabitant = try Inhabitant(placement, "sleep 100")
      #expect(eventually { placement.processes().contains(inhabitant.process.processIdentifier) })
      let error = #expect(throws: ContainerError.self) { _ = try Cgroup(creating: placement, resources: nil) }
      #expect(error?.kind == .wrongState)
      // The refusal took nothing away.
      #expect(placement.exists)
    }
  }

  @Test func aFailureLeavesNothingBehind() throws {
    let placement = try placement("failure")
    var resources = Resources()
    resources.hugepageLimits = [.init(pageSize: "7MB", limit: 1)]
    #expect(throws: ContainerError.self) { _ = try Cgroup(creating: placement, resources: resources) }
    #expect(!placement.exists)
    for folder in placement.folders { rmdir(CgroupPlacement.parent(folder)) }
  }

  @Test func freezingStopsAndThawingGoesOn() throws {
    try with("freeze", nil) { placement in
      let scratch = Scratch()
      let counter = scratch.path + "/n"
      _ = try Inhabitant(placement, "n=0; while :; do n=$((n+1)); echo $n > \(counter); done").process
      #expect(eventually { FileManager.default.fileExists(atPath: counter) })
      #expect(!placement.isFrozen)
      try placement.freeze()
      #expect(placement.isFrozen)
      let before = scratch.read("n")
      usleep(50_000)
      #expect(scratch.read("n") == before)
      try placement.thaw()
      #expect(!placement.isFrozen)
      #expect(eventually { scratch.read("n") != before })
      // A frozen container is killed all the same.
      try placement.freeze()
      try placement.killAll()
      #expect(eventually { placement.processes().isEmpty })
    }
  }

  @Test func cgroupsThatTheContainerMadeAreSeenKilledAndRemoved() throws {
    try with("nested", nil) { placement in
      for folder in placement.folders {
        // Deep enough that one descriptor per level would run out of them.
        var path = folder
        for level in 0..<3 {
          path += "/inner\(level)"
          mkdir(path, 0o755)
        }
        mkdir(folder + "/other", 0o755)
        if FileManager.default.fileExists(atPath: folder + "/cpuset.cpus") {
          for name in ["/inner0", "/inner0/inner1", "/inner0/inner1/inner2", "/other"] {
            for file in ["cpuset.mems", "cpuset.cpus"] where CgroupFolder(folder).readIfThere(file)?.isEmpty == false {
              try CgroupFolder(folder + name).write(file, try CgroupFolder(folder).read(file))
            }
          }
        }
      }
      let deep = CgroupPlacement(
        { view in
          switch view {
          case .none: return .none
          case .unified(let path): return .unified(path: path + "/inner0/inner1/inner2")
          case .hierarchies(let list, let unified):
            return .hierarchies(
              list.map { .init(names: $0.names, mountPoint: $0.mountPoint, path: $0.path + "/inner0/inner1/inner2") },
              unified: unified.map { $0 + "/inner0/inner1/inner2" })
          }
        }(placement.view))
      let inhabitant = try Inhabitant(deep, "sleep 100 & sleep 100 & wait")
      #expect(eventually { placement.processes().count == 3 })
      #expect(placement.processes().contains(inhabitant.process.processIdentifier))
      try placement.killAll()
      inhabitant.process.waitUntilExit()
      try placement.remove()
      #expect(!placement.exists)
      // Once more, and after everything is gone.
      try placement.remove()
      try placement.killAll()
      #expect(placement.processes().isEmpty)
    }
  }

  @Test func removalOfAnInhabitedCgroupSaysWho() throws {
    try with("busy", nil) { placement in
      let inhabitant = try Inhabitant(placement, "sleep 100")
      #expect(eventually { placement.processes().contains(inhabitant.process.processIdentifier) })
      let error = #expect(throws: ContainerError.self) { try placement.remove() }
      #expect(error?.kind == .wrongState)
      kill(inhabitant.process.processIdentifier, SIGKILL)
    }
  }

  @Test func theKernelsKillForWantOfMemoryIsTold() throws {
    var resources = Resources()
    resources.memory = .init()
    resources.memory?.limit = 16 << 20
    resources.memory?.swap = 16 << 20
    try with("oom", resources) { placement in
      var watch = try placement.oomEvents()
      #expect(watch.drain() == .nothing)
      let inhabitant = try Inhabitant(placement, "ulimit -v 1000000; exec tail /dev/zero > /dev/null")
      var ready = pollfd(fd: watch.descriptor.rawValue, events: Int16(POLLIN), revents: 0)
      #expect(poll(&ready, 1, 20_000) == 1)
      #expect(eventually { watch.drain() == .outOfMemory } || placement.isUnified)
      inhabitant.process.waitUntilExit()
      #expect(inhabitant.process.terminationReason == .uncaughtSignal)
      #expect(try placement.statistics().memory?.oomKills ?? 0 >= 1)
    }
  }

  @Test func deviceRulesHoldOnThisHost() throws {
    var resources = Resources()
    resources.devices = CgroupDeviceTests.docker
    try with("devices", resources) { placement in
      func opens(_ device: String) throws -> Bool {
        let inhabitant = try Inhabitant(placement, "exec 3<\(device)")
        inhabitant.process.waitUntilExit()
        return inhabitant.process.terminationStatus == 0
      }
      #expect(try opens("/dev/null"))
      #expect(try !opens("/dev/kmsg"))
      var change = Resources()
      change.devices =
        CgroupDeviceTests.docker + [
          .init(allow: true, type: .character, major: 1, minor: 11, access: .all)
        ]
      try placement.update(change)
      #expect(try opens("/dev/kmsg"))
      try placement.update(
        {
          resources.memory = nil; return resources
        }())
      #expect(try !opens("/dev/kmsg"))
      #expect(try opens("/dev/null"))
    }
  }

  @Test func aChildJoinsThroughTheParentsDescriptors() throws {
    try with("join", nil) { placement in
      let cgroup = try Cgroup(joining: placement, initProcess: nil)
      // joinSelf moves the calling thread (v1's tasks): a thread of its own, which ends in the container's cgroups.
      nonisolated(unsafe) var seen = ""
      let files = placement.folders
      if case .hierarchies = placement.view {
        let thread = try JoiningThread(cgroup)
        seen = thread.memberships
        let relevant = Membership.parse(seen).filter { !$0.names.isEmpty }
        #expect(!relevant.isEmpty && relevant.allSatisfy { $0.path.hasSuffix("/join") })
      }
      #expect(!files.isEmpty)
      #expect(
        (cgroup.cloneIntoDescriptor != nil) == (placement.folders.contains { CgroupFolder($0).has("cgroup.kill") }))
    }
  }
}

/// Joins on a thread of its own and reads where that thread is.
struct JoiningThread {
  let memberships: String
  init(_ cgroup: borrowing Cgroup) throws {
    final class Box: @unchecked Sendable { var text = ""; var failed = false }
    let box = Box()
    let joined = try Cgroup(joining: cgroup.placement, initProcess: nil)
    let shared = Holder(joined)
    let thread = Foundation.Thread {
      do {
        try shared.cgroup.joinSelf()
        box.text = try CgroupFolder("/proc/thread-self").read("cgroup")
      } catch { box.failed = true }
      shared.done.signal()
    }
    thread.start()
    shared.done.wait()
    #expect(!box.failed)
    memberships = box.text
  }
  final class Holder: @unchecked Sendable {
    let cgroup: Cgroup
    let done = DispatchSemaphore(value: 0)
    init(_ cgroup: consuming Cgroup) { self.cgroup = cgroup }
  }
}
