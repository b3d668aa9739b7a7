import JSON
import System

/// What a container used, read from its cgroups at one moment. Absent controllers leave their part nil or empty.
public struct CgroupStatistics: Equatable, Sendable {
  public var cpu = CPU()
  public var memory: Memory?
  public var pids: PIDs?
  /// By operation, as the kernel names it ("io_service_bytes_recursive").
  public var blockIO: [BlockIO] = []
  public var hugetlb: [Hugetlb] = []
  public var rdma: [RDMA] = []
  /// v2: pressure stall information by resource ("cpu", "memory", "io").
  public var pressure: [Pressure] = []

  /// Times in nanoseconds.
  public struct CPU: Equatable, Sendable {
    public var total: UInt64 = 0
    public var user: UInt64 = 0
    public var kernel: UInt64 = 0
    /// v1: per processor.
    public var perCPU: [UInt64] = []
    public var periods: UInt64 = 0
    public var throttledPeriods: UInt64 = 0
    public var throttledTime: UInt64 = 0
  }
  /// A counter with its limit, in bytes; `UInt64.max` is no limit.
  public struct Counter: Equatable, Sendable {
    public var usage: UInt64 = 0
    public var peak: UInt64 = 0
    public var limit: UInt64 = 0
    public var failures: UInt64 = 0
  }
  public struct Memory: Equatable, Sendable {
    public var usage = Counter()
    /// v1: memory and swap together; v2: swap alone.
    public var swap = Counter()
    public var kernel = Counter()
    public var kernelTCP = Counter()
    public var cache: UInt64 = 0
    /// All lines of memory.stat.
    public var raw: [Value] = []
    /// v2: how many processes the kernel killed for want of memory.
    public var oomKills: UInt64 = 0
  }
  public struct Value: Equatable, Sendable {
    public var name: String
    public var value: UInt64
  }
  public struct PIDs: Equatable, Sendable {
    public var current: UInt64 = 0
    /// 0 is no limit.
    public var limit: UInt64 = 0
  }
  public struct BlockIO: Equatable, Sendable {
    public var table: String
    public var major: UInt64
    public var minor: UInt64
    public var operation: String
    public var value: UInt64
  }
  public struct Hugetlb: Equatable, Sendable {
    public var pageSize: String
    public var counter: Counter
  }
  public struct RDMA: Equatable, Sendable {
    public var device: String
    public var isLimit: Bool
    public var handles: UInt64
    public var objects: UInt64
  }
  public struct Pressure: Equatable, Sendable {
    public var resource: String
    /// "some" or "full".
    public var share: String
    /// Percent over 10, 60 and 300 seconds, in hundredths.
    public var averages: [UInt64]
    /// Microseconds.
    public var total: UInt64
  }
}

extension CgroupPlacement {
  /// Reads what the container used so far.
  /// - Throws: `.notFound` when it has no cgroups (any more).
  public func statistics() throws(ContainerError) -> CgroupStatistics {
    guard exists else {
      throw ContainerError(.notFound, "there are no statistics: \(reason ?? "the container's cgroups are gone")")
    }
    var result = CgroupStatistics()
    switch view {
    case .none: break
    case .unified(let path): StatisticsReader(folder: CgroupFolder(path)).unified(&result)
    case .hierarchies(let hierarchies, let unified):
      for hierarchy in hierarchies {
        StatisticsReader(folder: CgroupFolder(hierarchy.directory)).legacy(hierarchy, &result)
      }
      if let unified { StatisticsReader(folder: CgroupFolder(unified)).hugetlb("max", &result) }
    }
    return result
  }
}

/// Turns the texts of one cgroup folder into numbers. A file that is missing or says something unexpected leaves 0.
struct StatisticsReader {
  let folder: CgroupFolder

  private func number(_ file: String) -> UInt64 {
    guard let text = folder.readIfThere(file) else { return 0 }
    return text == "max" ? .max : UInt64(text) ?? 0
  }

  /// Lines of "name number".
  func values(_ file: String) -> [CgroupStatistics.Value] {
    guard let text = folder.readIfThere(file) else { return [] }
    return text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count == 2, let value = UInt64(fields[1]) else { return nil }
      return CgroupStatistics.Value(name: String(fields[0]), value: value)
    }
  }

  private static func find(_ values: [CgroupStatistics.Value], _ name: String) -> UInt64 {
    values.first { $0.name == name }?.value ?? 0
  }

