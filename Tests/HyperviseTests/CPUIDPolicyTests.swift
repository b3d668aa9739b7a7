import CLinux
import Testing

@testable import Hypervise

/// A leaf in short: function, index, EAX, EBX, ECX, EDX.
private struct Leaf: Equatable {
  let function, index, eax, ebx, ecx, edx: UInt32

  init(_ function: UInt32, _ index: UInt32, _ eax: UInt32, _ ebx: UInt32, _ ecx: UInt32, _ edx: UInt32) {
    (self.function, self.index, self.eax, self.ebx, self.ecx, self.edx) = (function, index, eax, ebx, ecx, edx)
  }
}

private func table(_ leaves: [Leaf]) -> CPUIDTable {
  let table = CPUIDTable()
  for leaf in leaves {
    table.append(
      function: leaf.function, index: leaf.index, flags: leaf.function == 1 ? 0 : 1,
      clinux_cpuid(eax: leaf.eax, ebx: leaf.ebx, ecx: leaf.ecx, edx: leaf.edx))
  }
  return table
}

private func leaves(_ table: CPUIDTable) -> [Leaf] {
  (0..<table.count).map {
    let entry = table[$0]
    return Leaf(entry.function, entry.index, entry.eax, entry.ebx, entry.ecx, entry.edx)
  }
}

