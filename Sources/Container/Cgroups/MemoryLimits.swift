import OCI
import System

extension LimitWriter {
  /// `linux.resources.memory`.
  func apply(_ memory: Resources.Memory) throws(ContainerError) {
    var memory = memory
    // Engines that know no "absent" send 0.
    if memory.limit == 0 { memory.limit = nil }
    if memory.swap == 0 { memory.swap = nil }
    if memory.reservation == 0 { memory.reservation = nil }
    if memory.kernel == 0 { memory.kernel = nil }
    if memory.kernelTCP == 0 { memory.kernelTCP = nil }
    // Where swap is not told, lifting the memory limit lifts that of both.
    let lifted = memory.limit == -1 && memory.swap == nil
    if lifted { memory.swap = -1 }
    if let limit = memory.limit, limit > 0, let swap = memory.swap, swap > 0, swap < limit {
      throw ContainerError(
        .invalid,
        "linux.resources.memory.swap: \(swap) is less than the memory limit \(limit); it counts memory and swap together"
      )
    }
    guard
      memory.limit != nil || memory.swap != nil || memory.reservation != nil || memory.kernel != nil
        || memory.kernelTCP != nil || memory.swappiness != nil || memory.disableOOMKiller == true
        || memory.useHierarchy != nil
    else { return }
    let what = memory.limit != nil ? "memory.limit" : "memory"
    let target = try target("memory", for: what)
    if memory.checkBeforeUpdate == true, !fresh, let limit = memory.limit, limit > 0 {
      let usage = target.folder.number(target.isLegacy ? "memory.usage_in_bytes" : "memory.current") ?? 0
      guard usage <= limit else {
        throw ContainerError(
          .invalid,
          "linux.resources.memory.limit: \(limit) is below what is in use (\(usage) bytes), and checkBeforeUpdate is set"
        )
      }
    }
    if target.isLegacy { try legacy(memory, target, lifted) } else { try unified(memory, target, lifted) }
  }

  private func legacy(_ memory: Resources.Memory, _ target: LimitTarget, _ lifted: Bool) throws(ContainerError) {
    let limitFile = "memory.limit_in_bytes"
    let swapFile = "memory.memsw.limit_in_bytes"
    var swap = memory.swap
    // Without swap accounting nothing limits it anyway.
    if swap == -1, fresh || lifted, !target.folder.has(swapFile) { swap = nil }
    switch (memory.limit, swap) {
    case (let limit?, let swap?):
      // The kernel keeps memory <= memory and swap at every moment.
      let current = fresh ? .max : target.folder.number(limitFile) ?? .max
      if swap == -1 || swap >= current {
        try target.set(swapFile, "\(swap)", "memory.swap")
        try target.set(limitFile, "\(limit)", "memory.limit")
      } else {
        try target.set(limitFile, "\(limit)", "memory.limit")
        try target.set(swapFile, "\(swap)", "memory.swap")
      }
    case (let limit?, nil): try target.set(limitFile, "\(limit)", "memory.limit")
    case (nil, let swap?): try target.set(swapFile, "\(swap)", "memory.swap")
    case (nil, nil): break
    }
    if let reservation = memory.reservation {
      try target.set("memory.soft_limit_in_bytes", "\(reservation)", "memory.reservation")
    }
    if let kernel = memory.kernel { try target.set("memory.kmem.limit_in_bytes", "\(kernel)", "memory.kernel") }
    if let tcp = memory.kernelTCP { try target.set("memory.kmem.tcp.limit_in_bytes", "\(tcp)", "memory.kernelTCP") }
    if let swappiness = memory.swappiness {
      guard swappiness <= 100 else {
        throw ContainerError(.invalid, "linux.resources.memory.swappiness: \(swappiness) is not between 0 and 100")
      }
      try target.set("memory.swappiness", "\(swappiness)", "memory.swappiness")
    }
    if memory.disableOOMKiller == true { try target.set("memory.oom_control", "1", "memory.disableOOMKiller") }
    if let hierarchy = memory.useHierarchy {
      // Always on since Linux 5.11, and only the change is refused.
      let value = hierarchy ? "1" : "0"
      if target.folder.readIfThere("memory.use_hierarchy") != value {
        try target.set("memory.use_hierarchy", value, "memory.useHierarchy")
      }
    }
  }

  private func unified(_ memory: Resources.Memory, _ target: LimitTarget, _ lifted: Bool) throws(ContainerError) {
    if memory.kernel ?? -1 > 0 { throw LimitWriter.legacyOnly("memory.kernel") }
    if memory.kernelTCP ?? -1 > 0 { throw LimitWriter.legacyOnly("memory.kernelTCP") }
    if memory.swappiness != nil { throw LimitWriter.legacyOnly("memory.swappiness") }
    if memory.disableOOMKiller == true { throw LimitWriter.legacyOnly("memory.disableOOMKiller") }
    if memory.useHierarchy == false { throw LimitWriter.legacyOnly("memory.useHierarchy = false") }
    if let swap = memory.swap {
      let value = try LimitWriter.swapAlone(swap, limit: memory.limit ?? target.folder.number("memory.max"))
      // Without swap there is nothing to limit: no limit and none at all hold by themselves.
      if target.folder.has("memory.swap.max") || (value != "max" && value != "0") {
        try target.set("memory.swap.max", value, "memory.swap")
      }
    }
    if let limit = memory.limit { try target.set("memory.max", limit < 0 ? "max" : "\(limit)", "memory.limit") }
    if let reservation = memory.reservation {
      try target.set("memory.low", reservation < 0 ? "max" : "\(reservation)", "memory.reservation")
    }
  }

  /// memory.swap.max, which counts swap alone, from the specification's `swap`, which counts memory with it.
  static func swapAlone(_ swap: Int64, limit: Int64?) throws(ContainerError) -> String {
    if swap < 0 { return "max" }
    guard let limit, limit > 0, limit != .max else {
      throw ContainerError(
        .invalid, "linux.resources.memory.swap: \(swap) counts memory and swap together, so it needs memory.limit")
    }
    guard swap >= limit else {
      throw ContainerError(
        .invalid,
        "linux.resources.memory.swap: \(swap) is less than the memory limit \(limit); it counts memory and swap together"
      )
    }
    return "\(swap - limit)"
  }
}
