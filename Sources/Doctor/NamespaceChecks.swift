import CContainer
import CLinux
import System

/// Every kind of namespace, made and entered.
enum NamespaceChecks {
  /// A kind, its flag, and its file in /proc/self/ns.
  struct Kind: Sendable {
    let name: String
    let flag: Int
    let file: String
    let cost: String
  }

  static let kinds: [Kind] = [
    Kind(name: "pid", flag: ccontainer_newpid, file: "pid_for_children", cost: "containers"),
    Kind(name: "net", flag: ccontainer_newnet, file: "net", cost: "containers without --net host"),
    Kind(name: "ipc", flag: ccontainer_newipc, file: "ipc", cost: "containers"),
    Kind(name: "mnt", flag: ccontainer_newns, file: "mnt", cost: "containers"),
    Kind(name: "uts", flag: ccontainer_newuts, file: "uts", cost: "containers"),
    Kind(name: "cgroup", flag: ccontainer_newcgroup, file: "cgroup", cost: "containers"),
    Kind(
      name: "time", flag: ccontainer_newtime, file: "time_for_children",
      cost: "time namespaces in an OCI configuration"),
  ]

  static func findings(_ trial: Trial, _ caller: Caller) -> [Finding] {
    var findings = kinds.map { kind in finding(kind, trial.run { () throws(DoctorError) in try make(kind) }, caller) }
    findings.append(
      user(
        trial.run { () throws(DoctorError) in
          try Stage.becomeNobody()
          try Stage.enterUserNamespace()
          return "root in it through uid_map"
        }, caller, setting))
    return findings
  }

  private static func make(_ kind: Kind) throws(DoctorError) -> String {
    let before = try link(kind.file)
    try Stage.enter(kind.flag)
    guard try link(kind.file) != before else { throw DoctorError("the namespace is still the same") }
    return "made"
  }

  private static func link(_ file: String) throws(DoctorError) -> [UInt8] {
    let path = "/proc/self/ns/\(file)"
    var target = [UInt8](repeating: 0, count: 128)
    // unsafe: readlink writes at most the array.
    let count = unsafe clinux_readlinkat(AT_FDCWD, path, &target, 128)
    guard count > 0 else { throw DoctorError(refused: "readlink", path) }
    return Array(target[..<count])
  }

  /// The number in a file below /proc/sys.
  private static func setting(_ name: String) -> Int? { Int(HostText.line("/proc/sys/\(name)") ?? "") }

  static func finding(_ kind: Kind, _ result: TrialResult, _ caller: Caller) -> Finding {
    if result.succeeded {
      return .works("namespace.\(kind.name)", .namespaces, kind.name, "made and entered", group: "made")
    }
    let isBeside = kind.name == "time"
    return .lacks(
      "namespace.\(kind.name)", .namespaces, kind.name, result.text, state: isBeside ? .missing : .fails,
      cost: kind.cost,
      remedy: caller.isRoot
        ? "a kernel with CONFIG_NAMESPACES and CONFIG_\(kind.name == "mnt" ? "NAMESPACES" : upper(kind.name) + "_NS"), and CAP_SYS_ADMIN"
        : "mend the line rootless")
  }

  private static func upper(_ text: String) -> String {
    String(decoding: text.utf8.map { $0 >= 0x61 && $0 <= 0x7A ? $0 & 0xDF : $0 }, as: UTF8.self)
  }

  /// - Parameter setting: the number in a file below /proc/sys, or nil when there is none.
  static func user(_ result: TrialResult, _ caller: Caller, _ setting: (String) -> Int?) -> Finding {
    let (id, title) = ("namespace.user", "rootless")
    let who = caller.isRoot ? "as nobody" : "as you"
    if case .done(let text) = result {
      return .works(id, .namespaces, title, "\(who), a user namespace is made: \(text)")
    }
    let remedy: String
    if setting("kernel/unprivileged_userns_clone") == 0 {
      remedy = caller.asRoot("sysctl -w kernel.unprivileged_userns_clone=1")
    } else if setting("user/max_user_namespaces") == 0 {
      remedy = caller.asRoot("sysctl -w user.max_user_namespaces=10000")
    } else if setting("kernel/apparmor_restrict_unprivileged_userns") == 1 {
      remedy = caller.asRoot("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0")
    } else {
      remedy = "a kernel with CONFIG_USER_NS; in a container, a seccomp profile that allows unshare"
    }
    return .lacks(
      id, .namespaces, title, "\(who): \(result.text)", state: caller.isRoot ? .missing : .fails,
      cost: "containers without root", remedy: remedy)
  }
}