@Suite struct CPUIDPolicyTests {
  /// A host with 2 threads a core and 16 logical processors, Intel's way, as KVM of Linux 6.1 tells it.
  @Test func intelLike() {
    let table = table([
      Leaf(0, 0, 0x1F, 0x756E_6547, 0x6C65_746E, 0x4965_6E69),
      Leaf(1, 0, 0x000C_06F2, 0x0510_0800, 0x0000_0001, 0x0000_0010),
      Leaf(4, 0, 0xFC00_4121, 0x02C0_003F, 0x3F, 0), Leaf(4, 1, 0xFC00_4122, 0x01C0_003F, 0x3F, 0),
      Leaf(4, 2, 0xFC00_4143, 0x03C0_003F, 0x7FF, 0), Leaf(4, 3, 0xFC1F_C163, 0x03C0_003F, 0xFFFF, 4),
      Leaf(4, 4, 0, 0, 0, 0),
      Leaf(0xB, 0, 1, 2, 0x100, 5), Leaf(0xB, 1, 4, 16, 0x201, 5), Leaf(0xB, 2, 0, 0, 2, 5),
    ])
    CPUIDPolicy.apply(to: table, apicID: 2, count: 3, tscDeadline: true)
    #expect(
      leaves(table) == [
        Leaf(0, 0, 0x1F, 0x756E_6547, 0x6C65_746E, 0x4965_6E69),
        Leaf(1, 0, 0x000C_06F2, 0x0203_0800, 0x8100_0001, 0x1000_0010),
        Leaf(4, 0, 0x0800_0121, 0x02C0_003F, 0x3F, 0), Leaf(4, 1, 0x0800_0122, 0x01C0_003F, 0x3F, 0),
        Leaf(4, 2, 0x0800_0143, 0x03C0_003F, 0x7FF, 0), Leaf(4, 3, 0x0800_8163, 0x03C0_003F, 0xFFFF, 4),
        Leaf(4, 4, 0, 0, 0, 0),
        Leaf(0xB, 0, 0, 1, 0x100, 2), Leaf(0xB, 1, 2, 3, 0x201, 2), Leaf(0xB, 2, 0, 0, 2, 2),
      ])
    // The table is used for one vCPU after the other: nothing of the last one stays.
    CPUIDPolicy.apply(to: table, apicID: 0, count: 1, tscDeadline: true)
    let single = leaves(table)
    #expect(single[1] == Leaf(1, 0, 0x000C_06F2, 0x0001_0800, 0x8100_0001, 0x0000_0010))
    #expect(single[2].eax == 0x0000_0121 && single[5].eax == 0x0000_0163)
    #expect(single[7] == Leaf(0xB, 0, 0, 1, 0x100, 0) && single[8] == Leaf(0xB, 1, 0, 1, 0x201, 0))
  }

  /// The same from AMD, whose leaf B comes with one empty entry only, as KVM since Linux 6.2 tells it.
  @Test func amdLike() {
    let table = table([
      Leaf(1, 0, 0x00B0_0F20, 0x0720_0800, 0x8000_0001, 0x1000_0010),
      Leaf(0xB, 0, 0, 0, 0, 0),
      Leaf(0x8000_0008, 0, 0x0030_3934, 0x1234_5678, 0x0001_501F, 0x9),
      Leaf(0x8000_001D, 0, 0x0000_4121, 0x02C0_003F, 0x3F, 0),
      Leaf(0x8000_001D, 3, 0x0003_C163, 0x03C0_003F, 0x7FFF, 1),
      Leaf(0x8000_001D, 4, 0, 0, 0, 0),
      Leaf(0x8000_001E, 0, 7, 0x0103, 0x0101, 0x55),
    ])
    CPUIDPolicy.apply(to: table, apicID: 1, count: 4, tscDeadline: false)
    #expect(
      leaves(table) == [
        Leaf(1, 0, 0x00B0_0F20, 0x0104_0800, 0x8000_0001, 0x1000_0010),
        Leaf(0xB, 0, 0, 1, 0x100, 1),
        Leaf(0x8000_0008, 0, 0x0030_3934, 0x1234_5678, 0x0001_2003, 0x9),
        Leaf(0x8000_001D, 0, 0x0000_0121, 0x02C0_003F, 0x3F, 0),
        Leaf(0x8000_001D, 3, 0x0000_C163, 0x03C0_003F, 0x7FFF, 1),
        Leaf(0x8000_001D, 4, 0, 0, 0, 0),
        Leaf(0x8000_001E, 0, 1, 1, 0, 0x55),
        Leaf(0xB, 1, 2, 4, 0x201, 1), Leaf(0xB, 2, 0, 0, 2, 1),
      ])
    #expect(table[7].flags == 1 && table[8].flags == 1)
  }

  @Test func whatTheHostLacksIsNotInvented() {
    let table = table([Leaf(0, 0, 4, 1, 2, 3), Leaf(1, 0, 0, 0, 0, 0)])
    CPUIDPolicy.apply(to: table, apicID: 0, count: 2, tscDeadline: false)
    #expect(leaves(table) == [Leaf(0, 0, 4, 1, 2, 3), Leaf(1, 0, 0, 0x0002_0000, 0x8000_0000, 0x1000_0000)])
  }

  @Test(
    arguments: [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (128, 7), (129, 8), (255, 8)]
      as [(UInt32, UInt32)])
  func shifts(count: UInt32, expected: UInt32) { #expect(CPUIDPolicy.coreShift(count) == expected) }

  /// Large machines overflow none of the fields.
  @Test(arguments: [63, 64, 65, 128, 255] as [UInt32]) func largeMachines(count: UInt32) {
    let table = table([
      Leaf(1, 0, 0, 0, 0, 0), Leaf(4, 3, 0x163, 0, 0, 0), Leaf(0xB, 0, 0, 0, 0, 0), Leaf(0x8000_0008, 0, 0, 0, 0, 0),
    ])
    CPUIDPolicy.apply(to: table, apicID: count - 1, count: count, tscDeadline: true)
    #expect(table[0].ebx == count << 16 | (count - 1) << 24)
    #expect(table[1].eax >> 26 == min(count - 1, 63) && table[1].eax >> 14 & 0xFFF == count - 1)
    #expect(table[3].ecx & 0xFF == count - 1)
  }

  @Test func minimalNamesKVMAndHidesWhatNeedsMore() {
    let table = CPUIDPolicy.minimal()
    #expect(
      leaves(table).map(\.function) == [
        0, 1, 0x4000_0000, 0x8000_0000, 0x8000_0001, 0x8000_0002, 0x8000_0003, 0x8000_0004,
      ])
    #expect(table[0].eax == 1 && table[3].eax == 0x8000_0004)
    #expect(table[1].ecx >> 31 == 1 && table[1].ecx >> 27 & 1 == 0 && table[1].ebx >> 16 == 1)
  }

  @Test func aTableHasABound() {
    let table = CPUIDTable()
    for leaf in UInt32(0)..<300 { table.append(function: leaf, clinux_cpuid(eax: leaf, ebx: 0, ecx: 0, edx: 0)) }
    #expect(table.count == 256 && table[255].function == 255 && !table.contains(256))
    #expect(CPUIDTable(capacity: 1000).count == 256 && CPUIDTable(capacity: -1).count == 0)
  }
}
