/// Where everything lies in the guest's address spaces: the one place for guest addresses, port numbers and interrupts.
///
/// RAM is [0, min(size, 3 GiB)), the rest begins at 4 GiB. The first MiB holds what the loader hands to the kernel.
public enum Layout {
  // MARK: Low memory

  /// The GDT of the first instruction; the real-mode interrupt vectors it replaces are not used by a 64-bit entry.
  public static let gdt: UInt64 = 0x500
  /// struct boot_params, "zero page" (Documentation/arch/x86/zero-page.rst).
  public static let zeroPage: UInt64 = 0x7000
  /// struct setup_data for the kernel's random seed (boot.rst, setup_data); one page.
  public static let setupData: UInt64 = 0x8000
  /// The top-level page table of the identity map; the others follow (Intel SDM volume 3, 4.5).
  public static let pageTables: UInt64 = 0x9000
  /// Top of the stack of the first instruction; it grows down to `pageTablesEnd`.
  public static let bootStackTop: UInt64 = 0x2_0000
  /// First byte behind the page tables: PML4, PDPT and four page directories.
  public static let pageTablesEnd: UInt64 = 0xF000
  /// The kernel's command line, NUL-terminated (boot.rst, cmd_line_ptr).
  public static let commandLine: UInt64 = 0x2_0000
  /// Room for the command line with its NUL.
  public static let commandLineCapacity = 0x1_0000
  /// The extended BIOS data area: usable low memory ends here.
  public static let ebda: UInt64 = 0x9_FC00
  /// First byte of the legacy video and option ROM hole.
  public static let legacyHole: UInt64 = 0xA_0000
  /// The ACPI tables, RSDP first: the BIOS area that ACPI 6.5, 5.2.5.1 also searches.
  public static let acpi: UInt64 = 0xE_0000
  /// First byte behind the ACPI tables.
  public static let acpiEnd: UInt64 = 0x10_0000
  /// The first MiB belongs to the loader, no kernel segment may lie in it.
  public static let highMemory: UInt64 = 0x10_0000
  /// Where a Linux kernel prefers to run (CONFIG_PHYSICAL_START).
  public static let kernel: UInt64 = 0x100_0000

  // MARK: The hole below 4 GiB

  /// RAM stops here, so that devices have addresses below 4 GiB.
  public static let holeStart: UInt64 = 0xC000_0000
  /// RAM goes on here.
  public static let holeEnd: UInt64 = 0x1_0000_0000
  /// The first virtio-mmio window.
  public static let virtioWindows: UInt64 = 0xD000_0000
  /// Bytes of one virtio-mmio window, and the distance between two (virtio 1.2, 4.2.2: registers and configuration).
  public static let virtioWindowSize: UInt64 = 0x1000
  /// The payload channel's window: memory that host and guest share, not in the memory map.
  public static let channelWindow: UInt64 = 0xD100_0000
  /// Its size in bytes: one half for each direction.
  public static let channelWindowSize: UInt64 = 128 << 10
  /// The I/O APIC's window (Intel 82093AA, 3.0).
  public static let ioapic: UInt64 = 0xFEC0_0000
  /// Bytes of the I/O APIC's window.
  public static let ioapicSize: UInt64 = 0x1000
  /// The local APICs' window (Intel SDM volume 3, 11.4.1).
  public static let localAPIC: UInt64 = 0xFEE0_0000

  // MARK: Interrupts (global system interrupts: pins of the I/O APIC, all edge triggered)

  /// Pins of the I/O APIC.
  public static let ioapicPins = 24
  /// COM2, the doorbell of the payload channel.
  public static let com2GSI: UInt32 = 3
  /// COM1, the kernel's console.
  public static let com1GSI: UInt32 = 4
  /// The first virtio-mmio device.
  public static let virtioGSI: UInt32 = 5
  /// How many virtio-mmio devices have a pin.
  public static let virtioDeviceLimit = ioapicPins - Int(virtioGSI)

  /// The window of virtio-mmio device `index`, which is below `virtioDeviceLimit`.
  public static func virtioWindow(_ index: Int) -> UInt64 { virtioWindows + UInt64(index) * virtioWindowSize }
  /// The interrupt of virtio-mmio device `index`, which is below `virtioDeviceLimit`.
  public static func virtioGSI(_ index: Int) -> UInt32 { virtioGSI + UInt32(index) }

  // MARK: Ports

  /// COM1: eight ports of a 16550.
  public static let com1: UInt16 = 0x3F8
  /// COM2: eight ports of a 16550.
  public static let com2: UInt16 = 0x2F8
  /// Ports of one 16550.
  public static let serialPortCount: UInt16 = 8
  /// ACPI sleep control register (ACPI 6.5, 4.8.3.7): SLP_TYP in bits 2-4, SLP_EN in bit 5.
  public static let sleepControl: UInt16 = 0x600
  /// ACPI sleep status register (ACPI 6.5, 4.8.3.7).
  public static let sleepStatus: UInt16 = 0x601
  /// SLP_TYP of the soft-off state S5.
  public static let sleepTypeS5: UInt8 = 5
  /// What the kernel writes to the sleep control register to power off.
  public static let sleepControlPowerOff: UInt8 = sleepTypeS5 << 2 | 1 << 5
  /// ACPI reset register (ACPI 6.5, 4.8.3.6).
  public static let reset: UInt16 = 0x602
  /// The value that resets.
  public static let resetValue: UInt8 = 1
  /// A write of 1, 2 or 4 bytes ends the VM with exit code value & 0xFF.
  public static let exit: UInt16 = 0x604
  /// Payload channel: its first port (`ChannelPort` has the others).
  public static let payloadOut: UInt16 = 0x610
  /// How the payload channel names itself: "vrn1".
  public static let payloadMagicValue: UInt32 = 0x316E_7276
  /// Phase marker: 1 first guest instruction, 2 init started, 3 command about to run, 4 the guest's own.
  public static let phase: UInt16 = 0x620

  // MARK: RAM

  /// RAM of `size` bytes below the hole: [0, lowEnd).
  public static func lowEnd(_ size: UInt64) -> UInt64 { min(size, holeStart) }
  /// RAM of `size` bytes from 4 GiB: [holeEnd, highEnd), empty when all fits below the hole.
  public static func highEnd(_ size: UInt64) -> UInt64 { size > holeStart ? holeEnd &+ (size - holeStart) : holeEnd }

  /// Where an initrd of `size` bytes lies: as high as it can below `limit` (`SetupHeader.initrdLimit`) and the end of low
  /// RAM, page aligned, above `kernelEnd`. Nil when it does not fit.
  public static func initrdAddress(size: UInt64, ramSize: UInt64, kernelEnd: UInt64, limit: UInt64) -> UInt64? {
    let top = min(lowEnd(ramSize), limit)
    guard size <= top else { return nil }
    let address = (top - size) & ~4095
    return address >= max(kernelEnd, highMemory) ? address : nil
  }
}
