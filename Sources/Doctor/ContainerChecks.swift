import CContainer
import CLinux
import Kernels
import System

/// seccomp, overlay file systems, and a container as a whole.
enum ContainerChecks {
  static func findings(_ trial: Trial, _ caller: Caller, executable: String) -> [Finding] {
    [
      seccomp(trial.run(refuse)),
      flags(trial.run { () in String(ccontainer_seccomp_flags(SeccompFlag.all)) }),
      notification(trial.run(notify)),
      overlay(trial.run { () throws(DoctorError) in try stack(rootless: false) }, caller),
      rootlessOverlay(trial.run { () throws(DoctorError) in try stack(rootless: true) }, caller),
      run(trial.run(milliseconds: 8000) { () throws(DoctorError) in try contain(executable, caller) }, caller),
    ]
  }

  // MARK: Acts

  private static func refuse() throws(DoctorError) -> String {
    let failure = ccontainer_prove_seccomp()
    guard failure == 0 else { throw DoctorError("a filter: \(Errno(rawValue: failure))") }
    return "a filter was installed, and a call refused by it"
  }

  private static func notify() throws(DoctorError) -> String {
    let failure = ccontainer_prove_seccomp_notification()
    guard failure == 0 else { throw DoctorError("a listener: \(Errno(rawValue: failure))") }
    return "a call was answered through a filter's listener"
  }

  /// Mounts an overlay, writes through it, and looks whether the layer below stayed as it was.
  private static func stack(rootless: Bool) throws(DoctorError) -> String {
    let isOwn = rootless || geteuid() != 0
    if rootless {
      try Stage.becomeNobody()
      try Stage.enterUserNamespace(and: ccontainer_newns)
    } else {
      try Stage.enter(ccontainer_newns)
    }
    try Stage.scratch()
    for folder in ["lower", "upper", "work", "whole"] { try Stage.makeFolder("/tmp/\(folder)") }
    try Stage.write("/tmp/lower/file", "below")
    let options = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work" + (isOwn ? ",userxattr" : "")
    // unsafe: the strings are NUL-terminated for the call.
    guard unsafe mount("overlay", "/tmp/whole", "overlay", 0, options) == 0 else {
      throw DoctorError(refused: "mount", "overlay")
    }
    try Stage.write("/tmp/whole/file", "above")
    guard HostText.line("/tmp/whole/file") == "above", HostText.line("/tmp/lower/file") == "below",
      HostText.line("/tmp/upper/file") == "above"
    else { throw DoctorError("an overlay's layers do not hold what was written") }
    return "one was mounted and written to; the layer below stayed as it was"
  }

  /// Runs vmrun itself in a container whose root is the folder that vmrun lies in.
  private static func contain(_ executable: String, _ caller: Caller) throws(DoctorError) -> String {
    let slash = executable.utf8.lastIndex(of: UInt8(ascii: "/")) ?? executable.utf8.startIndex
    let folder = String(decoding: executable.utf8[..<slash], as: UTF8.self)
    let name = String(decoding: executable.utf8[slash...], as: UTF8.self)
    if caller.isRoot {
      // What it keeps in /run must not stay.
      guard unshare(Int32(ccontainer_newns)) == 0 else { throw DoctorError(refused: "unshare", "mnt") }
      // unsafe: the strings are NUL-terminated for the calls.
      guard unsafe mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0,
        unsafe mount("vmrun", "/run", "tmpfs", 0, "mode=755") == 0
      else { throw DoctorError(refused: "mount", "/run") }
    }
    let state = caller.isRoot ? "" : stateFolder(caller)
    let isNew = !state.utf8.isEmpty && !Folder.has(state)
    // unsafe: the string is NUL-terminated for the call.
    defer { if isNew { _ = unsafe ccontainer_remove_tree(state) } }
    let start = Clock.now()
    let outcome = try naming { () throws(KernelsError) in
      try Program.run(
        executable,
        ["--container", "--rootfs", folder.utf8.isEmpty ? "/" : folder, "--timeout", "5", "--", name, "--version"],
        milliseconds: 7000)
    }
    guard outcome.succeeded else { throw DoctorError(outcome.complaint) }
    return "one was run in \(Text.milliseconds(Clock.now() - start))"
  }

