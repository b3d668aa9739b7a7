import JSON

extension Linux {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    namespaces = try fields.array("namespaces", Namespace.init(decoding:))
    uidMappings = try IDMapping.list(fields, "uidMappings")
    gidMappings = try IDMapping.list(fields, "gidMappings")
    timeOffsets = try fields.map("timeOffsets", TimeOffset.init(clock:decoding:))
    devices = try fields.array("devices", Device.init(decoding:))
    cgroupsPath = try fields.text("cgroupsPath")
    resources = try fields.optional("resources", Resources.init(decoding:))
    if try fields.text("rootfsPropagation") != nil {
      rootfsPropagation = try fields.optional("rootfsPropagation", KernelNames.propagations.decode)
    }
    seccomp = try fields.optional("seccomp", Seccomp.init(decoding:))
    sysctl = try fields.map("sysctl", Self.decodeSysctl)
    maskedPaths = try fields.array("maskedPaths", Fields.absolutePath)
    readonlyPaths = try fields.array("readonlyPaths", Fields.absolutePath)
    mountLabel = try fields.string("mountLabel") ?? ""
    intelRdt = try fields.optional("intelRdt", IntelRDT.init(decoding:))
    personality = try fields.optional("personality", Self.decodePersonality)
    netDevices = try fields.map("netDevices", NetDevice.init(hostName:decoding:))
    memoryPolicy = try fields.optional("memoryPolicy", MemoryPolicy.init(decoding:))
  }

  /// Keys with dots, or with slashes as /proc/sys has them: sysctl(8) tells them by whichever comes first.
  private static func decodeSysctl(_ key: String, _ value: JSON) throws(SpecError) -> Spec.Annotation {
    let (dot, slash) = (UInt8(ascii: "."), UInt8(ascii: "/"))
    var bytes = Array(key.utf8)
    if bytes.first(where: { $0 == dot || $0 == slash }) == slash {
      bytes = bytes.map { $0 == dot ? slash : $0 == slash ? dot : $0 }
    }
    // A component becomes a file's name, in which '/' stands for a dot: it must not lead out of /proc/sys.
    for component in bytes.split(separator: dot, omittingEmptySubsequences: false) {
      let isDots = component.count <= 2 && component.allSatisfy { $0 == slash }
      guard !component.isEmpty, !isDots, !component.contains(0) else {
        throw SpecError("is no name of a kernel parameter; expected for example 'net.ipv4.ip_forward'")
      }
    }
    return Spec.Annotation(name: String(decoding: bytes, as: UTF8.self), value: try Fields.string(value))
  }

  private static func decodePersonality(_ json: JSON) throws(SpecError) -> Personality {
    let fields = try Fields(json)
    if let flag = try fields.strings("flags").first {
      throw SpecError("\(quoted(flag)): the specification defines no flags yet", path: "flags", isUnsupported: true)
    }
    return try fields.required("domain", KernelNames.personalities.decode)
  }
}

extension Linux.NamespaceType {
  static let names = Names<Linux.NamespaceType>(
    what: "namespace type", entries: Linux.NamespaceType.allCases.map { ($0.name, $0) })
}

extension Linux.Namespace {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    type = try fields.required("type", Linux.NamespaceType.names.decode)
    path = try fields.text("path") == nil ? nil : fields.optional("path", Fields.absolutePath)
  }
}

extension Linux.TimeOffset {
  init(clock: String, decoding json: JSON) throws(SpecError) {
    guard clock == "monotonic" || clock == "boottime" else {
      throw SpecError("is no clock of a time namespace; there are monotonic and boottime")
    }
    let fields = try Fields(json)
    self.clock = clock
    seconds = try fields.signed("secs") ?? 0
    nanoseconds = UInt32(try fields.unsigned("nanosecs", most: 999_999_999) ?? 0)
  }
}