  /// The v1 files of those controllers that `hierarchy` has.
  func legacy(_ hierarchy: CgroupHierarchy, _ result: inout CgroupStatistics) {
    if hierarchy.has("cpu") {
      let values = values("cpu.stat")
      result.cpu.periods = Self.find(values, "nr_periods")
      result.cpu.throttledPeriods = Self.find(values, "nr_throttled")
      result.cpu.throttledTime = Self.find(values, "throttled_time")
    }
    if hierarchy.has("cpuacct") {
      result.cpu.total = number("cpuacct.usage")
      result.cpu.user = number("cpuacct.usage_user")
      result.cpu.kernel = number("cpuacct.usage_sys")
      result.cpu.perCPU = (folder.readIfThere("cpuacct.usage_percpu") ?? "").split(separator: " ").compactMap {
        UInt64($0)
      }
    }
    if hierarchy.has("memory") {
      var memory = CgroupStatistics.Memory()
      memory.usage = counter("memory")
      memory.swap = counter("memory.memsw")
      memory.kernel = counter("memory.kmem")
      memory.kernelTCP = counter("memory.kmem.tcp")
      memory.raw = values("memory.stat")
      memory.cache = Self.find(memory.raw, "cache")
      memory.oomKills = Self.find(values("memory.oom_control"), "oom_kill")
      result.memory = memory
    }
    if hierarchy.has("pids") { readPIDs(&result) }
    if hierarchy.has("blkio") {
      for table in ["io_service_bytes_recursive", "io_serviced_recursive"] {
        let own = folder.has("blkio.bfq.\(table)") ? "blkio.bfq.\(table)" : "blkio.\(table)"
        var rows = blockIO(own, as: table)
        if rows.isEmpty { rows = blockIO("blkio.throttle.\(table)", as: table) }
        result.blockIO += rows
      }
    }
    if hierarchy.has("hugetlb") { hugetlb("limit_in_bytes", &result) }
    if hierarchy.has("rdma") { readRDMA(&result) }
  }

  private func counter(_ prefix: String) -> CgroupStatistics.Counter {
    guard folder.has("\(prefix).usage_in_bytes") else { return CgroupStatistics.Counter() }
    return CgroupStatistics.Counter(
      usage: number("\(prefix).usage_in_bytes"), peak: number("\(prefix).max_usage_in_bytes"),
      limit: number("\(prefix).limit_in_bytes"), failures: number("\(prefix).failcnt"))
  }

  /// The v2 files.
  func unified(_ result: inout CgroupStatistics) {
    let cpu = values("cpu.stat")
    result.cpu.total = Self.nanoseconds(Self.find(cpu, "usage_usec"))
    result.cpu.user = Self.nanoseconds(Self.find(cpu, "user_usec"))
    result.cpu.kernel = Self.nanoseconds(Self.find(cpu, "system_usec"))
    result.cpu.periods = Self.find(cpu, "nr_periods")
    result.cpu.throttledPeriods = Self.find(cpu, "nr_throttled")
    result.cpu.throttledTime = Self.nanoseconds(Self.find(cpu, "throttled_usec"))
    if folder.has("memory.current") {
      var memory = CgroupStatistics.Memory()
      let events = values("memory.events")
      memory.usage = CgroupStatistics.Counter(
        usage: number("memory.current"), peak: number("memory.peak"), limit: number("memory.max"),
        failures: Self.find(events, "max"))
      memory.swap = CgroupStatistics.Counter(
        usage: number("memory.swap.current"), peak: number("memory.swap.peak"), limit: number("memory.swap.max"),
        failures: Self.find(values("memory.swap.events"), "max"))
      memory.raw = values("memory.stat")
      memory.cache = Self.find(memory.raw, "file")
      memory.kernel.usage = Self.find(memory.raw, "kernel")
      memory.kernelTCP.usage = Self.find(memory.raw, "sock")
      memory.oomKills = Self.find(events, "oom_kill")
      result.memory = memory
    }
    if folder.has("pids.current") { readPIDs(&result) }
    readIO(&result)
    hugetlb("max", &result)
    readRDMA(&result)
    for resource in ["cpu", "memory", "io"] { readPressure(resource, &result) }
  }

  private static func nanoseconds(_ microseconds: UInt64) -> UInt64 {
    let (value, overflow) = microseconds.multipliedReportingOverflow(by: 1000)
    return overflow ? .max : value
  }

  private func readPIDs(_ result: inout CgroupStatistics) {
    let limit = number("pids.max")
    result.pids = CgroupStatistics.PIDs(current: number("pids.current"), limit: limit == .max ? 0 : limit)
  }

