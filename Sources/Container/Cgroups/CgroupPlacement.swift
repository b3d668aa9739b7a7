import JSON

/// Which cgroups a container has: a value without descriptors, saved in the container's state before anything is made, so
/// that whoever finds the state can remove them.
public struct CgroupPlacement: Equatable, Sendable {
  /// Where the cgroups lie.
  public var view: CgroupView
  /// The systemd unit that holds the container; nil with the cgroupfs driver.
  public var systemd: SystemdScope?
  /// Whether the user is not root of the machine: device rules do not apply then.
  public var rootless: Bool
  /// Why there is no cgroup, for `.none`: one line to show as a warning.
  public var reason: String?

  /// A placement of its parts.
  public init(_ view: CgroupView, systemd: SystemdScope? = nil, rootless: Bool = false, reason: String? = nil) {
    self.view = view
    self.systemd = systemd
    self.rootless = rootless
    self.reason = reason
  }
}

/// The transient scope unit that systemd makes for a container.
public struct SystemdScope: Equatable, Sendable {
  /// "system.slice".
  public var slice: String
  /// "vmrun-ID.scope".
  public var unit: String
  /// Whether the user's own service manager runs it and not the system's.
  public var user: Bool

  /// A scope `unit` in `slice`.
  public init(slice: String, unit: String, user: Bool) {
    self.slice = slice
    self.unit = unit
    self.user = user
  }
}

extension CgroupPlacement {
  /// The form that `init(json:)` reads.
  public var json: JSON {
    var members: [JSON.Member] = []
    switch view {
    case .none: break
    case .unified(let path): members.append(JSON.Member("unified", .string(path)))
    case .hierarchies(let hierarchies, let unified):
      let entries = hierarchies.map { hierarchy in
        JSON.object([
          JSON.Member("names", .string(hierarchy.names)), JSON.Member("mountPoint", .string(hierarchy.mountPoint)),
          JSON.Member("path", .string(hierarchy.path)),
        ])
      }
      members.append(JSON.Member("hierarchies", .array(entries)))
      if let unified { members.append(JSON.Member("unified", .string(unified))) }
    }
    if let systemd {
      members.append(
        JSON.Member(
          "systemd",
          .object([
            JSON.Member("slice", .string(systemd.slice)), JSON.Member("unit", .string(systemd.unit)),
            JSON.Member("user", .boolean(systemd.user)),
          ])))
    }
    if rootless { members.append(JSON.Member("rootless", .boolean(true))) }
    if let reason { members.append(JSON.Member("reason", .string(reason))) }
    return .object(members)
  }

  /// Reads what `json` wrote.
  /// - Throws: `.invalid` when it is something else; every path must be absolute and free of ".." parts, since its cgroups
  ///   will be removed.
  public init(json: JSON) throws(ContainerError) {
    let unified = try CgroupPlacement.path(json, "unified")
    if let hierarchies = json["hierarchies"] {
      guard case .array(let entries) = hierarchies else { throw CgroupPlacement.malformed("hierarchies") }
      var list: [CgroupHierarchy] = []
      for entry in entries {
        guard case .string(let names)? = entry["names"], let mountPoint = try CgroupPlacement.path(entry, "mountPoint"),
          let path = try CgroupPlacement.path(entry, "path")
        else { throw CgroupPlacement.malformed("hierarchies") }
        list.append(CgroupHierarchy(names: names, mountPoint: mountPoint, path: path))
      }
      view = .hierarchies(list, unified: unified)
    } else if let unified {
      view = .unified(path: unified)
    } else {
      view = .none
    }
    systemd = nil
    if let scope = json["systemd"] {
      guard case .string(let slice)? = scope["slice"], case .string(let unit)? = scope["unit"],
        case .boolean(let user)? = scope["user"]
      else { throw CgroupPlacement.malformed("systemd") }
      systemd = SystemdScope(slice: slice, unit: unit, user: user)
    }
    rootless = json["rootless"] == .boolean(true)
    reason = nil
    if case .string(let text)? = json["reason"] { reason = text }
  }

  private static func path(_ json: JSON, _ name: String) throws(ContainerError) -> String? {
    guard let value = json[name] else { return nil }
    guard case .string(let path) = value, path.utf8.first == UInt8(ascii: "/"),
      !path.split(separator: "/").contains(where: { $0 == ".." })
    else { throw malformed(name) }
    return path
  }

  private static func malformed(_ name: String) -> ContainerError {
    ContainerError(.invalid, "the container's state: cgroup.\(name) is not what vmrun writes")
  }
}
