import Foundation
import OCI
import Testing

@testable import Container

/// A folder that plays a cgroup: the files that the kernel would show, and nothing else can be written.
extension Scratch {
  func cgroup(_ name: String, _ files: [String]) -> String {
    for file in files { write("\(name)/\(file)", "") }
    return path + "/" + name
  }
}

@Suite struct CgroupLimitTests {
  static let unifiedFiles = [
    "cgroup.procs", "memory.max", "memory.swap.max", "memory.low", "memory.current", "memory.high", "cpu.weight",
    "cpu.max",
    "cpu.max.burst", "cpu.idle", "cpuset.cpus", "cpuset.mems", "pids.max", "io.max", "io.weight", "hugetlb.2MB.max",
    "hugetlb.2MB.rsvd.max", "rdma.max",
  ]

  /// Applies `change` to a fresh fake v2 cgroup without `missing`, and returns what each file holds afterwards.
  func unified(
    missing: [String] = [], fresh: Bool = true, preset: [String: String] = [:], _ change: (inout Resources) -> Void
  )
    throws -> [String: String]
  {
    let scratch = Scratch()
    let files = Self.unifiedFiles.filter { !missing.contains($0) }
    let path = scratch.cgroup("c", files)
    scratch.write("c/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma")
    for (name, text) in preset { scratch.write("c/\(name)", text) }
    var resources = Resources()
    change(&resources)
    try LimitWriter(placement: CgroupPlacement(.unified(path: path)), fresh: fresh).apply(resources)
    var result: [String: String] = [:]
    for file in files {
      if let text = scratch.read("c/\(file)"), !text.isEmpty, preset[file] != text { result[file] = text }
    }
    return result
  }

  func refusal(missing: [String] = [], _ change: (inout Resources) -> Void) -> ContainerError? {
    do {
      _ = try unified(missing: missing, change)
      return nil
    } catch { return error as? ContainerError }
  }

  @Test func sharesFollowTheCurveThatRuncAndCrunAgreedOn() {
    #expect(LimitWriter.weight(shares: 0) == 1)
    #expect(LimitWriter.weight(shares: 2) == 1)
    #expect(LimitWriter.weight(shares: 1024) == 100)
    #expect(LimitWriter.weight(shares: 2000) == 170)
    #expect(LimitWriter.weight(shares: 262_144) == 10_000)
    #expect(LimitWriter.weight(shares: .max) == 10_000)
    var last: UInt64 = 0
    for shares in stride(from: UInt64(2), through: 262_144, by: 997) {
      let weight = LimitWriter.weight(shares: shares)
      #expect(weight >= last && weight >= 1 && weight <= 10_000)
      last = weight
    }
    #expect(LimitWriter.ioWeight(10) == 1 && LimitWriter.ioWeight(1000) == 10_000 && LimitWriter.ioWeight(500) == 4950)
  }

