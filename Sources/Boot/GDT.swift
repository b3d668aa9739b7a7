/// A segment register's visible and hidden parts (Intel SDM volume 3, 3.4.3), field for field what KVM_SET_SREGS takes.
public struct SegmentState: Equatable, Sendable {
  public let selector: UInt16
  public let base: UInt64
  public let limit: UInt32
  /// Type: code 0xB (execute, read, accessed), data 0x3 (read, write, accessed), TSS 0xB (64-bit, busy).
  public let type: UInt8
  public let present: Bool
  /// Descriptor privilege level.
  public let privilege: UInt8
  /// Default operation size (D/B).
  public let big: Bool
  /// Code or data, no system segment (S).
  public let isCodeOrData: Bool
  /// 64-bit code (L).
  public let long: Bool
  /// Limit in pages (G).
  public let granular: Bool

  /// The eight bytes of its descriptor (Intel SDM volume 3, 3.4.5).
  var descriptor: UInt64 {
    let limit = UInt64(granular ? self.limit >> 12 : self.limit)
    var bits = limit & 0xFFFF | (limit >> 16 & 0xF) << 48
    bits |= (base & 0xFF_FFFF) << 16 | (base >> 24 & 0xFF) << 56
    bits |= UInt64(type & 0xF) << 40 | (isCodeOrData ? 1 : 0) << 44 | UInt64(privilege & 3) << 45
    bits |= (present ? 1 : 0) << 47 | (long ? 1 : 0) << 53 | (big ? 1 : 0) << 54 | (granular ? 1 : 0) << 55
    return bits
  }
}

/// The descriptor table of the first instruction. boot.rst, "64-bit BOOT PROTOCOL": __BOOT_CS (0x10) is 4 GiB of 64-bit code,
/// __BOOT_DS (0x18) 4 GiB of data.
public enum GDT {
  /// CS.
  public static let code = SegmentState(
    selector: 0x10, base: 0, limit: 0xFFFF_FFFF, type: 0xB, present: true, privilege: 0, big: false, isCodeOrData: true,
    long: true, granular: true)
  /// DS, ES, FS, GS and SS.
  public static let data = SegmentState(
    selector: 0x18, base: 0, limit: 0xFFFF_FFFF, type: 0x3, present: true, privilege: 0, big: true, isCodeOrData: true,
    long: false, granular: true)
  /// TR: VMX enters a guest only with a busy TSS (Intel SDM volume 3, 27.3.1.2). Nothing is ever read through it.
  public static let task = SegmentState(
    selector: 0x20, base: 0, limit: 0x67, type: 0xB, present: true, privilege: 0, big: false, isCodeOrData: false,
    long: false, granular: false)

  /// The table for `Layout.gdt`: null, unused, code, data, and the 16 bytes of the TSS.
  public static func bytes() -> [UInt8] {
    var table: [UInt8] = []
    for descriptor in [0, 0, code.descriptor, data.descriptor, task.descriptor, task.base >> 32] {
      table.appendLittleEndian(descriptor)
    }
    return table
  }

  /// GDTR.limit.
  public static let limit: UInt16 = 6 * 8 - 1
}

/// The registers of the first vCPU at a kernel's 64-bit entry (boot.rst, "64-bit BOOT PROTOCOL"): paging on, interrupts off, RSI
/// at the zero page. Everything else is zero.
public struct EntryState: Equatable, Sendable {
  public let rip: UInt64
  /// The zero page.
  public let rsi: UInt64
  public let rsp: UInt64
  /// Only bit 1, which is always set.
  public let rflags: UInt64
  /// PE, ET and PG.
  public let cr0: UInt64
  public let cr3: UInt64
  /// PAE.
  public let cr4: UInt64
  /// LME and LMA.
  public let efer: UInt64
  public let gdtBase: UInt64
  public let gdtLimit: UInt16
  public let code: SegmentState
  public let data: SegmentState
  public let task: SegmentState

  /// The state that begins at `entry`, with RSI at `argument`: a vmlinux, a bzImage's decompressor, or a built-in guest.
  public init(entry: UInt64, argument: UInt64 = Layout.zeroPage) {
    rip = entry
    rsi = argument
    rsp = Layout.bootStackTop
    rflags = 1 << 1
    cr0 = 1 << 0 | 1 << 4 | 1 << 31
    cr3 = Layout.pageTables
    cr4 = 1 << 5
    efer = 1 << 8 | 1 << 10
    gdtBase = Layout.gdt
    gdtLimit = GDT.limit
    code = GDT.code
    data = GDT.data
    task = GDT.task
  }
}
