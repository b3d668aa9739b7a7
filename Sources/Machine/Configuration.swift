import Boot

/// What one launch asks for, validated: every value is in range and no two contradict each other.
public struct Configuration: Sendable {
  /// Where the guest's serial console goes.
  public enum Console: Equatable, Sendable {
    /// Standard input and output.
    case stdio
    /// Standard error; no input.
    case standardError
    /// Nowhere.
    case none
    /// A file, created or truncated; no input.
    case file(String)
  }

  /// How a kernel of the cache comes into guest memory.
  public enum KernelPages: Equatable, Sendable {
    /// Shared on bare metal, copied where this host is itself a virtual machine.
    case automatic
    /// Mapped from the cache: virtual machines of one kernel share the pages that they do not write to.
    case shared
    /// Copied into huge pages.
    case copied
  }

  /// A raw disk image or block device.
  public struct Disk: Equatable, Sendable {
    public let path: String
    public let readOnly: Bool

    public init(path: String, readOnly: Bool) {
      self.path = path
      self.readOnly = readOnly
    }
  }

  /// A command that runs in the guest with a directory of the host as its root.
  public struct Command: Sendable {
    /// The host directory that is copied; never changed.
    public var rootfs: String
    /// The command and its arguments, in bytes; not empty.
    public var arguments: [[UInt8]]
    /// "K=V" in bytes, in the order given.
    public var environment: [[UInt8]] = []
    public var workingDirectory = "/"
    public var hostname = "vmrun"
    /// Numeric user and group in the guest.
    public var user: UInt32 = 0
    public var group: UInt32 = 0
    /// Whether the command gets a terminal.
    public var terminal = false

    public init(rootfs: String, arguments: [[UInt8]]) {
      self.rootfs = rootfs
      self.arguments = arguments
    }
  }

  /// The kernel file; nil is the built-in guest.
  public var kernel: String?
  /// How its pages come into the guest.
  public var kernelPages = KernelPages.automatic
  public var initrd: String?
  /// Added to the kernel's command line after vmrun's own words, so that it wins.
  public var append = ""
  public var cpus: UInt32 = 1
  /// Bytes of guest RAM; nil chooses by the payload.
  public var memory: UInt64?
  /// How the kernel in a bzImage is started.
  public var boot = BootMode.auto
  /// nil chooses: stdio for a kernel, captured for a command.
  public var console: Console?
  public var disks: [Disk] = []
  public var command: Command?
  /// Nanoseconds from vmrun's start to a forced end; nil waits for ever.
  public var timeout: UInt64?
  /// Shows the kernel's log on standard error while a command runs.
  public var verbose = false
  /// Says nothing on standard error but errors.
  public var quiet = false

  public init() {}

  /// Guest RAM when nothing is asked for: the built-in guest, and a Linux kernel.
  public static let minimalMemory: UInt64 = 32 << 20
  public static let linuxMemory: UInt64 = 256 << 20
  /// The least that any kernel gets. Debian's cloud kernels, which lie at 16 MiB, need 68 to 72 MiB beside their initramfs.
  public static let leastLinuxMemory: UInt64 = 64 << 20
  /// virtio-mmio windows that fit the interrupt lines of the IOAPIC.
  public static let mostDisks = 8
}
