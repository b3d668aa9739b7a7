import CLinux
import OCI

/// What `vmrun create` and `vmrun run` are asked for.
public struct CreateRequest {
  public var id: String
  /// Absolute.
  public var bundle: String
  public var spec: Spec
  /// The configuration as it was read, kept for `exec`; nil to write `spec` anew.
  public var configuration: [UInt8]?
  /// Where the root file system comes from; nil for the configuration's `root.path`.
  public var source: RootSource?
  public var pidFile: String?
  public var consoleSocket: String?
  /// Descriptors 3 to 2 + N stay open for the process.
  public var preservedDescriptors: Int32 = 0
  public var noPivot = false
  public var noNewKeyring = false
  /// Is told of what the configuration asks for and cannot have, where that is no error.
  public var onWarning: ((String) -> Void)?
  /// Whether its network namespace is a connection of `BridgeNetwork`: whoever deletes the container removes the bridge with the last.
  public var usesBridge = false

  public init(id: String, bundle: String, spec: Spec) {
    self.id = id
    self.bundle = bundle
    self.spec = spec
  }
}

/// What `vmrun run` is asked for beside that.
public struct RunOptions {
  /// End when the program runs, and leave it running.
  public var detach = false
  /// Leave the stopped container's state behind.
  public var keep = false
  /// Do not adopt the processes that lose their parent.
  public var noSubreaper = false
  /// How many SIGINTs to vmrun kill the container whatever its process does; nil for no number.
  public var patience: Int?
  /// Nanoseconds after which the container is killed; nil for never.
  public var timeout: UInt64?
  /// Whether the container ends when vmrun is killed.
  public var diesWithParent = false
  /// Whether the program is started by a small process 1, so that it takes signals as everywhere else.
  public var hasReaper = false
  /// Where the set-up's moments are noted.
  public var clock: SetupClock?
  /// Relays the terminal; nil when the process has none or `--console-socket` has it.
  public var terminal: (any TerminalRelay)?

  public init() {}
}

/// What `vmrun exec` is asked for.
public struct ExecRequest {
  public var process: Process
  public var detach = false
  public var pidFile: String?
  public var consoleSocket: String?
  public var preservedDescriptors: Int32 = 0
  /// Run it in a paused container all the same: it waits until that is resumed.
  public var ignorePaused = false
  /// A cgroup below the container's; nil for the container's own.
  public var cgroup: String?
  public var terminal: (any TerminalRelay)?
  /// Is told of what the process asks for and cannot have, where that is no error.
  public var onWarning: ((String) -> Void)?

  public init(process: Process) { self.process = process }
}

/// Moves bytes between a terminal of this side and one of the container. Driven by the session that waits for the process.
public protocol TerminalRelay: AnyObject {
  /// Takes over the master, and makes this side's terminal raw.
  func start(master: Int32) throws(ContainerError)
  /// Descriptors to poll(2), with what to wait for.
  var interests: [(descriptor: Int32, events: Int16)] { get }
  /// Moves what can be moved without waiting. True when the user has asked to end the container.
  func pump() throws(ContainerError) -> Bool
  /// This side's window has a new size.
  func resize()
  /// Moves what the process wrote before it ended, and restores this side's terminal.
  func finish()
}

/// How a process of a container ended.
public enum ExitOutcome: Equatable, Sendable {
  case exited(code: UInt8)
  case killed(signal: Int32)
  case timeout
  case escape
  /// A signal to vmrun ended it before the process could take one.
  case signal(Int32)
  /// It was left running: `--detach`.
  case detached

  /// As a shell counts: the code, or 128 + the signal's number.
  public var exitCode: Int32 {
    switch self {
    case .exited(let code): return Int32(code)
    case .killed(let signal), .signal(let signal): return 128 + signal
    case .timeout: return 124
    case .escape: return 130
    case .detached: return 0
    }
  }

  /// From a status of wait(2).
  init(waitStatus: Int32) {
    if clinux_wifexited(waitStatus) {
      self = .exited(code: UInt8(truncatingIfNeeded: clinux_wexitstatus(waitStatus)))
    } else {
      self = .killed(signal: clinux_wtermsig(waitStatus))
    }
  }
}
