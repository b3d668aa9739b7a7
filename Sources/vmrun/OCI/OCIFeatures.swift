import Container
import JSON
import OCI

/// `vmrun features` (features.md and features-linux.md of the OCI runtime specification).
enum OCIFeatures {
  static var json: JSON {
    .object([
      .init("ociVersionMin", .string("1.0.0")), .init("ociVersionMax", .string(Spec.writtenVersion)),
      .init(
        "hooks",
        strings(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])),
      .init("mountOptions", strings(MountOptions.known)),
      .init("linux", linux),
      .init(
        "annotations",
        .object([.init("org.opencontainers.runc.checkpoint.enabled", .string("false"))])),
      .init("potentiallyUnsafeConfigAnnotations", .array([])),
    ])
  }

  private static var linux: JSON {
    let known = SpecFeatures.self
    let yes = JSON.object([.init("enabled", .boolean(true))])
    return .object([
      .init("namespaces", strings(known.namespaces)), .init("capabilities", strings(CapabilityName.all)),
      .init(
        "cgroup",
        .object(["v1", "v2", "systemd", "systemdUser", "rdma"].map { .init($0, .boolean(true)) })),
      .init(
        "seccomp",
        .object([
          .init("enabled", .boolean(true)), .init("actions", strings(known.seccompActions)),
          .init("operators", strings(known.seccompOperators)), .init("archs", strings(known.seccompArchitectures)),
          .init("knownFlags", strings(known.seccompFlags)), .init("supportedFlags", strings(known.seccompFlags)),
        ])),
      .init("apparmor", yes), .init("selinux", yes),
      .init(
        "intelRdt",
        .object(["enabled", "schemata", "monitoring"].map { .init($0, .boolean(true)) })),
      .init(
        "memoryPolicy",
        .object([.init("modes", strings(known.memoryPolicies)), .init("flags", strings(known.memoryPolicyFlags))])),
      .init("mountExtensions", .object([.init("idmap", yes)])), .init("netDevices", yes),
    ])
  }

  private static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
}