  /// Lines of "8:0 Read 4096"; the "Total" line has no device and is left out.
  private func blockIO(_ file: String, as table: String) -> [CgroupStatistics.BlockIO] {
    (folder.readIfThere(file) ?? "").split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count == 3, let value = UInt64(fields[2]), let device = Self.device(fields[0]) else { return nil }
      return CgroupStatistics.BlockIO(
        table: table, major: device.0, minor: device.1, operation: String(fields[1]), value: value)
    }
  }

  private static func device(_ text: Substring) -> (UInt64, UInt64)? {
    let numbers = text.split(separator: ":")
    guard numbers.count == 2, let major = UInt64(numbers[0]), let minor = UInt64(numbers[1]) else { return nil }
    return (major, minor)
  }

  /// io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ...", under the names that v1 has.
  private func readIO(_ result: inout CgroupStatistics) {
    for line in (folder.readIfThere("io.stat") ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard let first = fields.first, let device = Self.device(first) else { continue }
      for field in fields.dropFirst() {
        let pair = field.split(separator: "=")
        guard pair.count == 2, let value = UInt64(pair[1]) else { continue }
        let place: (String, String)
        switch pair[0] {
        case "rbytes": place = ("io_service_bytes_recursive", "Read")
        case "wbytes": place = ("io_service_bytes_recursive", "Write")
        case "dbytes": place = ("io_service_bytes_recursive", "Discard")
        case "rios": place = ("io_serviced_recursive", "Read")
        case "wios": place = ("io_serviced_recursive", "Write")
        case "dios": place = ("io_serviced_recursive", "Discard")
        default: continue
        }
        result.blockIO.append(
          CgroupStatistics.BlockIO(
            table: place.0, major: device.0, minor: device.1, operation: place.1, value: value))
      }
    }
  }

  /// `limit`: "limit_in_bytes" on v1, "max" on v2. The page sizes are those that the kernel made files for.
  func hugetlb(_ limit: String, _ result: inout CgroupStatistics) {
    for size in ["64KB", "2MB", "32MB", "512MB", "1GB", "16GB"] {
      let prefix = "hugetlb.\(size)"
      guard folder.has("\(prefix).\(limit)") else { continue }
      let legacy = limit != "max"
      result.hugetlb.append(
        CgroupStatistics.Hugetlb(
          pageSize: size,
          counter: CgroupStatistics.Counter(
            usage: number(legacy ? "\(prefix).usage_in_bytes" : "\(prefix).current"),
            peak: legacy ? number("\(prefix).max_usage_in_bytes") : 0, limit: number("\(prefix).\(limit)"),
            failures: legacy ? number("\(prefix).failcnt") : Self.find(values("\(prefix).events"), "max"))))
    }
  }

  /// "mlx4_0 hca_handle=2 hca_object=max".
  private func readRDMA(_ result: inout CgroupStatistics) {
    for file in ["rdma.current", "rdma.max"] {
      for line in (folder.readIfThere(file) ?? "").split(separator: "\n") {
        let fields = line.split(separator: " ")
        guard let device = fields.first else { continue }
        var entry = CgroupStatistics.RDMA(device: String(device), isLimit: file == "rdma.max", handles: 0, objects: 0)
        for field in fields.dropFirst() {
          let pair = field.split(separator: "=")
          guard pair.count == 2 else { continue }
          let value = pair[1] == "max" ? .max : UInt64(pair[1]) ?? 0
          if pair[0] == "hca_handle" { entry.handles = value }
          if pair[0] == "hca_object" { entry.objects = value }
        }
        result.rdma.append(entry)
      }
    }
  }

  /// "some avg10=0.12 avg60=0.00 avg300=0.00 total=123" (Documentation/accounting/psi.rst).
  private func readPressure(_ resource: String, _ result: inout CgroupStatistics) {
    for line in (folder.readIfThere("\(resource).pressure") ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count == 5, fields[4].utf8.starts(with: "total=".utf8) else { continue }
      let averages: [UInt64] = fields[1...3].map { field in
        // Two digits after the point, always.
        UInt64(
          String(
            decoding: field.utf8.filter { $0 != UInt8(ascii: ".") }.drop { $0 != UInt8(ascii: "=") }.dropFirst(),
            as: UTF8.self)) ?? 0
      }
      result.pressure.append(
        CgroupStatistics.Pressure(
          resource: resource, share: String(fields[0]), averages: averages,
          total: UInt64(String(decoding: fields[4].utf8.dropFirst(6), as: UTF8.self)) ?? 0))
    }
  }
}
