import CLinux

/// One entry of the memory map (ACPI 6.5, 15.1; boot_e820_entry in the zero page).
public struct MemoryMapEntry: Equatable, Sendable {
  /// What the addresses are (ACPI 6.5, table 15.1).
  public enum Kind: UInt32, Sendable {
    case usable = 1
    case reserved = 2
    case acpi = 3
  }

  /// The first address.
  public let address: UInt64
  /// Bytes.
  public let size: UInt64
  /// What they are.
  public let kind: Kind

  /// An entry.
  public init(address: UInt64, size: UInt64, kind: Kind) {
    self.address = address
    self.size = size
    self.kind = kind
  }
}

/// What the kernel is told at its start: struct boot_params (Documentation/arch/x86/zero-page.rst).
public struct BootParams: Equatable, Sendable {
  /// The kernel's setup header, or `SetupHeader()` for an ELF kernel.
  public var header: SetupHeader
  /// Bytes of guest RAM.
  public var ramSize: UInt64
  /// Where the initrd lies; empty for none. Below 4 GiB.
  public var initrd: Range<UInt64>
  /// Whether there are ACPI tables at `Layout.acpi`.
  public var hasACPI: Bool
  /// Whether `Layout.setupData` holds `BootParams.randomSeed`.
  public var hasRandomSeed: Bool

  /// The parameters of a guest.
  public init(
    header: SetupHeader, ramSize: UInt64, initrd: Range<UInt64> = 0..<0, hasACPI: Bool = true,
    hasRandomSeed: Bool = false
  ) {
    self.header = header
    self.ramSize = ramSize
    self.initrd = initrd
    self.hasACPI = hasACPI
    self.hasRandomSeed = hasRandomSeed
  }

  /// The memory map of a guest with `ramSize` bytes.
  public static func memoryMap(ramSize: UInt64) -> [MemoryMapEntry] {
    let low = Layout.lowEnd(ramSize)
    let high = Layout.highEnd(ramSize)
    var map = [
      MemoryMapEntry(address: 0, size: Layout.ebda, kind: .usable),
      MemoryMapEntry(address: Layout.ebda, size: Layout.legacyHole - Layout.ebda, kind: .reserved),
      MemoryMapEntry(address: Layout.acpi, size: Layout.acpiEnd - Layout.acpi, kind: .acpi),
    ]
    if low > Layout.highMemory {
      map.append(MemoryMapEntry(address: Layout.highMemory, size: low - Layout.highMemory, kind: .usable))
    }
    if high > Layout.holeEnd {
      map.append(MemoryMapEntry(address: Layout.holeEnd, size: high - Layout.holeEnd, kind: .usable))
    }
    return map
  }

  /// The zero page: 4096 bytes for `Layout.zeroPage`.
  public func bytes() -> [UInt8] {
    var page = [UInt8](repeating: 0, count: Int(boot_params_size))
    for (index, byte) in header.bytes.enumerated() { page[Int(boot_params_hdr) + index] = byte }

    // boot.rst, type_of_loader: 0xFF is a loader without an assigned number.
    page.storeLittleEndian(UInt8(0xFF), at: Int(boot_params_hdr_type_of_loader))
    page.storeLittleEndian(UInt8(0), at: Int(boot_params_hdr_ext_loader_type))
    page.storeLittleEndian(UInt8(0), at: Int(boot_params_hdr_ext_loader_ver))
    page.storeLittleEndian(header.loadFlags | UInt8(LOADED_HIGH), at: Int(boot_params_hdr_loadflags))
    page.storeLittleEndian(UInt32(Layout.commandLine), at: Int(boot_params_hdr_cmd_line_ptr))
    // boot.rst, vid_mode: 0xFFFF is "normal".
    page.storeLittleEndian(UInt16(0xFFFF), at: Int(boot_params_hdr_vid_mode))
    let initrdSize = initrd.upperBound - initrd.lowerBound
    page.storeLittleEndian(UInt32(truncatingIfNeeded: initrd.lowerBound), at: Int(boot_params_hdr_ramdisk_image))
    page.storeLittleEndian(UInt32(truncatingIfNeeded: initrdSize), at: Int(boot_params_hdr_ramdisk_size))
    page.storeLittleEndian(UInt32(truncatingIfNeeded: initrd.lowerBound >> 32), at: Int(boot_params_ext_ramdisk_image))
    page.storeLittleEndian(UInt32(truncatingIfNeeded: initrdSize >> 32), at: Int(boot_params_ext_ramdisk_size))
    page.storeLittleEndian(hasRandomSeed ? Layout.setupData : 0, at: Int(boot_params_hdr_setup_data))
    if hasACPI { page.storeLittleEndian(Layout.acpi, at: Int(boot_params_acpi_rsdp_addr)) }

    let map = BootParams.memoryMap(ramSize: ramSize)
    page[Int(boot_params_e820_entries)] = UInt8(map.count)
    for (index, entry) in map.enumerated() {
      let offset = Int(boot_params_e820_table) + index * Int(boot_e820_entry_size)
      page.storeLittleEndian(entry.address, at: offset)
      page.storeLittleEndian(entry.size, at: offset + 8)
      page.storeLittleEndian(entry.kind.rawValue, at: offset + 16)
    }
    return page
  }

  /// The setup_data node for `Layout.setupData` that seeds the kernel's random generator (SETUP_RNG_SEED, Linux 6.0);
  /// earlier kernels pass over it.
  public static func randomSeed(_ seed: [UInt8]) -> [UInt8] {
    var node: [UInt8] = []
    node.appendLittleEndian(UInt64(0))
    node.appendLittleEndian(UInt32(SETUP_RNG_SEED))
    node.appendLittleEndian(UInt32(seed.count))
    return node + seed
  }
}
