/// A kernel that the catalogue has found.
public struct KernelEntry: Equatable, Sendable {
  /// Where it was found.
  public enum Source: Equatable, Sendable {
    /// The system's own folder, /boot.
    case boot
    /// vmrun's cache folder, which `vmrun kernel fetch` fills.
    case cache

    /// "/boot" or "cache".
    public var name: String {
      switch self {
      case .boot: return "/boot"
      case .cache: return "cache"
      }
    }
  }

  /// The kernel's release, from the name of its file: "6.1.0-56-cloud-amd64".
  public let name: String
  /// The absolute path of its bzImage.
  public let path: String
  public let source: Source
  /// Bytes of the file.
  public let size: UInt64
  /// Whether this user may read the file.
  public let isReadable: Bool

  /// A kernel of these properties.
  public init(name: String, path: String, source: Source, size: UInt64, isReadable: Bool) {
    self.name = name
    self.path = path
    self.source = source
    self.size = size
    self.isReadable = isReadable
  }
}
