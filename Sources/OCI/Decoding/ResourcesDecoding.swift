import JSON

extension Resources {
  /// `linux.resources` of config.json, or the whole file of `update --resources` (config-linux.md, "Control groups").
  /// - Throws: `SpecError` with paths below `linux.resources`.
  public init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    devices = try fields.array("devices", DeviceRule.init(decoding:))
    memory = try fields.optional("memory", Memory.init(decoding:))
    cpu = try fields.optional("cpu", CPU.init(decoding:))
    pids = try fields.optional("pids", PIDs.init(decoding:))
    blockIO = try fields.optional("blockIO", BlockIO.init(decoding:))
    hugepageLimits = try fields.array("hugepageLimits", HugepageLimit.init(decoding:))
    network = try fields.optional("network", Network.init(decoding:))
    rdma = try fields.map("rdma", RDMA.init(device:decoding:))
    unified = try fields.map("unified") { (name, value) throws(SpecError) in
      guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "/") })
      else { throw SpecError("is no name of a cgroup's file; expected for example 'memory.high'") }
      return Spec.Annotation(name: name, value: try Fields.string(value))
    }
  }
}

extension Resources.DeviceRule {
  private static let types = Names<Linux.DeviceType>(
    what: "type of a device rule", entries: [("a", .all), ("b", .block), ("c", .character)])

  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    allow = try fields.required("allow", Fields.boolean)
    type = try fields.text("type") == nil ? .all : fields.required("type", Self.types.decode)
    major = try Self.number(fields, "major", most: 0xFFF)
    minor = try Self.number(fields, "minor", most: 0xF_FFFF)
    access = []
    let letters = try fields.required("access", Fields.string)
    for letter in letters.utf8 {
      switch letter {
      case UInt8(ascii: "r"): access.insert(.read)
      case UInt8(ascii: "w"): access.insert(.write)
      case UInt8(ascii: "m"): access.insert(.mknod)
      default: throw SpecError("\(quoted(letters)) is made of other letters than r, w and m", path: "access")
      }
    }
    guard !access.isEmpty else { throw SpecError("is empty; expected some of r, w and m", path: "access") }
  }

  /// A device number, or nil for any, which some writers spell -1.
  private static func number(_ fields: Fields, _ name: String, most: Int64) throws(SpecError) -> UInt32? {
    guard let number = try fields.signed(name, -1...most), number >= 0 else { return nil }
    return UInt32(number)
  }
}

extension Resources.Memory {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    limit = try fields.signed("limit", -1 ... .max)
    reservation = try fields.signed("reservation", -1 ... .max)
    swap = try fields.signed("swap", -1 ... .max)
    kernel = try fields.signed("kernel", -1 ... .max)
    kernelTCP = try fields.signed("kernelTCP", -1 ... .max)
    // Some writers send 2^64 - 1 for "leave it".
    if fields["swappiness"] != .unsigned(.max) { swappiness = try fields.unsigned("swappiness", most: 100) }
    disableOOMKiller = try fields.boolean("disableOOMKiller")
    useHierarchy = try fields.boolean("useHierarchy")
    checkBeforeUpdate = try fields.boolean("checkBeforeUpdate")
  }
}

extension Resources.CPU {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    shares = try fields.unsigned("shares")
    quota = try fields.signed("quota")
    burst = try fields.unsigned("burst")
    period = try fields.unsigned("period")
    realtimeRuntime = try fields.signed("realtimeRuntime")
    realtimePeriod = try fields.unsigned("realtimePeriod")
    cpus = try fields.optional("cpus", decodeList)
    mems = try fields.optional("mems", decodeList)
    idle = try fields.signed("idle", 0...1)
    if let burst, let quota, quota > 0, burst > UInt64(quota) {
      throw SpecError("\(burst) exceeds the quota, \(quota)", path: "burst")
    }
  }
}

extension Resources.PIDs {
  init(decoding json: JSON) throws(SpecError) { limit = try Fields(json).signed("limit") }
}

extension Resources.BlockIO {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    weight = try Self.weight(fields, "weight")
    leafWeight = try Self.weight(fields, "leafWeight")
    weightDevice = try fields.array("weightDevice", WeightDevice.init(decoding:))
    throttleReadBps = try fields.array("throttleReadBpsDevice", Throttle.init(decoding:))
    throttleWriteBps = try fields.array("throttleWriteBpsDevice", Throttle.init(decoding:))
    throttleReadIOPS = try fields.array("throttleReadIOPSDevice", Throttle.init(decoding:))
    throttleWriteIOPS = try fields.array("throttleWriteIOPSDevice", Throttle.init(decoding:))
  }

  /// 10 to 1000; 0, which some writers send, leaves it.
  fileprivate static func weight(_ fields: Fields, _ name: String) throws(SpecError) -> UInt16? {
    guard let weight = try fields.unsigned(name, most: 1000), weight != 0 else { return nil }
    guard weight >= 10 else { throw SpecError("\(weight) is out of range: 10 to 1000", path: name) }
    return UInt16(weight)
  }

  fileprivate static func number(_ fields: Fields, _ name: String, most: UInt64) throws(SpecError) -> UInt32 {
    UInt32(try fields.required(name) { (value) throws(SpecError) in try Fields.unsigned(value, most: most) })
  }
}

extension Resources.BlockIO.WeightDevice {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    major = try Resources.BlockIO.number(fields, "major", most: 0xFFF)
    minor = try Resources.BlockIO.number(fields, "minor", most: 0xF_FFFF)
    weight = try Resources.BlockIO.weight(fields, "weight")
    leafWeight = try Resources.BlockIO.weight(fields, "leafWeight")
    guard weight != nil || leafWeight != nil else { throw SpecError("needs a weight, a leafWeight, or both") }
  }
}

extension Resources.BlockIO.Throttle {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    major = try Resources.BlockIO.number(fields, "major", most: 0xFFF)
    minor = try Resources.BlockIO.number(fields, "minor", most: 0xF_FFFF)
    rate = try fields.required("rate") { (value) throws(SpecError) in try Fields.unsigned(value) }
  }
}

extension Resources.HugepageLimit {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    pageSize = try fields.required("pageSize", Fields.string)
    limit = try fields.required("limit") { (value) throws(SpecError) in try Fields.unsigned(value) }
    let bytes = Array(pageSize.utf8)
    let digits = bytes.prefix { $0 >= 0x30 && $0 <= 0x39 }
    let unit = bytes.dropFirst(digits.count)
    guard let first = digits.first, first != UInt8(ascii: "0"), unit.count == 2, unit.last == UInt8(ascii: "B"),
      "KMG".utf8.contains(unit[unit.startIndex])
    else { throw SpecError("\(quoted(pageSize)) is no page size; expected for example '2MB'", path: "pageSize") }
  }
}

extension Resources.Network {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    classID = try fields.unsigned32("classID")
    priorities = try fields.array("priorities", Priority.init(decoding:))
  }
}

extension Resources.Network.Priority {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    name = try fields.required("name", Fields.string)
    do throws(SpecError) { try Linux.NetDevice.check(name) } catch { throw error.inside("name") }
    priority = try fields.required("priority", Fields.unsigned32)
  }
}

extension Resources.RDMA {
  init(device: String, decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    let isWord = device.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "/") }
    guard !device.isEmpty, isWord else { throw SpecError("is no name of an RDMA device") }
    self.device = device
    hcaHandles = try fields.unsigned32("hcaHandles")
    hcaObjects = try fields.unsigned32("hcaObjects")
    guard hcaHandles != nil || hcaObjects != nil else { throw SpecError("needs hcaHandles, hcaObjects, or both") }
  }
}
