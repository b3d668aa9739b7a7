import CContainer
import CLinux
import OCI
import System

/// The capability sets of a process, cut to what can be granted (capabilities(7)).
///
/// The specification (config.md, "capabilities") wants a warning and no failure for those that the kernel does not know or that
/// the launcher cannot give.
struct CapabilityPlan: Equatable, Sendable {
  /// What will be set.
  private(set) var sets: Process.Capabilities

  private static let admin: UInt64 = 1 << UInt64(CAP_SYS_ADMIN)

  /// Cuts `wanted`; what was cut is added to `warnings`.
  init(_ wanted: Process.Capabilities, inUserNamespace: Bool, warnings: inout [String]) throws(ContainerError) {
    var all: UInt64 = 0
    for set in [wanted.bounding, wanted.effective, wanted.permitted, wanted.inheritable, wanted.ambient] { all |= set }
    var known = all
    // CAP_CHECKPOINT_RESTORE came with Linux 5.9: every kernel that can run a container knows what is below.
    for number in (Int(CAP_CHECKPOINT_RESTORE) + 1)..<64 where all & (1 << UInt64(number)) != 0 {
      if ccontainer_prctl(PR_CAPBSET_READ, UInt(number), 0) < 0 { known &= ~(1 << UInt64(number)) }
    }
    Self.warn("this kernel does not know", all & ~known, &warnings)
    var available = known
    if !inUserNamespace {
      var own = ccontainer_capabilities()
      // unsafe: capget fills the one struct it is given.
      guard unsafe ccontainer_capget(&own) == 0 else { throw ContainerError("", SystemError("capget", "", .current)) }
      available &= own.permitted
      Self.warn("vmrun itself does not have", known & ~available, &warnings)
    }
    sets = Process.Capabilities()
    sets.bounding = wanted.bounding & available
    sets.permitted = wanted.permitted & available
    sets.inheritable = wanted.inheritable & available
    // The kernel refuses an effective one that is not permitted, and an ambient one that is not also inheritable.
    sets.effective = wanted.effective & sets.permitted
    sets.ambient = wanted.ambient & sets.permitted & sets.inheritable
    Self.warn("effective without being permitted:", wanted.effective & available & ~sets.effective, &warnings)
    Self.warn(
      "ambient without being permitted and inheritable:", wanted.ambient & available & ~sets.ambient, &warnings)
  }

  private static func warn(_ why: String, _ set: UInt64, _ warnings: inout [String]) {
    guard set != 0 else { return }
    var names = ""
    for number in 0..<64 where set & (1 << UInt64(number)) != 0 {
      names += names.isEmpty ? "" : ", "
      names += Capability.name(number)
    }
    warnings.append("process.capabilities: ignoring what \(why) \(names)")
  }

  /// Drops the rest from the bounding set. Needs CAP_SETPCAP, so it comes before the change of user.
  func limitBoundingSet() throws(ContainerError) {
    for number in 0..<64 where sets.bounding & (1 << UInt64(number)) == 0 {
      if ccontainer_prctl(PR_CAPBSET_DROP, UInt(number), 0) == 0 { continue }
      let errno = Errno.current
      // The first number that the kernel does not know.
      if errno == .invalid { return }
      // Nothing to drop needs no privilege.
      if errno == .notPermitted && ccontainer_prctl(PR_CAPBSET_READ, UInt(number), 0) == 0 { continue }
      throw ContainerError(
        "process.capabilities.bounding", SystemError("drop", Capability.name(number), errno))
    }
  }

  /// Sets the other sets; with `keepingAdmin`, CAP_SYS_ADMIN stays permitted until `finish`.
  func set(keepingAdmin: Bool) throws(ContainerError) {
    let permitted = sets.permitted | (keepingAdmin ? Self.admin : 0)
    try set(effective: sets.effective, permitted: permitted)
    guard sets.permitted & sets.inheritable != 0 else { return }  // capset(2) has emptied the ambient set
    // The launcher may have had ambient ones itself.
    _ = ccontainer_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL), 0)
    for number in 0..<64 where sets.ambient & (1 << UInt64(number)) != 0 {
      guard ccontainer_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_RAISE), UInt(number)) == 0 else {
        throw ContainerError(
          "process.capabilities.ambient", SystemError("raise", Capability.name(number), .current))
      }
    }
  }

  /// Makes the kept CAP_SYS_ADMIN effective.
  func raiseAdmin() throws(ContainerError) {
    try set(effective: sets.effective | Self.admin, permitted: sets.permitted | Self.admin)
  }

  /// Gives the kept CAP_SYS_ADMIN back.
  func finish() throws(ContainerError) { try set(effective: sets.effective, permitted: sets.permitted) }

  private func set(effective: UInt64, permitted: UInt64) throws(ContainerError) {
    let all = ccontainer_capabilities(effective: effective, permitted: permitted, inheritable: sets.inheritable)
    guard ccontainer_capset(all) == 0 else {
      throw ContainerError("process.capabilities", SystemError("capset", "", .current))
    }
  }
}

/// Names of capabilities.
private enum Capability {
  /// "CAP_CHOWN", or the number where there is no name.
  static func name(_ number: Int) -> String {
    CapabilityName.all.indices.contains(number) ? CapabilityName.all[number] : "capability \(number)"
  }
}
