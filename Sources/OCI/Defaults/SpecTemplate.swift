import JSON

extension Spec {
  /// The configuration that `vmrun spec` writes: a shell in the folder "rootfs" with docker's isolation.
  /// - Parameter rootless: user and group of who will run it, when that is not root.
  public static func template(rootless: (user: UInt32, group: UInt32)?) -> JSON {
    .object([
      .init("ociVersion", .string(writtenVersion)), .init("process", process),
      .init("root", .object([.init("path", .string("rootfs")), .init("readonly", .boolean(true))])),
      .init("hostname", .string("vmrun")), .init("mounts", .array(mounts(rootless: rootless != nil).map { $0.json })),
      .init("linux", linux(rootless)),
    ])
  }

  private static var process: JSON {
    let capabilities = strings(CapabilityName.names(of: DockerDefaults.capabilities))
    let files = JSON.object([
      .init("type", .string("RLIMIT_NOFILE")), .init("hard", .integer(1024)), .init("soft", .integer(1024)),
    ])
    return .object([
      .init("terminal", .boolean(true)),
      .init("user", .object([.init("uid", .integer(0)), .init("gid", .integer(0))])),
      .init("args", strings(["sh"])), .init("env", strings(DockerDefaults.environment + ["TERM=xterm"])),
      .init("cwd", .string("/")),
      .init(
        "capabilities", .object(["bounding", "effective", "permitted"].map { JSON.Member($0, capabilities) })),
      .init("rlimits", .array([files])), .init("noNewPrivileges", .boolean(true)),
    ])
  }

  private static func mounts(rootless: Bool) -> [Mount] {
    guard rootless else { return DockerDefaults.mounts }
    // Without a network namespace of its own a user namespace may not mount sysfs, and its IDs are few.
    var mounts: [Mount] = []
    for var mount in DockerDefaults.mounts where !mount.destination.utf8.starts(with: "/sys".utf8) {
      mount.options.removeAll { $0.utf8.starts(with: "gid=".utf8) || $0.utf8.starts(with: "uid=".utf8) }
      mounts.append(mount)
    }
    mounts.append(
      Mount(destination: "/sys", type: "none", source: "/sys", options: ["rbind", "nosuid", "noexec", "nodev", "ro"]))
    return mounts
  }

  private static func linux(_ rootless: (user: UInt32, group: UInt32)?) -> JSON {
    var types = DockerDefaults.namespaces
    var members: [JSON.Member] = []
    if let rootless {
      types.removeAll { $0 == .network }
      types.append(.user)
      members.append(.init("uidMappings", mapping(to: rootless.user)))
      members.append(.init("gidMappings", mapping(to: rootless.group)))
    } else {
      let nothing = JSON.object([.init("allow", .boolean(false)), .init("access", .string("rwm"))])
      members.append(.init("resources", .object([.init("devices", .array([nothing]))])))
    }
    members.append(.init("namespaces", .array(types.map { .object([.init("type", .string($0.name))]) })))
    members.append(.init("maskedPaths", strings(DockerDefaults.maskedPaths)))
    members.append(.init("readonlyPaths", strings(DockerDefaults.readonlyPaths)))
    return .object(members)
  }

  /// Root inside is `id` outside.
  private static func mapping(to id: UInt32) -> JSON {
    .array([
      .object([
        .init("containerID", .integer(0)), .init("hostID", .integer(Int64(id))), .init("size", .integer(1)),
      ])
    ])
  }

  private static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
}

extension Spec.Mount {
  /// As an element of `mounts`.
  fileprivate var json: JSON {
    .object([
      .init("destination", .string(destination)), .init("type", .string(type)), .init("source", .string(source)),
      .init("options", .array(options.map { .string($0) })),
    ])
  }
}
