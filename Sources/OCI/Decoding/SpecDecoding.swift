import JSON

extension Spec {
  /// A configuration from config.json, checked in full (config.md, config-linux.md of the OCI runtime specification 1.3).
  ///
  /// Members that the specification does not know are ignored; values that it does not know, and what vmrun does not
  /// offer, are errors. What is legal but odd is in `warnings`.
  /// - Throws: `SpecError`, which names the value's path.
  public init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    version = try fields.required("ociVersion", Self.decodeVersion)
    for platform in ["windows", "solaris", "vm", "zos", "freebsd"] where fields[platform] != nil {
      throw SpecError("vmrun runs Linux containers only", path: platform, isUnsupported: true)
    }
    root = try fields.required("root", Root.init(decoding:))
    mounts = try fields.array("mounts", Mount.init(decoding:))
    process = try fields.optional("process", Process.init(decoding:))
    hostname = try fields.text("hostname")
    domainname = try fields.text("domainname")
    hooks = try fields.optional("hooks", Hooks.init(decoding:)) ?? Hooks()
    annotations = try fields.map("annotations") { (name, value) throws(SpecError) in
      guard !name.isEmpty else { throw SpecError("an annotation's name must not be empty") }
      return Annotation(name: name, value: try Fields.string(value))
    }
    linux = try fields.optional("linux", Linux.init(decoding:)) ?? Linux()
    for warning in process?.warnings ?? [] { warnings.append(SpecPath.join("process", warning)) }
    for index in mounts.indices where mounts[index].destination.utf8.first != UInt8(ascii: "/") {
      let relative = mounts[index].destination
      warnings.append("mounts[\(index)].destination: \(quoted(relative)) is relative; it is taken from '/'")
      mounts[index].destination = "/" + relative
    }
    try checkTogether()
  }

  /// A version of the specification's first edition: "1.0.2-dev", "1.3.0".
  private static func decodeVersion(_ value: JSON) throws(SpecError) -> String {
    let version = try Fields.string(value)
    let parts = version.utf8.prefix { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") }
      .split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    let digits = parts.allSatisfy { !$0.isEmpty && $0.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }
    guard digits, parts.count == 2 || parts.count == 3 else {
      throw SpecError("\(quoted(version)) is no version; expected for example '\(writtenVersion)'")
    }
    guard parts[0].elementsEqual("1".utf8) else {
      throw SpecError("\(quoted(version)) is not supported: vmrun implements 1.x", isUnsupported: true)
    }
    return version
  }

  /// What no single value can know.
  private mutating func checkTogether() throws(SpecError) {
    if let hostname { try check(name: hostname, "hostname") }
    if let domainname { try check(name: domainname, "domainname") }
    try linux.checkNamespaces(&warnings)
    try linux.checkSysctls(hostname: hostname != nil)
    if let process { try linux.check(user: process.user) }
    if let seccomp = linux.seccomp { seccomp.warn(&warnings) }
  }

  private func check(name: String, _ field: String) throws(SpecError) {
    guard name.utf8.count <= 64 else {
      throw SpecError("\(quoted(name)) has \(name.utf8.count) bytes; the kernel takes 64", path: field)
    }
    guard linux.namespace(.uts) != nil else {
      throw SpecError("needs a 'uts' entry in linux.namespaces, or it would rename the host", path: field)
    }
  }
}

extension Spec.Root {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    path = try fields.required("path", Fields.string)
    guard !path.isEmpty else { throw SpecError("must not be empty", path: "path") }
    isReadOnly = try fields.boolean("readonly") ?? false
  }
}

extension Spec.Mount {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    destination = try fields.required("destination", Fields.string)
    guard !destination.isEmpty else { throw SpecError("must not be empty", path: "destination") }
    type = try fields.string("type") ?? ""
    source = try fields.string("source") ?? ""
    options = try fields.strings("options")
    uidMappings = try IDMapping.list(fields, "uidMappings")
    gidMappings = try IDMapping.list(fields, "gidMappings")
    guard uidMappings.isEmpty == gidMappings.isEmpty else {
      throw SpecError("uidMappings and gidMappings come together: one of them is missing")
    }
  }
}

extension Spec.Hooks {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    prestart = try fields.array("prestart", Spec.Hook.init(decoding:))
    createRuntime = try fields.array("createRuntime", Spec.Hook.init(decoding:))
    createContainer = try fields.array("createContainer", Spec.Hook.init(decoding:))
    startContainer = try fields.array("startContainer", Spec.Hook.init(decoding:))
    poststart = try fields.array("poststart", Spec.Hook.init(decoding:))
    poststop = try fields.array("poststop", Spec.Hook.init(decoding:))
  }
}

extension Spec.Hook {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    path = try fields.required("path", Fields.absolutePath)
    args = try fields.strings("args")
    env = try fields.strings("env")
    timeout = try fields.signed("timeout", 1...Int64(Int32.max)).map { Int($0) }
  }
}

extension IDMapping {
  /// The kernel's limit for one file of mappings (user_namespaces(7)).
  static let most = 340

  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    containerID = try fields.required("containerID", Fields.unsigned32)
    hostID = try fields.required("hostID", Fields.unsigned32)
    size = try fields.required("size", Fields.unsigned32)
    guard size > 0 else { throw SpecError("must be at least 1", path: "size") }
    // 2^32 - 1 is no ID: it means "unchanged" to the kernel.
    let most = UInt64(UInt32.max)
    guard UInt64(containerID) + UInt64(size) <= most, UInt64(hostID) + UInt64(size) <= most else {
      throw SpecError("\(size) IDs from there exceed the largest ID, \(most - 1)", path: "size")
    }
  }

  /// The mappings `name`, none of which overlap.
  static func list(_ fields: Fields, _ name: String) throws(SpecError) -> [IDMapping] {
    let mappings = try fields.array(name, IDMapping.init(decoding:))
    guard mappings.count <= most else {
      throw SpecError("\(mappings.count) mappings; the kernel takes \(most)", path: name)
    }
    for index in mappings.indices {
      for other in mappings[..<index] where overlap(mappings[index], other) {
        throw SpecError("overlaps a mapping before it", path: "\(name)[\(index)]")
      }
    }
    return mappings
  }

  private static func overlap(_ a: IDMapping, _ b: IDMapping) -> Bool {
    func cross(_ a: UInt32, _ aSize: UInt32, _ b: UInt32, _ bSize: UInt32) -> Bool {
      UInt64(a) < UInt64(b) + UInt64(bSize) && UInt64(b) < UInt64(a) + UInt64(aSize)
    }
    return cross(a.containerID, a.size, b.containerID, b.size) || cross(a.hostID, a.size, b.hostID, b.size)
  }
}
