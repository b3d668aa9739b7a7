/// What runs in a container: `process` of config.json, or the whole of `exec --process FILE`.
public struct Process: Equatable, Sendable {
  public var terminal = false
  /// nil when absent or 0 x 0.
  public var consoleSize: ConsoleSize?
  public var user = User()
  /// Program and arguments, at least one; bytes without NUL.
  public var args: [[UInt8]] = []
  /// "NAME=value" each; bytes without NUL.
  public var env: [[UInt8]] = []
  /// Absolute.
  public var cwd = "/"
  /// nil when absent: the container gets none (OCI), which is not the same as five empty sets only for `exec`.
  public var capabilities: Capabilities?
  public var rlimits: [ResourceLimit] = []
  public var noNewPrivileges = false
  /// AppArmor profile; empty for none.
  public var apparmorProfile = ""
  /// SELinux label; empty for none.
  public var selinuxLabel = ""
  /// -1000 to 1000.
  public var oomScoreAdj: Int?
  public var ioPriority: IOPriority?
  public var scheduler: Scheduler?
  /// CPU lists ("0-3,7") for the time before and after the process joined its cgroup (`exec` only).
  public var execCPUAffinity: ExecCPUAffinity?
  /// What is legal but will not have the effect that it names; each with its path below `process`.
  public var warnings: [String] = []

  public init() {}

  public struct ConsoleSize: Equatable, Sendable {
    public var height: UInt16
    public var width: UInt16
    public init(height: UInt16, width: UInt16) {
      self.height = height
      self.width = width
    }
  }

  public struct User: Equatable, Sendable {
    public var uid: UInt32 = 0
    public var gid: UInt32 = 0
    /// nil means 0022.
    public var umask: UInt32?
    public var additionalGids: [UInt32] = []
    public init() {}
  }

  /// Bit n of a set is capability n of capability.h; unknown names were reported when reading.
  public struct Capabilities: Equatable, Sendable {
    public var bounding: UInt64 = 0
    public var effective: UInt64 = 0
    public var permitted: UInt64 = 0
    public var inheritable: UInt64 = 0
    public var ambient: UInt64 = 0
    public init() {}
    /// The same set as bounding, effective and permitted, as docker gives.
    public init(all set: UInt64) {
      bounding = set
      effective = set
      permitted = set
    }
  }

  public struct ResourceLimit: Equatable, Sendable {
    /// RLIMIT_ number of setrlimit(2).
    public var resource: Int32
    /// The name as written ("RLIMIT_NOFILE").
    public var name: String
    public var soft: UInt64
    public var hard: UInt64
    public init(resource: Int32, name: String, soft: UInt64, hard: UInt64) {
      self.resource = resource
      self.name = name
      self.soft = soft
      self.hard = hard
    }
  }

  /// `ioPriority`, ioprio_set(2).
  public struct IOPriority: Equatable, Sendable {
    /// IOPRIO_CLASS_RT 1, BE 2, IDLE 3.
    public var ioClass: UInt8
    /// 0 to 7.
    public var priority: UInt8
    public init(ioClass: UInt8, priority: UInt8) {
      self.ioClass = ioClass
      self.priority = priority
    }
  }

  /// `scheduler`, sched_setattr(2).
  public struct Scheduler: Equatable, Sendable {
    /// SCHED_ number of sched.h.
    public var policy: UInt32
    public var nice: Int32 = 0
    public var priority: UInt32 = 0
    /// SCHED_FLAG_ bits.
    public var flags: UInt64 = 0
    /// Nanoseconds each, for SCHED_DEADLINE.
    public var runtime: UInt64 = 0
    public var deadline: UInt64 = 0
    public var period: UInt64 = 0
    public init(policy: UInt32) { self.policy = policy }
  }

  public struct ExecCPUAffinity: Equatable, Sendable {
    public var initial: String?
    public var final: String?
    public init(initial: String?, final: String?) {
      self.initial = initial
      self.final = final
    }
  }
}
