extension CgroupPlacement {
  /// `cgroupsPath` as "slice:prefix:name" (nil: "system.slice:vmrun:ID", rootless "user.slice"), in the tree of the manager.
  static func underSystemd(_ cgroupsPath: String?, id: String, rootless: Bool, sources: CgroupLayout.Sources)
    throws(ContainerError) -> CgroupPlacement
  {
    let scope = try SystemdScope(cgroupsPath: cgroupsPath, id: id, user: rootless)
    let layout = try CgroupLayout.detect(relative: false, sources: sources)
    if rootless, case .legacy = layout {
      throw ContainerError(
        .notSupported,
        "--systemd-cgroup: systemd delegates cgroup v1 to no user; this needs a host with cgroup v2 alone")
    }
    var systemd = try Systemd.connect(user: rootless)
    return try systemd.placement(scope, layout: layout)
  }
}

extension Systemd {
  mutating func placement(_ scope: SystemdScope, layout: CgroupLayout) throws(ContainerError) -> CgroupPlacement {
    var base = try controlGroup()
    if base == "/" { base = "" }
    let path = base + (try SystemdScope.expand(scope.slice)) + "/" + scope.unit
    // The manager makes the cgroup: what this user may write does not matter.
    var placement = CgroupPlacement.settle(layout, rootless: false) { _, _ in path }
    if case .none = placement.view {
      throw ContainerError(.notSupported, "--systemd-cgroup: \(placement.reason ?? "there are no cgroups")")
    }
    placement.systemd = scope
    placement.rootless = scope.user
    return placement
  }
}

extension SystemdScope {
  /// Reads `cgroupsPath` in systemd's form.
  /// - Throws: `.invalid` for another form and for names that systemd does not take (systemd.unit(5)).
  init(cgroupsPath: String?, id: String, user: Bool) throws(ContainerError) {
    var slice = ""
    var name = "vmrun-\(id)"
    if let cgroupsPath, !cgroupsPath.isEmpty {
      let parts = cgroupsPath.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
      guard parts.count == 3, !parts[2].isEmpty else {
        throw ContainerError(
          .invalid, "linux.cgroupsPath: '\(cgroupsPath)' must be slice:prefix:name with --systemd-cgroup")
      }
      slice = parts[0]
      name = parts[1].isEmpty ? parts[2] : "\(parts[1])-\(parts[2])"
      if name.utf8.count > 6, name.utf8.suffix(6).elementsEqual(".slice".utf8) {
        throw ContainerError(
          .notSupported, "linux.cgroupsPath: '\(cgroupsPath)': a container in a slice of its own; name a scope")
      }
    }
    if slice.isEmpty { slice = user ? "user.slice" : "system.slice" }
    _ = try SystemdScope.expand(slice)
    let unit = name + ".scope"
    guard unit.utf8.count <= 255, unit.utf8.allSatisfy({ SystemdScope.isUnitCharacter($0) }) else {
      throw ContainerError(
        .invalid,
        "linux.cgroupsPath: '\(unit)' is no unit name (letters, digits, ':', '_', '.', '-', '@', '\\', at most 255)")
    }
    self.init(slice: slice, unit: unit, user: user)
  }

  private static func isUnitCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      return true
    default: return ":_.-@\\".utf8.contains(byte)
    }
  }

  /// The folder of a slice: "a-b.slice" lies in "a.slice" (systemd.slice(5)). "" for the root slice "-.slice".
  static func expand(_ slice: String) throws(ContainerError) -> String {
    let suffix = ".slice"
    let stem = String(decoding: slice.utf8.dropLast(suffix.utf8.count), as: UTF8.self)
    guard slice == stem + suffix, slice.utf8.count <= 255 else {
      throw ContainerError(.invalid, "linux.cgroupsPath: '\(slice)' does not end in .slice")
    }
    if stem == "-" { return "" }
    let parts = stem.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.allSatisfy({ !$0.isEmpty }), stem.utf8.allSatisfy({ isUnitCharacter($0) }) else {
      throw ContainerError(.invalid, "linux.cgroupsPath: '\(slice)' is no name of a slice")
    }
    var path = ""
    var name = ""
    for part in parts {
      name += name.isEmpty ? String(part) : "-" + part
      path += "/\(name).slice"
    }
    return path
  }
}
