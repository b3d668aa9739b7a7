import Boot
import CLinux
import GuestMemory
import MinimalGuest

/// The state in which the built-in guest is entered (images/minimal/ABI/boot_info.h).
enum MinimalLayout {
  static let bootInfo = Layout.zeroPage
  static let leastMemory: UInt64 = 2 << 20
  /// One page directory maps this much; the guest looks no further.
  static let mostMapped: UInt64 = 1 << 30

  /// Maps the first `count` bytes onto themselves by 2 MiB pages (Intel SDM volume 3, 4.5).
  static func writePageTables(to ram: GuestRAM, mapping count: UInt64) throws(GuestMemoryError) {
    let (present, large): (UInt64, UInt64) = (0b11, 1 << 7)
    let directories = Layout.pageTables + 0x1000
    let directory = Layout.pageTables + 0x2000
    try ram.store64(GuestAddress(Layout.pageTables), directories | present)
    try ram.store64(GuestAddress(directories), directory | present)
    for index in 0..<(count + (2 << 20) - 1) >> 21 {
      try ram.store64(GuestAddress(directory + index * 8), index << 21 | present | large)
    }
  }

  /// 64-bit mode with flat segments, and paging on by the tables at `pageTables`.
  static func specialRegisters(_ registers: kvm_sregs, pageTables: UInt64 = Layout.pageTables) -> kvm_sregs {
    var registers = registers
    var code = kvm_segment()
    (code.base, code.limit, code.selector, code.type) = (0, 0xFFFF_FFFF, 0x8, 0b1011)
    (code.present, code.s, code.l, code.g) = (1, 1, 1, 1)
    var data = code
    (data.selector, data.type, data.l, data.db) = (0x10, 0b0011, 0, 1)
    registers.cs = code
    (registers.ds, registers.es, registers.fs, registers.gs, registers.ss) = (data, data, data, data, data)
    registers.idt.limit = 0
    registers.gdt.limit = 0
    registers.cr3 = pageTables
    registers.cr4 |= 1 << 5  // PAE
    registers.cr0 |= 1 << 31 | 1  // PG, PE
    registers.efer |= 1 << 8 | 1 << 10  // LME, LMA
    return registers
  }

  static func registers() -> kvm_regs {
    var registers = kvm_regs()
    registers.rip = MinimalGuest.loadAddress
    // As after a call: 16-byte aligned, less the return address.
    registers.rsp = Layout.bootStackTop - 8
    registers.rdi = bootInfo
    registers.rflags = 1 << 1
    return registers
  }
}
