extension Linux {
  /// What namespaces and the settings that depend on them demand of each other.
  func checkNamespaces(_ warnings: inout [String]) throws(SpecError) {
    for index in namespaces.indices {
      let type = namespaces[index].type
      if namespaces[..<index].contains(where: { $0.type == type }) {
        throw SpecError("a second namespace of type \(type.name)", path: "linux.namespaces[\(index)]")
      }
    }
    try checkUserMappings(&warnings)
    if !timeOffsets.isEmpty {
      guard let time = namespace(.time) else { throw Self.lacking("time", "linux.timeOffsets") }
      guard time.path == nil else {
        throw SpecError("the namespace is joined by its path, and keeps the offsets it has", path: "linux.timeOffsets")
      }
    }
    if !netDevices.isEmpty, namespace(.network) == nil { throw Self.lacking("network", "linux.netDevices") }
    if namespace(.mount) == nil {
      if !maskedPaths.isEmpty { throw Self.lacking("mount", "linux.maskedPaths") }
      if !readonlyPaths.isEmpty { throw Self.lacking("mount", "linux.readonlyPaths") }
    }
  }

  private static func lacking(_ type: String, _ path: String) -> SpecError {
    SpecError("needs a '\(type)' entry in linux.namespaces, or it would change the host", path: path)
  }

  private func checkUserMappings(_ warnings: inout [String]) throws(SpecError) {
    let lists = [("linux.uidMappings", uidMappings), ("linux.gidMappings", gidMappings)]
    guard let user = namespace(.user) else {
      for (path, mappings) in lists where !mappings.isEmpty {
        throw SpecError("needs a 'user' entry in linux.namespaces", path: path)
      }
      return
    }
    for (path, mappings) in lists {
      if user.path == nil, mappings.isEmpty {
        throw SpecError("a new user namespace needs at least one mapping", path: path)
      }
      if user.path != nil, !mappings.isEmpty {
        warnings.append("\(path): not written, since the user namespace is joined by its path and has its own")
      }
    }
  }

  /// Whether the process's IDs exist in a new user namespace.
  func check(user: Process.User) throws(SpecError) {
    guard let namespace = namespace(.user), namespace.path == nil else { return }
    try Self.check(user.uid, uidMappings, "process.user.uid")
    try Self.check(user.gid, gidMappings, "process.user.gid")
    for index in user.additionalGids.indices {
      try Self.check(user.additionalGids[index], gidMappings, "process.user.additionalGids[\(index)]")
    }
  }

  private static func check(_ id: UInt32, _ mappings: [IDMapping], _ path: String) throws(SpecError) {
    for mapping in mappings where id >= mapping.containerID && id - mapping.containerID < mapping.size { return }
    throw SpecError("\(id) is in none of the user namespace's mappings", path: path)
  }

  /// A kernel parameter may be set only where a namespace keeps it from the host.
  func checkSysctls(hostname: Bool) throws(SpecError) {
    for parameter in sysctl {
      let key = parameter.name
      let path = "linux.sysctl" + SpecPath.key(key)
      let type: NamespaceType
      if key.utf8.starts(with: "net.".utf8) {
        type = .network
      } else if key.utf8.starts(with: "fs.mqueue.".utf8) || Self.ipcParameters.contains(key) {
        type = .ipc
      } else if key == "kernel.domainname" {
        type = .uts
      } else if key == "kernel.hostname" {
        throw SpecError("use the field 'hostname' instead", path: path)
      } else {
        throw SpecError("belongs to no namespace, so that it would change the host", path: path)
      }
      guard namespace(type) != nil else { throw Self.lacking(type.name, path) }
    }
  }

  /// Those that an IPC namespace has its own of (ipc_namespaces(7)).
  private static let ipcParameters = [
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
    "kernel.shm_rmid_forced",
  ]
}
