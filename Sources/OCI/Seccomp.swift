/// `linux.seccomp`.
public struct Seccomp: Equatable, Sendable {
  public var defaultAction: Action
  /// errno of the default action; nil means EPERM.
  public var defaultErrno: UInt32?
  /// SCMP_ARCH_ names as written; each one known.
  public var architectures: [String] = []
  /// SECCOMP_FILTER_FLAG_ names as written; each one known.
  public var flags: [String] = []
  /// Socket that receives the notify descriptor; needed when an action is `.notify`.
  public var listenerPath: String?
  public var listenerMetadata: String?
  public var syscalls: [Rule] = []

  public init(defaultAction: Action) { self.defaultAction = defaultAction }

  public enum Action: UInt8, Equatable, Sendable {
    case allow, killThread, killProcess, trap, errno, trace, log, notify
  }

  public struct Rule: Equatable, Sendable {
    /// At least one.
    public var names: [String]
    public var action: Action
    public var errno: UInt32?
    public var args: [Argument] = []
    public init(names: [String], action: Action) {
      self.names = names
      self.action = action
    }
  }

  public struct Argument: Equatable, Sendable {
    /// 0 to 5.
    public var index: UInt32
    public var value: UInt64
    /// The mask's result for `.maskedEqual`.
    public var valueTwo: UInt64
    public var comparison: Comparison
    public init(index: UInt32, value: UInt64, valueTwo: UInt64 = 0, comparison: Comparison) {
      self.index = index
      self.value = value
      self.valueTwo = valueTwo
      self.comparison = comparison
    }
  }

  public enum Comparison: UInt8, Equatable, Sendable {
    case notEqual, less, lessOrEqual, equal, greaterOrEqual, greater, maskedEqual
  }
}
