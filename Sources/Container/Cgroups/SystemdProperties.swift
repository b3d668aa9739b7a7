import OCI
import System

/// A property of a unit, as StartTransientUnit and SetUnitProperties take it.
struct SystemdProperty: Equatable {
  var name: String
  var value: DBusValue

  init(_ name: String, _ value: DBusValue) {
    self.name = name
    self.value = value
  }

  var encoded: DBusValue { .structure([.string(name), .variant(value)]) }

  /// No limit.
  static let infinity = UInt64.max
}

extension SystemdProperty {
  /// What a scope for a container has besides its limits (systemd.scope(5), systemd.resource-control(5)): the container's own
  /// cgroups below it are nobody else's business (Delegate), and it ends without waiting for other units.
  static func scope(_ scope: SystemdScope, pid: Int32, legacy: Bool) -> [SystemdProperty] {
    [
      SystemdProperty("Description", .string("vmrun container \(scope.unit)")),
      SystemdProperty("Slice", .string(scope.slice)),
      SystemdProperty("Delegate", .boolean(true)),
      SystemdProperty("PIDs", .array("u", [.uint32(UInt32(bitPattern: pid))])),
      SystemdProperty("MemoryAccounting", .boolean(true)),
      SystemdProperty("CPUAccounting", .boolean(true)),
      SystemdProperty(legacy ? "BlockIOAccounting" : "IOAccounting", .boolean(true)),
      SystemdProperty("TasksAccounting", .boolean(true)),
      SystemdProperty("DefaultDependencies", .boolean(false)),
    ]
  }

  /// The limits that systemd keeps itself: it would set its own values again when it reloads. Everything else, and these too, is
  /// written to the cgroup's files afterwards.
  static func limits(_ resources: Resources, legacy: Bool) throws(ContainerError) -> [SystemdProperty] {
    var list: [SystemdProperty] = []
    func number(_ name: String, _ value: UInt64) { list.append(SystemdProperty(name, .uint64(value))) }
    func bytes(_ name: String, _ value: Int64?) {
      if let value, value != 0 { number(name, value < 0 ? infinity : UInt64(value)) }
    }
    if let memory = resources.memory {
      bytes(legacy ? "MemoryLimit" : "MemoryMax", memory.limit)
      if !legacy {
        bytes("MemoryLow", memory.reservation)
        if let swap = memory.swap, swap != 0 {
          if swap < 0 {
            number("MemorySwapMax", infinity)
          } else if let limit = memory.limit, limit > 0, swap >= limit {
            number("MemorySwapMax", UInt64(swap - limit))
          }
        }
      }
    }
    if let cpu = resources.cpu {
      if let shares = cpu.shares, shares != 0 {
        if legacy {
          number("CPUShares", shares)
        } else if cpu.idle != 1 {
          number("CPUWeight", LimitWriter.weight(shares: shares))
        }
      }
      if !legacy, cpu.idle == 1 { number("CPUWeight", 0) }
      if let quota = cpu.quota, quota != 0 {
        let period = cpu.period.flatMap { $0 == 0 ? nil : $0 } ?? 100_000
        if cpu.period ?? 0 != 0 { number("CPUQuotaPeriodUSec", period) }
        number("CPUQuotaPerSecUSec", quota < 0 ? infinity : quotaPerSecond(UInt64(quota), period: period))
      }
      if !legacy {
        if let cpus = cpu.cpus, !cpus.isEmpty {
          list.append(SystemdProperty("AllowedCPUs", .bytes(try mask(cpus, "cpu.cpus"))))
        }
        if let mems = cpu.mems, !mems.isEmpty {
          list.append(SystemdProperty("AllowedMemoryNodes", .bytes(try mask(mems, "cpu.mems"))))
        }
      }
    }
    if let limit = resources.pids?.limit { number("TasksMax", limit < 1 ? infinity : UInt64(limit)) }
    if let weight = resources.blockIO?.weight, weight != 0 {
      if legacy { number("BlockIOWeight", UInt64(weight)) } else { number("IOWeight", LimitWriter.ioWeight(weight)) }
    }
    if !legacy { try unified(resources.unified, &list) }
    return list
  }

