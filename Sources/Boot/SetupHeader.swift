import CLinux

/// The setup header of the x86 boot protocol (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header"), as it goes
/// into the zero page.
public struct SetupHeader: Equatable, Sendable {
  /// The zero page's bytes from 0x1F1 on; at most `maximumCount`.
  public let bytes: [UInt8]

  /// What fits between 0x1F1 and the next member of the zero page.
  public static let maximumCount = Int(boot_params_edd_mbr_sig_buffer - boot_params_hdr)

  /// The header at 0x1F1 of a bzImage, whose length is in its jump instruction (boot.rst, "DETAILS OF HARDWARE REQUIREMENTS":
  /// 0x202 + the byte at 0x201). Nil when the bytes hold no header.
  public init?(bzImage: RawSpan) {
    guard bzImage.load(Int(boot_params_hdr_boot_flag), as: UInt16.self) == 0xAA55,
      bzImage.matches("HdrS", at: Int(boot_params_hdr_header)),
      let jump = bzImage.load(Int(boot_params_hdr_jump) + 1, as: UInt8.self)
    else { return nil }
    let start = Int(boot_params_hdr)
    let end = min(Int(boot_params_hdr_header) + Int(jump), start + SetupHeader.maximumCount)
    guard end > Int(boot_params_hdr_version) + 1, end <= bzImage.byteCount else { return nil }
    bytes = bzImage.bytes(start..<end)
  }

  /// A header taken from `bytes`, which begin at 0x1F1, as this type once gave them out. Nil when they are none.
  public init?(stored bytes: [UInt8]) {
    guard bytes.count <= SetupHeader.maximumCount else { return nil }
    self.bytes = bytes
    guard field(boot_params_hdr_header, as: UInt32.self) == SetupHeader.magic, version != 0 else { return nil }
  }

  /// The header for a kernel that brings none: an ELF vmlinux.
  public init() {
    var page = [UInt8](repeating: 0, count: Int(boot_params_hdr_init_size) + 4)
    // A boot sector's default: the root file system is first mounted read-only.
    page.storeLittleEndian(UInt16(1), at: Int(boot_params_hdr_root_flags))
    page.storeLittleEndian(UInt16(0xAA55), at: Int(boot_params_hdr_boot_flag))
    page.storeLittleEndian(SetupHeader.magic, at: Int(boot_params_hdr_header))
    page.storeLittleEndian(UInt16(0x020F), at: Int(boot_params_hdr_version))
    page.storeLittleEndian(UInt8(LOADED_HIGH), at: Int(boot_params_hdr_loadflags))
    page.storeLittleEndian(UInt32(0x7FFF_FFFF), at: Int(boot_params_hdr_initrd_addr_max))
    page.storeLittleEndian(UInt32(0x20_0000), at: Int(boot_params_hdr_kernel_alignment))
    page.storeLittleEndian(UInt16(XLF_KERNEL_64), at: Int(boot_params_hdr_xloadflags))
    page.storeLittleEndian(UInt32(2047), at: Int(boot_params_hdr_cmdline_size))
    page.storeLittleEndian(Layout.kernel, at: Int(boot_params_hdr_pref_address))
    bytes = Array(page[Int(boot_params_hdr)...])
  }

  /// "HdrS", little-endian.
  static let magic: UInt32 = 0x5372_6448

  /// A field of the zero page by its offset there, or 0 when the header is too short to have it.
  func field<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as: Value.Type) -> Value {
    // unsafe: bytes have no padding that could be uninitialised.
    unsafe bytes.span.bytes.load(offset - Int(boot_params_hdr), as: Value.self) ?? 0
  }

  /// The protocol version, 0x020F for 2.15.
  public var version: UInt16 { field(boot_params_hdr_version, as: UInt16.self) }
  /// loadflags.
  var loadFlags: UInt8 { field(boot_params_hdr_loadflags, as: UInt8.self) }
  /// xloadflags (2.12 and later, else 0).
  var extendedLoadFlags: UInt16 { version >= 0x020C ? field(boot_params_hdr_xloadflags, as: UInt16.self) : 0 }
  /// Whether the kernel has the 64-bit entry at 0x200.
  public var has64BitEntry: Bool { extendedLoadFlags & UInt16(XLF_KERNEL_64) != 0 }
  /// Longest command line without its NUL.
  public var commandLineSize: Int {
    let size = field(boot_params_hdr_cmdline_size, as: UInt32.self)
    return size == 0 ? 255 : Int(size)
  }
  /// First address behind the highest place for an initrd.
  public var initrdLimit: UInt64 {
    // boot.rst: a kernel that can be loaded above 4 GiB takes its ramdisk anywhere too.
    if extendedLoadFlags & UInt16(XLF_CAN_BE_LOADED_ABOVE_4G) != 0 { return Layout.holeStart }
    let highest = field(boot_params_hdr_initrd_addr_max, as: UInt32.self)
    return highest == 0 ? 0x3800_0000 : UInt64(highest) + 1
  }
  /// Bytes from the load address that the kernel needs before it can look at the memory map (2.10 and later, else 0).
  public var initSize: UInt64 { version >= 0x020A ? UInt64(field(boot_params_hdr_init_size, as: UInt32.self)) : 0 }
  /// Where the kernel prefers to be loaded (2.10 and later, else the traditional 1 MiB).
  public var preferredAddress: UInt64 {
    version >= 0x020A ? field(boot_params_hdr_pref_address, as: UInt64.self) : Layout.highMemory
  }
  /// Whether the kernel runs at other addresses than the preferred one.
  public var isRelocatable: Bool { field(boot_params_hdr_relocatable_kernel, as: UInt8.self) != 0 }
  /// Alignment of a relocatable kernel's address.
  public var alignment: UInt64 { UInt64(field(boot_params_hdr_kernel_alignment, as: UInt32.self)) }
}
