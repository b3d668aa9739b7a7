import CLinux
import TestSupport
import Testing

@testable import Boot

@Suite struct BootParamsTests {
  func integer<Value: FixedWidthInteger>(_ bytes: [UInt8], _ offset: Int, as: Value.Type) -> Value {
    bytes[offset..<offset + MemoryLayout<Value>.size].reversed().reduce(0) { $0 << 8 | Value($1) }
  }

  func map(_ page: [UInt8]) -> [MemoryMapEntry] {
    (0..<Int(page[0x1E8])).map {
      MemoryMapEntry(
        address: integer(page, 0x2D0 + 20 * $0, as: UInt64.self), size: integer(page, 0x2D8 + 20 * $0, as: UInt64.self),
        kind: MemoryMapEntry.Kind(rawValue: integer(page, 0x2E0 + 20 * $0, as: UInt32.self)) ?? .reserved)
    }
  }

  /// Every byte of the page for an ELF kernel, at the offsets of zero-page.rst and boot.rst.
  @Test func zeroPageOfAnELFKernel() {
    var golden = [UInt8](repeating: 0, count: 4096)
    SyntheticKernel.patch(&golden, 0x70, UInt64(0xE_0000))
    golden[0x1E8] = 4
    SyntheticKernel.patch(&golden, 0x1F2, UInt16(1))
    SyntheticKernel.patch(&golden, 0x1FA, UInt16(0xFFFF))
    SyntheticKernel.patch(&golden, 0x1FE, UInt16(0xAA55))
    golden.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
    SyntheticKernel.patch(&golden, 0x206, UInt16(0x020F))
    golden[0x210] = 0xFF
    golden[0x211] = 1
    SyntheticKernel.patch(&golden, 0x218, UInt32(0x0380_0000))
    SyntheticKernel.patch(&golden, 0x21C, UInt32(0x7F_FFF0))
    SyntheticKernel.patch(&golden, 0x228, UInt32(0x2_0000))
    SyntheticKernel.patch(&golden, 0x22C, UInt32(0x7FFF_FFFF))
    SyntheticKernel.patch(&golden, 0x230, UInt32(0x20_0000))
    SyntheticKernel.patch(&golden, 0x236, UInt16(1))
    SyntheticKernel.patch(&golden, 0x238, UInt32(2047))
    SyntheticKernel.patch(&golden, 0x250, UInt64(0x8000))
    SyntheticKernel.patch(&golden, 0x258, UInt64(0x100_0000))
    let entries: [(UInt64, UInt64, UInt32)] = [
      (0, 0x9_FC00, 1), (0x9_FC00, 0x400, 2), (0xE_0000, 0x2_0000, 3), (0x10_0000, 0x3F0_0000, 1),
    ]
    for (index, entry) in entries.enumerated() {
      SyntheticKernel.patch(&golden, 0x2D0 + 20 * index, entry.0)
      SyntheticKernel.patch(&golden, 0x2D8 + 20 * index, entry.1)
      SyntheticKernel.patch(&golden, 0x2E0 + 20 * index, entry.2)
    }
    let parameters = BootParams(
      header: SetupHeader(), ramSize: 64 << 20, initrd: 0x380_0000..<0x3FF_FFF0, hasRandomSeed: true)
    #expect(parameters.bytes() == golden)
  }