  /// Those cgroup v2 files that have a property.
  private static func unified(_ entries: [Spec.Annotation], _ list: inout [SystemdProperty]) throws(ContainerError) {
    for entry in entries {
      let number: UInt64? = entry.value == "max" ? infinity : UInt64(entry.value)
      let property: (String, Bool)
      switch entry.name {
      case "memory.min": property = ("MemoryMin", true)
      case "memory.low": property = ("MemoryLow", true)
      case "memory.high": property = ("MemoryHigh", true)
      case "memory.max": property = ("MemoryMax", true)
      case "memory.swap.max": property = ("MemorySwapMax", true)
      case "pids.max": property = ("TasksMax", true)
      case "cpu.weight": property = ("CPUWeight", true)
      case "cpuset.cpus": property = ("AllowedCPUs", false)
      case "cpuset.mems": property = ("AllowedMemoryNodes", false)
      default: continue
      }
      let value: DBusValue
      if property.1 {
        guard let number else {
          throw ContainerError(
            .invalid, "linux.resources.unified.\(entry.name): '\(entry.value)' is neither a number nor max")
        }
        value = .uint64(number)
      } else {
        value = .bytes(try mask(entry.value, "unified.\(entry.name)"))
      }
      list.removeAll { $0.name == property.0 }
      list.append(SystemdProperty(property.0, value))
    }
  }

  /// CPUQuotaPerSecUSec: systemd keeps whole per cents and rounds down, which would cut a little off.
  static func quotaPerSecond(_ quota: UInt64, period: UInt64) -> UInt64 {
    let (product, overflow) = quota.multipliedReportingOverflow(by: 1_000_000)
    guard !overflow, period != 0 else { return infinity }
    let exact = product / period
    let (up, tooBig) = exact.addingReportingOverflow(9999)
    return tooBig ? infinity : up / 10_000 * 10_000
  }

  /// A processor or node list ("0-3,7") as systemd's bit mask, lowest first.
  static func mask(_ list: String, _ what: String) throws(ContainerError) -> [UInt8] {
    var mask: [UInt8] = []
    for part in list.split(separator: ",") {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false)
      guard ends.count <= 2, let first = Int(ends[0]), let last = Int(ends[ends.count - 1]), first >= 0, last >= first,
        last < 8192
      else { throw ContainerError(.invalid, "linux.resources.\(what): '\(list)' is no list such as 0-3,7") }
      while mask.count <= last / 8 { mask.append(0) }
      for index in first...last { mask[index / 8] |= 1 << UInt8(index % 8) }
    }
    return mask
  }

  /// DevicePolicy and DeviceAllow for `policy`. Where systemd cannot say it, it allows everything, and the program or the files that
  /// vmrun sets itself decide alone. `devices` is the text of /proc/devices.
  static func devices(_ policy: DevicePolicy, devices: String) -> [SystemdProperty] {
    var allowed: [DBusValue] = []
    func allow(_ name: String, _ access: Resources.DeviceRule.Access) {
      allowed.append(.structure([.string(name), .string(access.text)]))
    }
    let open = [
      SystemdProperty("DevicePolicy", .string("auto")), SystemdProperty("DeviceAllow", .array("(ss)", [])),
    ]
    guard let exceptions = try? DeviceExceptions(policy), !exceptions.defaultAllow else { return open }
    for entry in exceptions.entries {
      let kind = entry.key.type == .block ? "block" : "char"
      switch (entry.key.major, entry.key.minor) {
      case (let major?, let minor?): allow("/dev/\(kind)/\(major):\(minor)", entry.access)
      case (let major?, nil):
        for name in driverNames(devices, block: entry.key.type == .block, major: major) {
          allow("\(kind)-\(name)", entry.access)
        }
      case (nil, nil): allow("\(kind)-*", entry.access)
      case (nil, _?): return open
      }
    }
    return [
      SystemdProperty("DevicePolicy", .string("strict")), SystemdProperty("DeviceAllow", .array("(ss)", allowed)),
    ]
  }

  /// The names that /proc/devices has for `major`.
  static func driverNames(_ text: String, block: Bool, major: UInt32) -> [String] {
    var inBlock = false
    var names: [String] = []
    for line in text.split(separator: "\n") {
      if line.utf8.first == UInt8(ascii: "B") { inBlock = true }
      if line.utf8.first == UInt8(ascii: "C") { inBlock = false }
      let fields = line.split(separator: " ")
      if inBlock == block, fields.count == 2, UInt32(fields[0]) == major, !names.contains(String(fields[1])) {
        names.append(String(fields[1]))
      }
    }
    return names
  }
}
