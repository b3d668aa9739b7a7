import Boot
import System

/// A kernel ready to be put into a guest: an open file, and which of its bytes go where.
public struct PreparedKernel: ~Copyable {
  /// Where the kernel came from.
  public enum Origin: Equatable, Sendable {
    /// An entry of the cache.
    case cache
    /// Decompressed or laid out now, and on its way into the cache.
    case fresh
    /// Decompressed or laid out now into memory; there is no cache.
    case uncached
    /// The bzImage itself: the guest decompresses.
    case guest
  }

  /// What `plan` refers to. Position it nowhere: read with offsets.
  public let file: FileDescriptor
  /// What goes where, and the 64-bit entry.
  public let plan: LoadPlan
  /// The setup header for the zero page.
  public let header: SetupHeader
  /// The kernel's own version text; may be empty.
  public let kernelVersion: String
  /// How the kernel in the file was packed.
  public let codec: String
  public let origin: Origin
  /// A note for the user about a cache that could not serve, or nil.
  public let warning: String?
  /// Present when `origin` is `.fresh` and publication was left to the caller: run it when there is time.
  public let publication: Publication?

  /// Whether guest memory may be a private mapping of the file: nobody writes to it, segments are page congruent, and
  /// what lies behind a segment in its last page is zero.
  public var isMappable: Bool { origin != .guest }
}

/// Why a kernel file cannot be booted. The text begins with the file's name.
public enum KernelError: Error, CustomStringConvertible {
  case image(path: String, KernelImageError)
  case system(SystemError)

  public var description: String {
    switch self {
    case .image(let path, let error): return "\(path): \(error)"
    case .system(let error): return error.description
    }
  }
}