extension Linux.Device {
  static let types = Names<Linux.DeviceType>(
    what: "device type", entries: [("c", .character), ("b", .block), ("u", .character), ("p", .fifo)])

  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    path = try fields.required("path", Fields.absolutePath)
    type = try fields.required("type", Self.types.decode)
    // The kernel's device numbers have 12 and 20 bits.
    major = UInt32(try fields.unsigned("major", most: 0xFFF) ?? 0)
    minor = UInt32(try fields.unsigned("minor", most: 0xF_FFFF) ?? 0)
    if type != .fifo {
      for name in ["major", "minor"] where fields[name] == nil {
        throw SpecError("missing, but required for a device that is no FIFO", path: name)
      }
    }
    // Some writers copy stat(2)'s mode, which holds the file's type too.
    fileMode = try fields.unsigned("fileMode", most: 0o177_777).map { UInt32($0 & 0o7777) }
    uid = try fields.unsigned32("uid")
    gid = try fields.unsigned32("gid")
  }
}

extension Linux.IntelRDT {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    closID = try fields.text("closID")
    if let closID, closID == "." || closID == ".." || closID.utf8.contains(UInt8(ascii: "/")) {
      throw SpecError("\(quoted(closID)) is no name of a folder", path: "closID")
    }
    schemata = try fields.array("schemata", Self.line)
    l3CacheSchema = try fields.text("l3CacheSchema")
    memBwSchema = try fields.optional("memBwSchema", Self.line)
    if let memBwSchema, !memBwSchema.utf8.starts(with: "MB:".utf8) {
      throw SpecError("\(quoted(memBwSchema)) does not begin with 'MB:'", path: "memBwSchema")
    }
    enableMonitoring = try fields.boolean("enableMonitoring") ?? false
    // The names of specification 1.1 and 1.2.
    for name in ["enableCMT", "enableMBM"] where try fields.boolean(name) == true { enableMonitoring = true }
  }

  private static func line(_ json: JSON) throws(SpecError) -> String {
    let text = try Fields.string(json)
    guard !text.utf8.contains(UInt8(ascii: "\n")) else { throw SpecError("must be one line") }
    return text
  }
}

extension Linux.NetDevice {
  init(hostName: String, decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    try Self.check(hostName)
    self.hostName = hostName
    name = try fields.text("name") ?? hostName
    do throws(SpecError) { try Self.check(name) } catch { throw error.inside("name") }
  }

  /// As the kernel's dev_valid_name: at most 15 bytes, without '/', ':' and white space, and neither "." nor "..".
  static func check(_ name: String) throws(SpecError) {
    let allowed = name.utf8.allSatisfy { $0 > 0x20 && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") && $0 != 0x7F }
    guard allowed, !name.isEmpty, name.utf8.count <= 15, name != ".", name != ".." else {
      throw SpecError("\(quoted(name)) is no name of a network interface: 1 to 15 bytes without '/', ':' and spaces")
    }
  }
}

extension Linux.MemoryPolicy {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    mode = try fields.required("mode", KernelNames.memoryPolicyModes.decode)
    nodes = try fields.optional("nodes", decodeList) ?? ""
    flags = 0
    for flag in try fields.array("flags", KernelNames.memoryPolicyFlags.decode) { flags |= flag }
    let takesNodes = try fields.required("mode", Fields.string)
    switch takesNodes {
    case "MPOL_DEFAULT", "MPOL_LOCAL":
      guard nodes.isEmpty else { throw SpecError("\(takesNodes) takes none", path: "nodes") }
      guard flags == 0 else { throw SpecError("\(takesNodes) takes none", path: "flags") }
    case "MPOL_PREFERRED": break
    default: guard !nodes.isEmpty else { throw SpecError("\(takesNodes) needs some", path: "nodes") }
    }
  }
}

/// A list of CPUs or memory nodes, as cpuset(7)'s "List format" has it: "0-3,7".
func decodeList(_ json: JSON) throws(SpecError) -> String {
  let text = try Fields.string(json)
  let allowed = text.utf8.allSatisfy {
    switch $0 {
    case 0x30...0x39, UInt8(ascii: ","), UInt8(ascii: "-"), UInt8(ascii: " "): return true
    default: return false
    }
  }
  guard allowed else { throw SpecError("\(quoted(text)) is no list; expected for example '0-3,7'") }
  return text
}
