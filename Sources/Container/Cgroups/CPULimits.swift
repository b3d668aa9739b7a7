import CContainer
import OCI
import System

extension LimitWriter {
  /// `linux.resources.cpu`: the cpu and cpuset controllers.
  func apply(_ cpu: Resources.CPU) throws(ContainerError) {
    var cpu = cpu
    // Engines that know no "absent" send 0, and "" for lists.
    if cpu.shares == 0 { cpu.shares = nil }
    if cpu.quota == 0 { cpu.quota = nil }
    if cpu.period == 0 { cpu.period = nil }
    if cpu.burst == 0, fresh { cpu.burst = nil }
    if cpu.realtimeRuntime == 0 { cpu.realtimeRuntime = nil }
    if cpu.realtimePeriod == 0 { cpu.realtimePeriod = nil }
    if cpu.idle == 0, fresh { cpu.idle = nil }
    if let cpus = cpu.cpus, !cpus.isEmpty { try target("cpuset", for: "cpu.cpus").set("cpuset.cpus", cpus, "cpu.cpus") }
    if let mems = cpu.mems, !mems.isEmpty { try target("cpuset", for: "cpu.mems").set("cpuset.mems", mems, "cpu.mems") }
    let first =
      cpu.shares != nil
      ? "cpu.shares"
      : cpu.quota != nil
        ? "cpu.quota"
        : cpu.period != nil
          ? "cpu.period"
          : cpu.burst != nil
            ? "cpu.burst"
            : cpu.idle != nil
              ? "cpu.idle"
              : cpu.realtimeRuntime != nil
                ? "cpu.realtimeRuntime" : cpu.realtimePeriod != nil ? "cpu.realtimePeriod" : nil
    guard let first else { return }
    let target = try target("cpu", for: first)
    if target.isLegacy { try legacy(cpu, target) } else { try unified(cpu, target) }
  }

  private func legacy(_ cpu: Resources.CPU, _ target: LimitTarget) throws(ContainerError) {
    if let idle = cpu.idle { try target.set("cpu.idle", "\(idle)", "cpu.idle") }
    // The kernel refuses shares for an idle group.
    if let shares = cpu.shares, cpu.idle != 1 { try target.set("cpu.shares", "\(shares)", "cpu.shares") }
    switch (cpu.realtimePeriod, cpu.realtimeRuntime) {
    case (let period?, let runtime?):
      try target.setPair(
        ("cpu.rt_period_us", "\(period)", "cpu.realtimePeriod"),
        ("cpu.rt_runtime_us", "\(runtime)", "cpu.realtimeRuntime"))
    case (let period?, nil): try target.set("cpu.rt_period_us", "\(period)", "cpu.realtimePeriod")
    case (nil, let runtime?): try target.set("cpu.rt_runtime_us", "\(runtime)", "cpu.realtimeRuntime")
    case (nil, nil): break
    }
    // A burst may not exceed the quota: while an old one does, the quota has to wait, and the other way round.
    let burst = cpu.burst.map { ("cpu.cfs_burst_us", "\($0)", "cpu.burst") }
    switch (cpu.period, cpu.quota) {
    case (let period?, let quota?):
      // A period that would lift the group above its parent's share has to come after the quota.
      let pair = (
        (file: "cpu.cfs_period_us", value: "\(period)", what: "cpu.period"),
        (file: "cpu.cfs_quota_us", value: "\(quota)", what: "cpu.quota")
      )
      try target.setPair(pair.0, pair.1)
    case (let period?, nil): try target.set("cpu.cfs_period_us", "\(period)", "cpu.period")
    case (nil, let quota?):
      let quota = (file: "cpu.cfs_quota_us", value: "\(quota)", what: "cpu.quota")
      if let burst { return try target.setPair(quota, burst) }
      try target.set(quota.file, quota.value, quota.what)
    case (nil, nil): break
    }
    if let burst { try target.set(burst.0, burst.1, burst.2) }
  }

  private func unified(_ cpu: Resources.CPU, _ target: LimitTarget) throws(ContainerError) {
    if cpu.realtimeRuntime != nil { throw LimitWriter.legacyOnly("cpu.realtimeRuntime") }
    if cpu.realtimePeriod != nil { throw LimitWriter.legacyOnly("cpu.realtimePeriod") }
    if let idle = cpu.idle { try target.set("cpu.idle", "\(idle)", "cpu.idle") }
    // The kernel refuses a weight for an idle group.
    if let shares = cpu.shares, cpu.idle != 1 {
      try target.set("cpu.weight", "\(LimitWriter.weight(shares: shares))", "cpu.shares")
    }
    if cpu.quota != nil || cpu.period != nil {
      var quota = cpu.quota.map { $0 < 0 ? "max" : "\($0)" }
      if quota == nil, !fresh {
        // "max 100000": only the period changes.
        quota = target.folder.readIfThere("cpu.max")?.split(separator: " ").first.map { String($0) }
      }
      let period = cpu.period.map { " \($0)" } ?? ""
      let limit = (
        file: "cpu.max", value: (quota ?? "max") + period, what: cpu.quota != nil ? "cpu.quota" : "cpu.period"
      )
      if let burst = cpu.burst { return try target.setPair(limit, ("cpu.max.burst", "\(burst)", "cpu.burst")) }
      return try target.set(limit.file, limit.value, limit.what)
    }
    if let burst = cpu.burst { try target.set("cpu.max.burst", "\(burst)", "cpu.burst") }
  }

  /// cpu.weight (1 to 10,000, usually 100) for v1's shares (2 to 262,144, usually 1024). The curve is the one that runc 1.3.2 and
  /// crun 1.23 agreed on: it meets both ends and maps the usual value to the usual value.
  static func weight(shares: UInt64) -> UInt64 {
    if shares <= 2 { return 1 }
    if shares >= 262_144 { return 10_000 }
    let l = log2(Double(shares))
    return UInt64(ceil(pow(10, (l * l + 125 * l) / 612 - 7.0 / 34)))
  }
}
