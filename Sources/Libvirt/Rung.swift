import CLibvirt
import CLinux
import System

/// Which of libvirt's drivers runs the machine.
enum Rung: Equatable, Sendable {
  /// The system's daemon.
  case system
  /// The user's own daemon, which the library starts.
  case session
  /// A daemon for root alone, in a user namespace.
  ///
  /// The library sends root to the system's daemon whatever is asked for, since it goes by the effective user. In a user namespace where root has
  /// another number there is a session for root, too. Its daemon and QEMU have root's files and none of root's privileges.
  case rootSession

  var uri: String { self == .system ? "qemu:///system" : "qemu:///session" }
  /// Whether QEMU runs as a user of its own.
  var isShared: Bool { self == .system }

  /// Sockets of the daemons that serve qemu:///system, the modular one first.
  static let systemSockets = ["/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"]
  /// Daemons that can serve a session.
  static let daemons = ["/usr/sbin/virtqemud", "/usr/sbin/libvirtd"]
  static let packages = "apt install libvirt-daemon-driver-qemu libvirt-daemon qemu-system-x86"

  /// The driver for this process's user.
  ///
  /// Root takes the system's daemon where one answers, but for one case: QEMU's user there cannot open /dev/kvm when only root may, and then
  /// libvirt 9 asks QEMU for its capabilities anew at every start, which takes 41 to 46 seconds. Root's own session can open
  /// it, and starts in 0.3.
  static func choose() throws(LibvirtError) -> Rung {
    guard geteuid() == 0 else {
      try requireDaemon()
      return .session
    }
    let isServed = systemSockets.contains { answers($0) }
    if isServed, !isForRootOnly("/dev/kvm") { return .system }
    if canHaveRootSession { return .rootSession }
    if isServed { return .system }
    try requireDaemon()
    throw LibvirtError(
      "no libvirt daemon runs, and root cannot have one of its own without user namespaces; start one: \(startCommand)")
  }

  /// What starts the system's daemon here.
  static var startCommand: String {
    let isModular = can("/usr/sbin/virtqemud", X_OK) && !can("/usr/sbin/libvirtd", X_OK)
    // sd_booted(3)
    if can("/run/systemd/system", F_OK) {
      return isModular ? "systemctl start virtqemud.socket" : "systemctl start libvirtd"
    }
    return isModular ? "virtlogd -d && virtqemud -d" : "virtlogd -d && libvirtd -d"
  }

  private static func requireDaemon() throws(LibvirtError) {
    guard !daemons.contains(where: { can($0, X_OK) }) else { return }
    throw LibvirtError("there is no libvirt daemon here; install one: \(packages)")
  }

  private static var canHaveRootSession: Bool {
    daemons.contains { can($0, X_OK) } && can("/proc/self/ns/user", F_OK)
  }

  static func answers(_ socket: String) -> Bool {
    // unsafe: the string lives during the call.
    let raw = unsafe clibvirt_connect(socket)
    guard raw >= 0 else { return false }
    _ = close(raw)
    return true
  }

  private static func isForRootOnly(_ path: String) -> Bool {
    var status = stat()
    // unsafe: stat fills the one struct it is given.
    return unsafe stat(path, &status) == 0 && status.st_mode & 0o066 == 0
  }

  // MARK: Root's session

  /// Where root's session keeps its sockets, settings and what it knows about QEMU.
  static let rootFolder = "/run/vmrun-libvirt/session"
  /// The number that root has there: the one that every system gives to nobody, and so has a name.
  private static let nobody: UInt32 = 65534

  /// Makes this process one of the session. Before any thread is started, and after everything is open that needs root's privileges.
  func enter() throws(LibvirtError) {
    guard self == .rootSession else { return }
    // What the user's environment says is about the user who became root.
    for (variable, folder) in [
      ("XDG_RUNTIME_DIR", "runtime"), ("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache"),
      ("XDG_DATA_HOME", "data"),
    ] {
      let path = Self.rootFolder + "/" + folder
      // unsafe: the strings live during the calls. A folder that cannot be made is the daemon's to complain about.
      _ = unsafe mkdir(Self.rootFolder, 0o700)
      _ = unsafe mkdir(path, 0o700)
      _ = unsafe setenv(variable, path, 1)
    }
    let error = clibvirt_enter_user_namespace(Self.nobody, Self.nobody)
    guard error == 0 else {
      throw LibvirtError(
        "no libvirt daemon that root can use: a user namespace for root's own: \(Errno(rawValue: error)); or start the system's: \(Self.startCommand)"
      )
    }
  }

  /// Where the driver keeps what QEMU says of the domain called `name`.
  func log(of name: String) -> String {
    let file = "/libvirt/qemu/log/\(name).log"
    switch self {
    case .system: return "/var/log/libvirt/qemu/\(name).log"
    case .rootSession: return Self.rootFolder + "/cache" + file
    case .session:
      if let folder = variable("XDG_CACHE_HOME"), folder.hasPrefix("/") { return folder + file }
      return (variable("HOME") ?? "") + "/.cache" + file
    }
  }
}

/// The value of environment variable `name`.
func variable(_ name: String) -> String? {
  // unsafe: getenv's strings are valid while nobody changes the environment; it is changed before any thread is started.
  unsafe getenv(name).map { unsafe String(cString: $0) }
}

/// access(2).
func can(_ path: String, _ mode: Int32) -> Bool {
  // unsafe: the string lives during the call.
  unsafe access(path, mode) == 0
}
