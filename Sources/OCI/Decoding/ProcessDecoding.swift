import CContainer
import JSON

extension Process {
  /// `process` of config.json, or the whole file of `exec --process` (config.md, "Process").
  /// - Throws: `SpecError` with paths below `process`.
  public init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    terminal = try fields.boolean("terminal") ?? false
    consoleSize = try fields.optional("consoleSize", ConsoleSize.init(decoding:)).flatMap { $0.isNothing ? nil : $0 }
    user = try fields.optional("user", User.init(decoding:)) ?? User()
    args = try fields.array("args", Fields.bytes)
    if args.isEmpty {
      if fields["commandLine"] != nil {
        throw SpecError("is for Windows: use 'args'", path: "commandLine", isUnsupported: true)
      }
      throw SpecError("needs at least the program", path: "args")
    }
    guard let program = args.first, !program.isEmpty else {
      throw SpecError("the program's name is empty", path: "args[0]")
    }
    env = try fields.array("env", Self.variable)
    cwd = try fields.required("cwd", Fields.absolutePath)
    noNewPrivileges = try fields.boolean("noNewPrivileges") ?? false
    apparmorProfile = try fields.string("apparmorProfile") ?? ""
    selinuxLabel = try fields.string("selinuxLabel") ?? ""
    oomScoreAdj = try fields.signed("oomScoreAdj", -1000...1000).map { Int($0) }
    ioPriority = try fields.optional("ioPriority", IOPriority.init(decoding:))
    scheduler = try fields.optional("scheduler", Scheduler.init(decoding:))
    execCPUAffinity = try fields.optional("execCPUAffinity", ExecCPUAffinity.init(decoding:))
    rlimits = try fields.array("rlimits", ResourceLimit.init(decoding:))
    for index in rlimits.indices where rlimits[..<index].contains(where: { $0.resource == rlimits[index].resource }) {
      throw SpecError("a second limit of type \(rlimits[index].name)", path: "rlimits[\(index)]")
    }
    var warnings: [String] = []
    capabilities = try fields.optional("capabilities") { (value) throws(SpecError) in
      try Capabilities(decoding: value, &warnings)
    }
    if try fields.optional("user", Fields.init)?["username"] != nil {
      warnings.append("user.username: is for Windows, and has no effect; use user.uid")
    }
    self.warnings = warnings
  }

  /// "NAME=value".
  private static func variable(_ json: JSON) throws(SpecError) -> [UInt8] {
    let text = try Fields.string(json)
    guard let equals = text.utf8.firstIndex(of: UInt8(ascii: "=")), equals != text.utf8.startIndex else {
      throw SpecError("\(quoted(text)) is no variable; expected NAME=VALUE")
    }
    return Array(text.utf8)
  }
}

extension Process.ConsoleSize {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    height = UInt16(try fields.unsigned("height", most: UInt64(UInt16.max)) ?? 0)
    width = UInt16(try fields.unsigned("width", most: UInt64(UInt16.max)) ?? 0)
  }

  /// 0 x 0, which some writers send for "unknown".
  fileprivate var isNothing: Bool { height == 0 && width == 0 }
}

extension Process.User {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    uid = try fields.optional("uid", Self.id) ?? 0
    gid = try fields.optional("gid", Self.id) ?? 0
    umask = try fields.unsigned("umask", most: 0o777).map { UInt32($0) }
    additionalGids = try fields.array("additionalGids", Self.id)
    // NGROUPS_MAX of limits.h.
    guard additionalGids.count <= 65536 else {
      throw SpecError("\(additionalGids.count) groups; the kernel takes 65536", path: "additionalGids")
    }
  }

  /// 2^32 - 1 means "unchanged" to the kernel.
  private static func id(_ json: JSON) throws(SpecError) -> UInt32 {
    UInt32(try Fields.unsigned(json, most: UInt64(UInt32.max) - 1))
  }
}

