import JSON

// What a container that has no config.json of its own is remembered by: as much of one as `exec` needs.
extension Spec {
  /// The root, the process, the namespaces and the filter, as config.json has them. `Spec(decoding:)` reads it back.
  public var jsonForExec: JSON {
    var members: [JSON.Member] = [.init("ociVersion", .string(version))]
    if let root {
      members.append(
        .init("root", .object([.init("path", .string(root.path)), .init("readonly", .boolean(root.isReadOnly))])))
    }
    if let process { members.append(.init("process", process.json)) }
    var kernel: [JSON.Member] = [
      .init(
        "namespaces",
        .array(
          linux.namespaces.map { namespace in
            var entry: [JSON.Member] = [.init("type", .string(namespace.type.name))]
            if let path = namespace.path { entry.append(.init("path", .string(path))) }
            return .object(entry)
          }))
    ]
    for (name, mappings) in [("uidMappings", linux.uidMappings), ("gidMappings", linux.gidMappings)]
    where !mappings.isEmpty {
      kernel.append(.init(name, .array(mappings.map { $0.json })))
    }
    if let seccomp = linux.seccomp { kernel.append(.init("seccomp", seccomp.json)) }
    members.append(.init("linux", .object(kernel)))
    return .object(members)
  }
}

extension IDMapping {
  fileprivate var json: JSON {
    .object([
      .init("containerID", .integer(Int64(containerID))), .init("hostID", .integer(Int64(hostID))),
      .init("size", .integer(Int64(size))),
    ])
  }
}

extension Process {
  fileprivate var json: JSON {
    var user: [JSON.Member] = [
      .init("uid", .integer(Int64(self.user.uid))), .init("gid", .integer(Int64(self.user.gid))),
    ]
    if let umask = self.user.umask { user.append(.init("umask", .integer(Int64(umask)))) }
    if !self.user.additionalGids.isEmpty {
      user.append(.init("additionalGids", .array(self.user.additionalGids.map { .integer(Int64($0)) })))
    }
    // What is no UTF-8 cannot stand in JSON: such an argument or variable concerns the first process alone.
    let text = { (strings: [[UInt8]]) -> JSON in
      .array(strings.compactMap { String(validating: $0, as: UTF8.self) }.map { .string($0) })
    }
    var members: [JSON.Member] = [
      .init("user", .object(user)), .init("args", text(args)), .init("env", text(env)), .init("cwd", .string(cwd)),
      .init("noNewPrivileges", .boolean(noNewPrivileges)),
    ]
    if let capabilities {
      let sets: [(String, UInt64)] = [
        ("bounding", capabilities.bounding), ("effective", capabilities.effective),
        ("permitted", capabilities.permitted), ("inheritable", capabilities.inheritable),
        ("ambient", capabilities.ambient),
      ]
      members.append(
        .init(
          "capabilities",
          .object(
            sets.map { name, set in .init(name, .array(CapabilityName.names(of: set).map { .string($0) })) })))
    }
    return .object(members)
  }
}

extension Seccomp {
  fileprivate var json: JSON {
    var members: [JSON.Member] = [.init("defaultAction", .string(defaultAction.name))]
    if let defaultErrno { members.append(.init("defaultErrnoRet", .integer(Int64(defaultErrno)))) }
    members.append(.init("architectures", .array(architectures.map { .string($0) })))
    if !flags.isEmpty { members.append(.init("flags", .array(flags.map { .string($0) }))) }
    members.append(.init("syscalls", .array(syscalls.map { $0.json })))
    return .object(members)
  }
}

extension Seccomp.Rule {
  fileprivate var json: JSON {
    var members: [JSON.Member] = [
      .init("names", .array(names.map { .string($0) })), .init("action", .string(action.name)),
    ]
    if let errno { members.append(.init("errnoRet", .integer(Int64(errno)))) }
    if !args.isEmpty {
      members.append(
        .init(
          "args",
          .array(
            args.map { argument in
              .object([
                .init("index", .integer(Int64(argument.index))), .init("value", .unsigned(argument.value)),
                .init("valueTwo", .unsigned(argument.valueTwo)), .init("op", .string(argument.comparison.name)),
              ])
            })))
    }
    return .object(members)
  }
}

extension Seccomp.Action {
  /// As in config.json.
  var name: String { KernelNames.seccompActions.entries.first { $0.1 == self }?.0 ?? "SCMP_ACT_ERRNO" }
}

extension Seccomp.Comparison {
  /// As in config.json.
  var name: String { KernelNames.seccompOperators.entries.first { $0.1 == self }?.0 ?? "SCMP_CMP_EQ" }
}
