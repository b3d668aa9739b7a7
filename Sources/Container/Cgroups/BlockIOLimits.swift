import OCI
import System

extension LimitWriter {
  /// `linux.resources.blockIO`: v1's blkio or v2's io controller.
  func apply(_ blockIO: Resources.BlockIO) throws(ContainerError) {
    if let weight = blockIO.weight, weight != 0 { try setWeight(weight, leaf: false) }
    if let weight = blockIO.leafWeight, weight != 0 { try setWeight(weight, leaf: true) }
    for entry in blockIO.weightDevice {
      if let weight = entry.weight, weight != 0 { try setWeight(weight, leaf: false, "\(entry.major):\(entry.minor)") }
      if let weight = entry.leafWeight, weight != 0 {
        try setWeight(weight, leaf: true, "\(entry.major):\(entry.minor)")
      }
    }
    try throttle(blockIO.throttleReadBps, "throttleReadBpsDevice", "read_bps", "rbps")
    try throttle(blockIO.throttleWriteBps, "throttleWriteBpsDevice", "write_bps", "wbps")
    try throttle(blockIO.throttleReadIOPS, "throttleReadIOPSDevice", "read_iops", "riops")
    try throttle(blockIO.throttleWriteIOPS, "throttleWriteIOPSDevice", "write_iops", "wiops")
  }

  private func throttle(_ limits: [Resources.BlockIO.Throttle], _ member: String, _ file: String, _ key: String)
    throws(ContainerError)
  {
    for limit in limits {
      let what = "blockIO.\(member)"
      let target = try ioTarget(what)
      let device = "\(limit.major):\(limit.minor)"
      if target.isLegacy {
        try target.set("blkio.throttle.\(file)_device", "\(device) \(limit.rate)", what)
      } else {
        // 0 lifts the limit in v1's files; here that is "max".
        try target.set("io.max", "\(device) \(key)=\(limit.rate == 0 ? "max" : "\(limit.rate)")", what)
      }
    }
  }

  private func setWeight(_ weight: UInt16, leaf: Bool, _ device: String? = nil) throws(ContainerError) {
    let what = "blockIO." + (device == nil ? "" : "weightDevice.") + (leaf ? "leafWeight" : "weight")
    guard weight >= 10, weight <= 1000 else {
      throw ContainerError(.invalid, "linux.resources.\(what): \(weight) is not between 10 and 1000")
    }
    let target = try ioTarget(what)
    let suffix = device == nil ? "" : "_device"
    if target.isLegacy {
      let names =
        leaf ? ["blkio.leaf_weight\(suffix)"] : ["blkio.weight\(suffix)", "blkio.bfq.weight\(suffix)"]
      guard let file = names.first(where: { target.folder.has($0) }) else {
        throw ContainerError(
          .notSupported,
          "linux.resources.\(what): this kernel has no scheduler that weighs block I/O (no \(names[names.count - 1]))")
      }
      return try target.set(file, device.map { "\($0) \(weight)" } ?? "\(weight)", what)
    }
    if leaf { throw LimitWriter.legacyOnly(what) }
    if target.folder.has("io.bfq.weight") {
      return try target.set("io.bfq.weight", device.map { "\($0) \(weight)" } ?? "\(weight)", what)
    }
    let converted = LimitWriter.ioWeight(weight)
    try target.set("io.weight", "\(device ?? "default") \(converted)", what)
  }

  private func ioTarget(_ what: String) throws(ContainerError) -> LimitTarget {
    switch placement.view {
    case .unified: return try target("io", for: what)
    case .hierarchies(let hierarchies, _) where !hierarchies.contains(where: { $0.has("blkio") }):
      return try target("io", for: what)
    case .hierarchies, .none: return try target("blkio", for: what)
    }
  }

  /// io.weight (1 to 10,000) for blkio's weight (10 to 1000), linearly.
  static func ioWeight(_ weight: UInt16) -> UInt64 { 1 + (UInt64(max(weight, 10)) - 10) * 9999 / 990 }
}