extension Process.Capabilities {
  /// A name that the kernel does not know is a warning (config.md, "Linux Process").
  init(decoding json: JSON, _ warnings: inout [String]) throws(SpecError) {
    let fields = try Fields(json)
    bounding = try Self.set(fields, "bounding", &warnings)
    effective = try Self.set(fields, "effective", &warnings)
    permitted = try Self.set(fields, "permitted", &warnings)
    inheritable = try Self.set(fields, "inheritable", &warnings)
    ambient = try Self.set(fields, "ambient", &warnings)
  }

  private static func set(_ fields: Fields, _ name: String, _ warnings: inout [String]) throws(SpecError) -> UInt64 {
    var set: UInt64 = 0
    var unknown: [String] = []
    _ = try fields.array(name) { (value) throws(SpecError) in
      let capability = try Fields.string(value)
      if let number = CapabilityName.all.firstIndex(of: capability) {
        set |= 1 << UInt64(number)
      } else {
        unknown.append(capability)
      }
    }
    for capability in unknown {
      warnings.append("capabilities.\(name): \(quoted(capability)) is no capability that vmrun knows, and is left out")
    }
    return set
  }
}

extension Process.ResourceLimit {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    name = try fields.required("type", Fields.string)
    resource = try fields.required("type", KernelNames.resourceLimits.decode)
    soft = try fields.required("soft") { (value) throws(SpecError) in try Fields.unsigned(value) }
    hard = try fields.required("hard") { (value) throws(SpecError) in try Fields.unsigned(value) }
    guard soft <= hard else { throw SpecError("\(soft) exceeds the hard limit, \(hard)", path: "soft") }
  }
}

extension Process.IOPriority {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    ioClass = try fields.required("class", KernelNames.ioPriorityClasses.decode)
    priority = UInt8(try fields.unsigned("priority", most: 7) ?? 0)
  }
}

extension Process.Scheduler {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    policy = try fields.required("policy", KernelNames.schedulingPolicies.decode)
    nice = Int32(try fields.signed("nice", -20...19) ?? 0)
    priority = UInt32(try fields.unsigned("priority", most: 99) ?? 0)
    for flag in try fields.array("flags", KernelNames.schedulingFlags.decode) { flags |= flag }
    runtime = try fields.unsigned("runtime") ?? 0
    deadline = try fields.unsigned("deadline") ?? 0
    period = try fields.unsigned("period") ?? 0
    try check(try fields.required("policy", Fields.string))
  }

  /// sched(7): which policy takes what.
  private func check(_ name: String) throws(SpecError) {
    switch Int(policy) {
    case Int(ccontainer_sched_fifo), Int(ccontainer_sched_rr):
      guard priority >= 1 else { throw SpecError("\(name) needs 1 to 99", path: "priority") }
    default:
      guard priority == 0 else {
        throw SpecError("\(name) takes none; only SCHED_FIFO and SCHED_RR do", path: "priority")
      }
    }
    if nice != 0, Int(policy) != Int(ccontainer_sched_other), Int(policy) != Int(ccontainer_sched_batch) {
      throw SpecError("\(name) takes none; only SCHED_OTHER and SCHED_BATCH do", path: "nice")
    }
    if Int(policy) == Int(ccontainer_sched_deadline) {
      guard runtime > 0, runtime <= deadline, period == 0 || deadline <= period else {
        throw SpecError("\(name) needs 0 < runtime <= deadline <= period")
      }
    } else if runtime != 0 || deadline != 0 || period != 0 {
      throw SpecError("runtime, deadline and period are for SCHED_DEADLINE, not \(name)")
    }
  }
}

extension Process.ExecCPUAffinity {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    initial = try fields.optional("initial", decodeList).flatMap { $0.isEmpty ? nil : $0 }
    final = try fields.optional("final", decodeList).flatMap { $0.isEmpty ? nil : $0 }
  }
}
