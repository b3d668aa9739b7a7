/// A container's configuration: config.json of the OCI runtime specification 1.3, as far as it concerns Linux.
///
/// Field names are the specification's; a field that is absent is nil or empty. Everything was checked when it was read
/// (`Spec(decoding:)`): whoever holds a `Spec` can rely on the ranges that the fields' comments name.
public struct Spec: Equatable, Sendable {
  /// `ociVersion` as written; 1.x.
  public var version = Spec.writtenVersion
  public var root: Root?
  public var mounts: [Mount] = []
  public var process: Process?
  public var hostname: String?
  public var domainname: String?
  public var hooks = Hooks()
  public var annotations: [Annotation] = []
  public var linux = Linux()
  /// What is legal but odd, or will not have the effect that it names; each with its path.
  public var warnings: [String] = []

  /// A configuration with nothing in it.
  public init() {}

  /// The specification's version that vmrun writes.
  public static let writtenVersion = "1.3.0"

  /// `root`.
  public struct Root: Equatable, Sendable {
    /// Absolute, or relative to the bundle; never empty.
    public var path: String
    public var isReadOnly: Bool
    public init(path: String, isReadOnly: Bool = false) {
      self.path = path
      self.isReadOnly = isReadOnly
    }
  }

  /// One annotation: a name that is not empty, and its value.
  public struct Annotation: Equatable, Sendable {
    public var name: String
    public var value: String
    public init(name: String, value: String) {
      self.name = name
      self.value = value
    }
  }

  /// One element of `mounts`.
  public struct Mount: Equatable, Sendable {
    /// Where in the container; absolute after reading (a relative one is taken from "/", with a warning).
    public var destination: String
    /// The file system's type; empty when absent.
    public var type: String = ""
    /// Device, path (absolute or relative to the bundle) or name; empty when absent.
    public var source: String = ""
    public var options: [String] = []
    public var uidMappings: [IDMapping] = []
    public var gidMappings: [IDMapping] = []
    public init(destination: String, type: String = "", source: String = "", options: [String] = []) {
      self.destination = destination
      self.type = type
      self.source = source
      self.options = options
    }
  }

  /// `hooks`: what runs at the stages of a container's life.
  public struct Hooks: Equatable, Sendable {
    public var prestart: [Hook] = []
    public var createRuntime: [Hook] = []
    public var createContainer: [Hook] = []
    public var startContainer: [Hook] = []
    public var poststart: [Hook] = []
    public var poststop: [Hook] = []
    public init() {}
  }

  /// One hook.
  public struct Hook: Equatable, Sendable {
    /// Absolute.
    public var path: String
    /// With the program's name first; empty means the path alone.
    public var args: [String] = []
    public var env: [String] = []
    /// Seconds, greater than 0; nil for no limit.
    public var timeout: Int?
    public init(path: String) { self.path = path }
  }
}

/// A range of IDs: `size` IDs from `containerID` inside are those from `hostID` outside. Neither end exceeds 2^32 - 1.
public struct IDMapping: Equatable, Sendable {
  public var containerID: UInt32
  public var hostID: UInt32
  /// At least 1.
  public var size: UInt32
  public init(containerID: UInt32, hostID: UInt32, size: UInt32) {
    self.containerID = containerID
    self.hostID = hostID
    self.size = size
  }
}