  /// Where vmrun keeps what it knows about a user's containers.
  private static func stateFolder(_ caller: Caller) -> String {
    // unsafe: getenv's string is valid while nobody changes the environment, which vmrun never does.
    if let folder = unsafe getenv("XDG_RUNTIME_DIR").map({ unsafe String(cString: $0) }), folder.hasPrefix("/") {
      return "\(folder)/vmrun"
    }
    return "/tmp/vmrun-\(caller.user)"
  }

  // MARK: Verdicts

  static func seccomp(_ result: TrialResult) -> Finding {
    if case .done(let text) = result { return .works("seccomp.filter", .containers, "seccomp", text) }
    return .lacks(
      "seccomp.filter", .containers, "seccomp", result.text,
      cost: "containers with a seccomp profile, which is the default",
      remedy: "a kernel with CONFIG_SECCOMP_FILTER")
  }

  /// The flags of a filter (seccomp(2)).
  enum SeccompFlag: UInt32, CaseIterable {
    case tsync = 1, log = 2, specAllow = 4, newListener = 8, tsyncESRCH = 16, waitKillable = 32

    static var all: UInt32 { allCases.reduce(0) { $0 | $1.rawValue } }

    var name: String {
      switch self {
      case .tsync: return "TSYNC"
      case .log: return "LOG"
      case .specAllow: return "SPEC_ALLOW"
      case .newListener: return "NEW_LISTENER"
      case .tsyncESRCH: return "TSYNC_ESRCH"
      case .waitKillable: return "WAIT_KILLABLE_RECV"
      }
    }
  }

  static func flags(_ result: TrialResult) -> Finding {
    let (id, title) = ("seccomp.flags", "seccomp flags")
    let known = result.succeeded ? UInt32(result.text) ?? 0 : 0
    let names = SeccompFlag.allCases.filter { known & $0.rawValue != 0 }.map { $0.name }
    let others = SeccompFlag.allCases.filter { known & $0.rawValue == 0 }.map { $0.name }
    if others.isEmpty { return .works(id, .containers, title, Text.join(names)) }
    let text = names.isEmpty ? "none is known" : Text.join(names)
    return .lacks(
      id, .containers, title, "\(text), but not \(Text.join(others))", state: .missing,
      cost: "these flags in an OCI configuration", remedy: "a newer kernel")
  }

  static func notification(_ result: TrialResult) -> Finding {
    if case .done(let text) = result { return .works("seccomp.notify", .containers, "seccomp notify", text) }
    return .lacks(
      "seccomp.notify", .containers, "seccomp notify", result.text, state: .missing,
      cost: "SCMP_ACT_NOTIFY in an OCI configuration", remedy: "Linux 5.0 or newer")
  }

  static func overlay(_ result: TrialResult, _ caller: Caller) -> Finding {
    if case .done(let text) = result { return .works("overlay", .containers, "overlay", text) }
    return .lacks(
      "overlay", .containers, "overlay", result.text, cost: "containers with a --rootfs that stays as it is",
      remedy: caller.asRoot("modprobe overlay"))
  }

  static func rootlessOverlay(_ result: TrialResult, _ caller: Caller) -> Finding {
    let (id, title) = ("overlay.rootless", "rootless overlay")
    if case .done = result {
      return .works(
        id, .containers, title,
        "\(caller.isRoot ? "as nobody" : "as you"), one was mounted in a user namespace (userxattr)")
    }
    return .lacks(
      id, .containers, title, result.text, state: caller.isRoot ? .missing : .fails,
      cost: "containers without root and with a --rootfs that stays as it is", remedy: "Linux 5.11 or newer")
  }

  static func run(_ result: TrialResult, _ caller: Caller) -> Finding {
    if case .done(let text) = result { return .works("container", .containers, "container", text) }
    return .lacks(
      "container", .containers, "container", result.text, cost: "vmrun --container", remedy: "mend the lines above")
  }
}