  @Test func memoryOnV2CountsSwapAlone() throws {
    #expect(
      try unified {
        $0.memory = .init()
        $0.memory?.limit = 1000
        $0.memory?.swap = 3000
        $0.memory?.reservation = 500
      } == ["memory.max": "1000", "memory.swap.max": "2000", "memory.low": "500"])
    #expect(
      try unified {
        $0.memory = .init()
        $0.memory?.limit = 1000
        $0.memory?.swap = 1000
      } == ["memory.max": "1000", "memory.swap.max": "0"])
    #expect(
      try unified {
        $0.memory = .init()
        $0.memory?.limit = -1
      } == ["memory.max": "max", "memory.swap.max": "max"])
    // Without swap accounting, "no swap" and "any swap" hold by themselves, another limit does not.
    #expect(
      try unified(missing: ["memory.swap.max"]) {
        $0.memory = .init()
        $0.memory?.limit = 1000
        $0.memory?.swap = 1000
      } == ["memory.max": "1000"])
    #expect(
      refusal(missing: ["memory.swap.max"]) {
        $0.memory = .init()
        $0.memory?.limit = 1000
        $0.memory?.swap = 1500
      }?.kind == .notSupported)
    // An update of swap alone is against the limit that is there.
    #expect(
      try unified(fresh: false, preset: ["memory.max": "4096"]) {
        $0.memory = .init()
        $0.memory?.swap = 8192
      } == ["memory.swap.max": "4096"])
  }

  @Test func nonsenseInMemoryIsRefusedByName() {
    #expect(
      refusal {
        $0.memory = .init()
        $0.memory?.limit = 1000
        $0.memory?.swap = 999
      }?.description.contains("memory.swap") == true)
    #expect(
      refusal {
        $0.memory = .init()
        $0.memory?.swap = 999
      }?.description.contains("memory.limit") == true)
    for change: (inout Resources.Memory) -> Void in [
      { $0.kernel = 1 }, { $0.kernelTCP = 1 }, { $0.swappiness = 0 }, { $0.disableOOMKiller = true },
      { $0.useHierarchy = false },
    ] {
      let error = refusal { resources in
        var memory = Resources.Memory()
        change(&memory)
        resources.memory = memory
      }
      #expect(error?.kind == .notSupported && error?.description.contains("linux.resources.memory.") == true)
    }
  }

  @Test func whatEnginesSendForNothingIsNothing() throws {
    #expect(
      try unified(fresh: false) {
        $0.memory = .init()
        $0.memory?.limit = 0
        $0.memory?.swap = 0
        $0.memory?.reservation = 0
        $0.memory?.kernel = 0
        $0.memory?.disableOOMKiller = false
        $0.cpu = .init()
        $0.cpu?.shares = 0
        $0.cpu?.quota = 0
        $0.cpu?.period = 0
        $0.cpu?.cpus = ""
        $0.cpu?.mems = ""
        $0.cpu?.realtimePeriod = 0
        $0.cpu?.realtimeRuntime = 0
        $0.blockIO = .init()
        $0.blockIO?.weight = 0
        $0.pids = .init()
      } == [:])
  }

  @Test func processorsOnV2() throws {
    #expect(
      try unified {
        $0.cpu = .init()
        $0.cpu?.shares = 1024
        $0.cpu?.quota = 50_000
        $0.cpu?.period = 200_000
        $0.cpu?.burst = 1000
        $0.cpu?.cpus = "0-1"
        $0.cpu?.mems = "0"
      } == [
        "cpu.weight": "100", "cpu.max": "50000 200000", "cpu.max.burst": "1000", "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
      ])
    #expect(
      try unified(fresh: false, preset: ["cpu.max": "30000 100000"]) {
        $0.cpu = .init()
        $0.cpu?.period = 50_000
      }["cpu.max"]?.hasPrefix("30000 50000") == true)
    #expect(
      try unified {
        $0.cpu = .init()
        $0.cpu?.quota = -1
        $0.cpu?.idle = 1
        $0.cpu?.shares = 500
      } == ["cpu.max": "max", "cpu.idle": "1"])
    let error = refusal {
      $0.cpu = .init()
      $0.cpu?.realtimeRuntime = 5
    }
    #expect(error?.kind == .notSupported && error?.description.contains("cpu.realtimeRuntime") == true)
  }

  @Test func theRestOnV2() throws {
    #expect(
      try unified {
        $0.pids = .init()
        $0.pids?.limit = 7
        $0.hugepageLimits = [.init(pageSize: "2MB", limit: 4_194_304)]
        $0.blockIO = .init()
        $0.blockIO?.weight = 10
        $0.blockIO?.throttleReadBps = [.init(major: 8, minor: 0, rate: 0)]
        var rdma = Resources.RDMA(device: "mlx5_1")
        rdma.hcaHandles = 3
        rdma.hcaObjects = 9
        $0.rdma = [rdma]
        $0.unified = [.init(name: "memory.high", value: "12345")]
      } == [
        "pids.max": "7", "hugetlb.2MB.max": "4194304", "hugetlb.2MB.rsvd.max": "4194304", "io.weight": "default 1",
        "io.max": "8:0 rbps=max", "rdma.max": "mlx5_1 hca_handle=3 hca_object=9", "memory.high": "12345",
      ])
    for key in ["../../escape", "", "..", "a/b"] {
      #expect(refusal { $0.unified = [.init(name: key, value: "1")] }?.kind == .invalid)
    }
    #expect(
      refusal {
        $0.network = .init()
        $0.network?.classID = 5
      }?.kind == .notSupported)
  }

  @Test func aMissingControllerIsNamed() {
    let error = refusal { $0.unified = [.init(name: "misc.max", value: "1")] }
    #expect(error?.kind == .notSupported)
    #expect(error?.description.contains("controller misc") == true)
    let none = CgroupPlacement(.none, rootless: true, reason: "/sys/fs/cgroup may not be written")
    var resources = Resources()
    resources.memory = .init()
    resources.memory?.limit = 1 << 20
    let refused = #expect(throws: ContainerError.self) {
      try LimitWriter(placement: none, fresh: true).apply(resources)
    }
    #expect(
      refused?.description.contains("memory.limit") == true
        && refused?.description.contains("may not be written") == true)
    resources.memory = nil
    #expect(throws: Never.self) { try LimitWriter(placement: none, fresh: true).apply(resources) }
  }

  @Test func v2ControllersAreHandedDownFromTheTop() throws {
    let scratch = Scratch()
    // The fake tree: two levels above the leaf that have the file.
    _ = scratch.cgroup("top/a/leaf", ["cgroup.procs"])
    scratch.write("top/cgroup.subtree_control", "memory")
    scratch.write("top/a/cgroup.subtree_control", "")
    #expect(CgroupTree.enable(["memory", "pids"], above: scratch.path + "/top/a/leaf"))
    // The fake files are overwritten as a whole; the kernel would add.
    #expect(scratch.read("top/cgroup.subtree_control")?.hasPrefix("+pids") == true)
    #expect(scratch.read("top/a/cgroup.subtree_control") == "+memory +pids")
  }

  @Test func statisticsOnV2() throws {
    let scratch = Scratch()
    let path = scratch.cgroup("c", ["cgroup.procs"])
    scratch.write(
      "c/cpu.stat",
      "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 4\nnr_throttled 1\nthrottled_usec 9\n")
    scratch.write("c/memory.current", "4096\n")
    scratch.write("c/memory.max", "max\n")
    scratch.write("c/memory.stat", "anon 10\nfile 20\nkernel 30\nsock 40\nbroken\n")
    scratch.write("c/memory.events", "low 0\nmax 6\noom 2\noom_kill 2\n")
    scratch.write("c/pids.current", "3\n")
    scratch.write("c/pids.max", "max\n")
    scratch.write("c/io.stat", "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n254:0 \n")
    scratch.write(
      "c/cpu.pressure",
      "some avg10=1.50 avg60=0.25 avg300=0.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
    let statistics = try CgroupPlacement(.unified(path: path)).statistics()
    #expect(
      statistics.cpu.total == 5_000_000 && statistics.cpu.user == 3_000_000 && statistics.cpu.throttledTime == 9000)
    #expect(statistics.memory?.usage == .init(usage: 4096, peak: 0, limit: .max, failures: 6))
    #expect(statistics.memory?.cache == 20 && statistics.memory?.kernel.usage == 30 && statistics.memory?.oomKills == 2)
    #expect(statistics.pids == .init(current: 3, limit: 0))
    #expect(statistics.blockIO.count == 6 && statistics.blockIO.first?.value == 100)
    #expect(statistics.pressure.first == .init(resource: "cpu", share: "some", averages: [150, 25, 0], total: 123))
    let json = statistics.json
    #expect(json["cpu"]?["usage"]?["total"] == .integer(5_000_000))
    #expect(json["memory"]?["usage"]?["limit"] == .unsigned(.max))
    #expect(json["cpu"]?["psi"]?["some"]?["avg10"] == .number(1.5))
    #expect(throws: ContainerError.self) { try CgroupPlacement(.unified(path: path + "x")).statistics() }
  }
}
