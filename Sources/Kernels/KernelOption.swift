/// A configuration option of Linux (without CONFIG_) that matters in a micro-VM.
public struct KernelOption: Sendable {
  /// What it is for.
  public enum Group: CaseIterable, Sendable {
    /// A command payload does not run without it, built in.
    case command
    /// It makes a virtual machine start or run better.
    case machine
    /// A device that vmrun or its libvirt helper offers, or will.
    case device
    /// A file system for disks, images and shared folders.
    case fileSystem
    /// A compression of an --initrd.
    case initrd

    /// A heading.
    public var title: String {
      switch self {
      case .command: return "needed by a command payload, built in"
      case .machine: return "the machine"
      case .device: return "devices"
      case .fileSystem: return "file systems"
      case .initrd: return "compressed initrds (a command payload's is not compressed)"
      }
    }
  }

  public let name: String
  public let group: Group
  /// What it is for, in a few words.
  public let purpose: String
  /// The module that it becomes when it is not built in; nil for one that cannot be a module.
  let module: String?
  /// Texts one of which is in every kernel that has it built in, and in none that has it as a module or not at all; a NUL at an
  /// end is the text's own border.
  let marks: [String]

  init(_ name: String, _ group: Group, _ purpose: String, module: String? = nil, _ marks: String...) {
    self.name = name
    self.group = group
    self.purpose = purpose
    self.module = module
    self.marks = marks
  }

  /// Every option that is looked at.
  public static let all: [KernelOption] = [
    KernelOption("64BIT", .command, "x86-64 code: vmrun's guests run nothing else"),
    KernelOption(
      "BLK_DEV_INITRD", .command, "the archive with the root directory and the command", "rootfs image as initramfs",
      "rootfs image is not initramfs"),
    KernelOption("BINFMT_ELF", .command, "ELF programs"),
    KernelOption("PROC_FS", .command, "/proc", "\0loadavg\0"),
    KernelOption("SYSFS", .command, "/sys", "\0sysfs\0"),
    KernelOption("TMPFS", .command, "/tmp, /run and /dev/shm", "nr_inodes"),
    KernelOption("UNIX98_PTYS", .command, "/dev/pts, and --tty", "Couldn't register Unix98 ptm driver"),
    KernelOption(
      "X86_IOPL_IOPERM", .command, "the command's channel to vmrun (I/O ports)", "attempts to use CLI/STI"),
    KernelOption("KVM_GUEST", .machine, "the host's clock and cheap wake-ups (kvm-clock)", "KVM setup", "kvm-clock"),
    KernelOption("PARAVIRT", .machine, "what KVM_GUEST stands on", "Booting paravirtualized kernel"),
    KernelOption("PVH", .machine, "the 32-bit entry of an ELF kernel, which QEMU uses"),
    KernelOption("SMP", .machine, "--cpus above 1", "Bringing up secondary CPUs"),
    KernelOption("ACPI", .machine, "finds processors and virtio devices; power-off", "ACPI: Interpreter enabled"),
    KernelOption("PCI", .machine, "devices on QEMU's q35", "PCI: Using configuration type"),
    KernelOption("RELOCATABLE", .machine, "a kernel that can be put at another address"),
    KernelOption("DEVTMPFS", .machine, "/dev with the kernel's own devices", "devtmpfs: initialized"),
    KernelOption("DEVTMPFS_MOUNT", .machine, "mounts it without an init that does"),
    KernelOption(
      "SERIAL_8250", .device, "serial ports; the command's channel under libvirt", module: "8250",
      "Serial: 8250/16550 driver"),
    KernelOption("SERIAL_8250_CONSOLE", .device, "the console (--verbose, --console)", "uart8250"),
    KernelOption(
      "VIRTIO_MMIO", .device, "virtio devices without PCI: every device of vmrun's", module: "virtio_mmio",
      "virtio-mmio"),
    KernelOption(
      "VIRTIO_MMIO_CMDLINE_DEVICES", .device, "finds them without ACPI (QEMU's microvm)", "virtio_mmio.device"),
    KernelOption("VIRTIO_PCI", .device, "virtio devices on QEMU's q35", module: "virtio_pci", "virtio-pci"),
    KernelOption("VIRTIO_BLK", .device, "--disk", module: "virtio_blk", "\0virtio_blk\0", "virtio_blk."),
    KernelOption("VIRTIO_NET", .device, "network", module: "virtio_net", "\0virtio_net\0", "virtio_net."),
    KernelOption(
      "VIRTIO_CONSOLE", .device, "fast consoles", module: "virtio_console", "\0virtio_console\0", "virtio-ports"),
    KernelOption("HW_RANDOM_VIRTIO", .device, "randomness from the host", module: "virtio-rng", "\0virtio_rng"),
    KernelOption("VSOCKETS", .device, "sockets between guest and host", module: "vsock", "\0AF_VSOCK\0"),
    KernelOption(
      "VIRTIO_VSOCKETS", .device, "the device of those sockets", module: "vmw_vsock_virtio_transport",
      "vmw_vsock_virtio_transport"),
    KernelOption("EXT4_FS", .fileSystem, "the usual disk image", module: "ext4", "EXT4-fs"),
    KernelOption(
      "OVERLAY_FS", .fileSystem, "a writable layer over a shared image", module: "overlay", "\0overlay\0", "overlay."),
    KernelOption("EROFS_FS", .fileSystem, "read-only images, the faster kind", module: "erofs", "\0erofs\0"),
    KernelOption("SQUASHFS", .fileSystem, "read-only images", module: "squashfs", "\0squashfs\0"),
    KernelOption("FUSE_FS", .fileSystem, "what virtiofs stands on", module: "fuse", "fuse.max_user_bgreq"),
    KernelOption("VIRTIO_FS", .fileSystem, "folders shared with the host", module: "virtiofs", "\0virtiofs\0"),
    KernelOption("RD_GZIP", .initrd, "gzip", "Not a gzip file"),
    KernelOption("RD_BZIP2", .initrd, "bzip2"),
    KernelOption("RD_LZMA", .initrd, "lzma"),
    KernelOption("RD_XZ", .initrd, "xz", "XZ-compressed data is corrupt"),
    KernelOption("RD_LZO", .initrd, "lzo"),
    KernelOption("RD_LZ4", .initrd, "lz4"),
    KernelOption("RD_ZSTD", .initrd, "zstd", "ZSTD-compressed data is corrupt"),
  ]
}

/// Whether a kernel has an option.
public enum OptionState: Equatable, Sendable {
  case builtIn, module, absent, unknown

  /// The word for it, also in JSON.
  public var name: String {
    switch self {
    case .builtIn: return "built-in"
    case .module: return "module"
    case .absent: return "absent"
    case .unknown: return "unknown"
    }
  }
}

/// What told about an option.
public enum OptionSource: Equatable, Sendable {
  /// The configuration that the kernel carries (CONFIG_IKCONFIG).
  case ikconfig
  /// The file with its configuration.
  case file(String)
  /// The folder of its modules.
  case modules(String)
  /// What the kernel itself shows: its header, a note, texts.
  case image
  /// Nothing.
  case none

  /// For people.
  public var text: String {
    switch self {
    case .ikconfig: return "the configuration inside the kernel (IKCONFIG)"
    case .file(let path): return path
    case .modules(let folder): return "the list of modules in \(folder)"
    case .image: return "texts in the kernel"
    case .none: return "nothing"
    }
  }

  /// For programs.
  public var name: String {
    switch self {
    case .ikconfig: return "ikconfig"
    case .file: return "config-file"
    case .modules: return "modules"
    case .image: return "image"
    case .none: return "none"
    }
  }
}
