/// `linux` of config.json.
public struct Linux: Equatable, Sendable {
  /// Each type at most once.
  public var namespaces: [Namespace] = []
  public var uidMappings: [IDMapping] = []
  public var gidMappings: [IDMapping] = []
  public var timeOffsets: [TimeOffset] = []
  public var devices: [Device] = []
  /// As written: absolute, relative, or "slice:prefix:name" for systemd; nil when absent.
  public var cgroupsPath: String?
  public var resources: Resources?
  public var rootfsPropagation: Propagation?
  public var seccomp: Seccomp?
  /// Keys with dots ("net.ipv4.ip_forward"), in the file's order.
  public var sysctl: [Spec.Annotation] = []
  /// Absolute paths.
  public var maskedPaths: [String] = []
  public var readonlyPaths: [String] = []
  public var mountLabel = ""
  public var intelRdt: IntelRDT?
  public var personality: Personality?
  /// Host interface name, and its name inside (the same when empty).
  public var netDevices: [NetDevice] = []
  public var memoryPolicy: MemoryPolicy?

  public init() {}

  public enum NamespaceType: UInt8, CaseIterable, Equatable, Sendable {
    case pid, network, mount, ipc, uts, user, cgroup, time
    /// As in config.json.
    public var name: String {
      switch self {
      case .pid: return "pid"
      case .network: return "network"
      case .mount: return "mount"
      case .ipc: return "ipc"
      case .uts: return "uts"
      case .user: return "user"
      case .cgroup: return "cgroup"
      case .time: return "time"
      }
    }
    /// The file in /proc/PID/ns.
    public var file: String {
      switch self {
      case .network: return "net"
      case .mount: return "mnt"
      default: return name
      }
    }
  }

  public struct Namespace: Equatable, Sendable {
    public var type: NamespaceType
    /// Absolute; nil for a new namespace.
    public var path: String?
    public init(_ type: NamespaceType, path: String? = nil) {
      self.type = type
      self.path = path
    }
  }

  /// The namespace entry of `type`; nil when the container shares the runtime's.
  public func namespace(_ type: NamespaceType) -> Namespace? { namespaces.first { $0.type == type } }

  /// `timeOffsets`: for CLOCK_MONOTONIC or CLOCK_BOOTTIME.
  public struct TimeOffset: Equatable, Sendable {
    /// "monotonic" or "boottime", as /proc/PID/timens_offsets takes it.
    public var clock: String
    public var seconds: Int64
    /// Below 1,000,000,000.
    public var nanoseconds: UInt32
    public init(clock: String, seconds: Int64, nanoseconds: UInt32) {
      self.clock = clock
      self.seconds = seconds
      self.nanoseconds = nanoseconds
    }
  }

  public enum DeviceType: UInt8, Equatable, Sendable {
    case all = 0x61  // a
    case block = 0x62  // b
    case character = 0x63  // c, and u
    case fifo = 0x70  // p
  }

  /// `devices`: a node to make.
  public struct Device: Equatable, Sendable {
    /// Absolute.
    public var path: String
    /// Never `.all`.
    public var type: DeviceType
    public var major: UInt32
    public var minor: UInt32
    /// Permission bits; nil means 0666.
    public var fileMode: UInt32?
    public var uid: UInt32?
    public var gid: UInt32?
    public init(path: String, type: DeviceType, major: UInt32 = 0, minor: UInt32 = 0) {
      self.path = path
      self.type = type
      self.major = major
      self.minor = minor
    }
  }

  /// `rootfsPropagation`.
  public enum Propagation: UInt8, Equatable, Sendable { case shared, slave, `private`, unbindable }

  /// `intelRdt`.
  public struct IntelRDT: Equatable, Sendable {
    public var closID: String?
    public var schemata: [String] = []
    public var l3CacheSchema: String?
    public var memBwSchema: String?
    public var enableMonitoring = false
    public init() {}
  }

  /// `personality`: PER_LINUX or PER_LINUX32; flags are not defined by the specification yet.
  public enum Personality: UInt32, Equatable, Sendable {
    case linux = 0
    case linux32 = 8
  }

  /// `netDevices`.
  public struct NetDevice: Equatable, Sendable {
    public var hostName: String
    public var name: String
    public init(hostName: String, name: String) {
      self.hostName = hostName
      self.name = name
    }
  }

  /// `memoryPolicy`, set_mempolicy(2).
  public struct MemoryPolicy: Equatable, Sendable {
    /// MPOL_ number of mempolicy.h.
    public var mode: Int32
    /// A list such as "0-1,3"; may be empty.
    public var nodes: String
    /// MPOL_F_ bits.
    public var flags: UInt32
    public init(mode: Int32, nodes: String, flags: UInt32) {
      self.mode = mode
      self.nodes = nodes
      self.flags = flags
    }
  }
}