  @Test func headerOfABzImageIsKeptButForTheLoadersFields() throws {
    var file = SyntheticKernel.bzImage(payload: smallPayload)
    // A hostile image brings what only the loader may set.
    SyntheticKernel.patch(&file, 0x250, UInt64.max)
    SyntheticKernel.patch(&file, 0x218, UInt32.max)
    SyntheticKernel.patch(&file, 0x228, UInt32.max)
    SyntheticKernel.patch(&file, 0x226, UInt16.max)
    file[0x1EF] = 0xFF
    let header = try #require(setupHeader(file))
    let page = BootParams(header: header, ramSize: 1 << 30).bytes()
    let own: Set<Int> = Set(
      [0x1FA, 0x1FB, 0x210, 0x226, 0x227] + Array(0x218..<0x220) + Array(0x228..<0x22C) + Array(0x250..<0x258))
    for offset in 0x1F1..<0x26C where !own.contains(offset) { #expect(page[offset] == file[offset]) }
    #expect(page[0x1EF] == 0)
    #expect(integer(page, 0x250, as: UInt64.self) == 0)
    #expect(integer(page, 0x218, as: UInt64.self) == 0)
    #expect(integer(page, 0x228, as: UInt32.self) == 0x2_0000)
    #expect(page[0x26C..<0x2D0].allSatisfy { $0 == 0 })
  }

  @Test(
    arguments: [
      (64 << 20, [0x3F0_0000], []), (3 << 30, [0xBFF0_0000], []), ((3 << 30) + 4096, [0xBFF0_0000], [4096]),
      (8 << 30, [0xBFF0_0000], [5 << 30]),
    ] as [(UInt64, [UInt64], [UInt64])])
  func memoryMap(ramSize: UInt64, low: [UInt64], high: [UInt64]) {
    let page = BootParams(header: SetupHeader(), ramSize: ramSize).bytes()
    let map = map(page)
    #expect(map == BootParams.memoryMap(ramSize: ramSize))
    #expect(map.filter { $0.kind == .usable && $0.address == 0x10_0000 }.map(\.size) == low)
    #expect(map.filter { $0.kind == .usable && $0.address == 1 << 32 }.map(\.size) == high)
    var end: UInt64 = 0
    for entry in map {
      #expect(entry.address >= end)
      #expect(entry.size > 0)
      end = entry.address + entry.size
    }
  }

  @Test func randomSeedNode() {
    let node = BootParams.randomSeed([1, 2, 3])
    #expect(node == [0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3])
  }

  @Test func layoutHasNoOverlaps() {
    let low: [(UInt64, UInt64)] = [
      (Layout.gdt, 64), (Layout.zeroPage, 4096), (Layout.setupData, 4096),
      (Layout.pageTables, Layout.pageTablesEnd - Layout.pageTables),
      (Layout.pageTablesEnd, Layout.bootStackTop - Layout.pageTablesEnd),
      (Layout.commandLine, UInt64(Layout.commandLineCapacity)), (Layout.ebda, 0x400), (Layout.acpi, 0x2_0000),
      (Layout.holeStart, 0), (Layout.virtioWindows, 19 * 4096), (Layout.ioapic, 4096), (Layout.localAPIC, 1 << 20),
      (Layout.holeEnd, 0),
    ]
    for (left, right) in zip(low, low.dropFirst()) { #expect(left.0 + left.1 <= right.0) }
    #expect(Layout.virtioDeviceLimit == 19)
    #expect(Layout.virtioGSI(18) == 23)
    #expect(Layout.virtioWindow(2) == 0xD000_2000)
    #expect(Layout.sleepControlPowerOff == 0x34)
  }

  @Test func initrdPlace() {
    let limit = SetupHeader().initrdLimit
    #expect(limit == 0x8000_0000)
    #expect(Layout.initrdAddress(size: 5000, ramSize: 64 << 20, kernelEnd: 32 << 20, limit: limit) == (64 << 20) - 8192)
    #expect(Layout.initrdAddress(size: 5000, ramSize: 8 << 30, kernelEnd: 32 << 20, limit: limit) == 0x8000_0000 - 8192)
    #expect(Layout.initrdAddress(size: 5000, ramSize: 8 << 30, kernelEnd: 0, limit: .max) == 0xC000_0000 - 8192)
    #expect(Layout.initrdAddress(size: 33 << 20, ramSize: 64 << 20, kernelEnd: 32 << 20, limit: limit) == nil)
    #expect(Layout.initrdAddress(size: .max, ramSize: 64 << 20, kernelEnd: 0, limit: limit) == nil)
    #expect(Layout.initrdAddress(size: 32 << 20, ramSize: 64 << 20, kernelEnd: 32 << 20, limit: limit) == 32 << 20)
  }
}

@Suite struct EntryStateTests {
  @Test func descriptorsOfTheBootProtocol() {
    var golden: [UInt8] = []
    for word: UInt64 in [
      0, 0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x0000_8B00_0000_0067, 0,
    ] { golden += SyntheticKernel.little(word) }
    #expect(GDT.bytes() == golden)
    #expect(Int(GDT.limit) == golden.count - 1)
  }

  @Test func descriptorSpreadsBaseAndLimit() {
    let segment = SegmentState(
      selector: 8, base: 0x1234_5678, limit: 0x000A_BCDE, type: 2, present: true, privilege: 3, big: false,
      isCodeOrData: true, long: false, granular: false)
    #expect(segment.descriptor == 0x120A_F234_5678_BCDE)
  }

  @Test func registers() {
    let state = EntryState(entry: 0x100_0200)
    #expect(state.rip == 0x100_0200)
    #expect(state.rsi == 0x7000)
    #expect(state.cr0 == 0x8000_0011)
    #expect(state.cr4 == 0x20)
    #expect(state.efer == 0x500)
    #expect(state.cr3 == Layout.pageTables)
    #expect(state.rsp % 16 == 0)
  }

  /// Walks the tables as the processor does.
  @Test(arguments: [true, false])
  func identityMap(gigabytePages: Bool) throws {
    let tables = PageTables.identity(gigabytePages: gigabytePages)
    #expect(UInt64(tables.count) <= Layout.pageTablesEnd - Layout.pageTables)
    func entry(_ table: UInt64, _ index: UInt64) -> UInt64 {
      let offset = Int(table - Layout.pageTables + index * 8)
      return tables[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    func translate(_ address: UInt64) -> UInt64? {
      var table = Layout.pageTables
      for (level, shift) in [39, 30, 21].enumerated() {
        let value = entry(table, address >> UInt64(shift) & 511)
        guard value & 3 == 3 else { return nil }
        let next = value & 0x000F_FFFF_FFFF_F000
        if level > 0, value & 0x80 != 0 { return next + address & ((1 << UInt64(shift)) - 1) }
        table = next
      }
      return nil
    }
    for address: UInt64 in [
      0, 0x7000, 0x100_0000, 0x1FF_FFFF, 0x3FFF_FFFF, 0x4000_0000, 0xC000_0000, 0xFEE0_0030, 0xFFFF_FFFF,
    ] {
      #expect(translate(address) == address)
    }
    #expect(translate(1 << 32) == nil)
    #expect(translate(1 << 39) == nil)
  }
}

@Suite struct CommandLineTests {
  @Test func usersWordsComeLast() throws {
    var line = KernelCommandLine()
    try line.append("console=hvc0 quiet")
    try line.add("console=ttyS0")
    try line.add("")
    try line.append("ro")
    #expect(line.text == "console=ttyS0 console=hvc0 quiet ro")
    #expect(try line.bytes(limit: 100) == Array("console=ttyS0 console=hvc0 quiet ro".utf8) + [0])
    #expect(try line.bytes(limit: 35).count == 36)
    #expect(throws: CommandLineError.tooLong(count: 35, limit: 34)) { try line.bytes(limit: 34) }
    #expect(try KernelCommandLine().bytes(limit: 0) == [0])
  }

  @Test(arguments: ["a\0b", "a\nb", "a\r"])
  func forbiddenBytes(_ words: String) {
    var line = KernelCommandLine()
    #expect(throws: CommandLineError.self) { try line.append(words) }
    #expect(throws: CommandLineError.self) { try line.add(words) }
  }

  @Test func roomInLowMemory() throws {
    var line = KernelCommandLine()
    try line.append(String(repeating: "x", count: Layout.commandLineCapacity))
    #expect(throws: CommandLineError.self) { try line.bytes(limit: .max) }
  }
}
