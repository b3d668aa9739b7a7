/// `linux.resources`: what a cgroup limits. Units are the specification's (bytes, microseconds); -1 is "no limit" where it says so.
public struct Resources: Equatable, Sendable {
  public var devices: [DeviceRule] = []
  public var memory: Memory?
  public var cpu: CPU?
  public var pids: PIDs?
  public var blockIO: BlockIO?
  public var hugepageLimits: [HugepageLimit] = []
  public var network: Network?
  public var rdma: [RDMA] = []
  /// cgroup v2 files: name and content, in the file's order; a name has no '/'.
  public var unified: [Spec.Annotation] = []

  public init() {}

  public struct DeviceRule: Equatable, Sendable {
    public var allow: Bool
    public var type: Linux.DeviceType
    /// nil is any.
    public var major: UInt32?
    public var minor: UInt32?
    /// r, w, m.
    public var access: Access
    public init(allow: Bool, type: Linux.DeviceType, major: UInt32?, minor: UInt32?, access: Access) {
      self.allow = allow
      self.type = type
      self.major = major
      self.minor = minor
      self.access = access
    }
    /// r, w and m; the bits are those of BPF_DEVCG_ACC_.
    public struct Access: OptionSet, Equatable, Sendable {
      public let rawValue: UInt8
      public init(rawValue: UInt8) { self.rawValue = rawValue }
      public static let mknod = Access(rawValue: 1)
      public static let read = Access(rawValue: 2)
      public static let write = Access(rawValue: 4)
      public static let all = Access(rawValue: 7)
    }
  }

  public struct Memory: Equatable, Sendable {
    public var limit: Int64?
    public var reservation: Int64?
    /// Memory and swap together (v1's memsw); -1 no limit.
    public var swap: Int64?
    public var kernel: Int64?
    public var kernelTCP: Int64?
    /// 0 to 100.
    public var swappiness: UInt64?
    public var disableOOMKiller: Bool?
    public var useHierarchy: Bool?
    public var checkBeforeUpdate: Bool?
    public init() {}
  }

  public struct CPU: Equatable, Sendable {
    public var shares: UInt64?
    public var quota: Int64?
    public var burst: UInt64?
    public var period: UInt64?
    public var realtimeRuntime: Int64?
    public var realtimePeriod: UInt64?
    public var cpus: String?
    public var mems: String?
    public var idle: Int64?
    public init() {}
  }

  public struct PIDs: Equatable, Sendable {
    /// Below 1: no limit; nil: leave.
    public var limit: Int64?
    public init() {}
  }

  public struct BlockIO: Equatable, Sendable {
    /// 10 to 1000.
    public var weight: UInt16?
    public var leafWeight: UInt16?
    public var weightDevice: [WeightDevice] = []
    /// Bytes per second.
    public var throttleReadBps: [Throttle] = []
    public var throttleWriteBps: [Throttle] = []
    /// Operations per second.
    public var throttleReadIOPS: [Throttle] = []
    public var throttleWriteIOPS: [Throttle] = []
    public init() {}

    public struct WeightDevice: Equatable, Sendable {
      public var major: UInt32
      public var minor: UInt32
      public var weight: UInt16?
      public var leafWeight: UInt16?
      public init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
      }
    }
    public struct Throttle: Equatable, Sendable {
      public var major: UInt32
      public var minor: UInt32
      public var rate: UInt64
      public init(major: UInt32, minor: UInt32, rate: UInt64) {
        self.major = major
        self.minor = minor
        self.rate = rate
      }
    }
  }

  public struct HugepageLimit: Equatable, Sendable {
    /// "2MB", "1GB", as the kernel's files name it.
    public var pageSize: String
    public var limit: UInt64
    public init(pageSize: String, limit: UInt64) {
      self.pageSize = pageSize
      self.limit = limit
    }
  }

  public struct Network: Equatable, Sendable {
    public var classID: UInt32?
    public var priorities: [Priority] = []
    public init() {}
    public struct Priority: Equatable, Sendable {
      public var name: String
      public var priority: UInt32
      public init(name: String, priority: UInt32) {
        self.name = name
        self.priority = priority
      }
    }
  }

  public struct RDMA: Equatable, Sendable {
    public var device: String
    public var hcaHandles: UInt32?
    public var hcaObjects: UInt32?
    public init(device: String) { self.device = device }
  }
}
