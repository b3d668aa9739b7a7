import CLinux
import System

/// The answers of the CPUID instruction, as KVM takes them (struct kvm_cpuid2).
@safe public final class CPUIDTable {
  private let table: UnsafeMutablePointer<kvm_cpuid_table>

  /// An empty table with room for `capacity` entries, at most 256.
  public init(capacity: Int = 0) {
    unsafe table = .allocate(capacity: 1)
    // unsafe: freshly allocated; a zero table is a valid one.
    unsafe table.initialize(to: kvm_cpuid_table())
    unsafe table.pointee.nent = UInt32(min(max(capacity, 0), Int(KVM_CPUID_SLOTS)))
  }

  deinit { unsafe table.deallocate() }

  func withTable(_ body: (UnsafeMutableRawPointer) -> Int32) -> Int32 { unsafe body(UnsafeMutableRawPointer(table)) }

  /// How many entries there are.
  public var count: Int { unsafe Int(table.pointee.nent) }

  /// Entry `index`, which must be below `count`.
  public subscript(index: Int) -> kvm_cpuid_entry2 {
    get {
      if index < 0 || index >= count { die("CPUID entry out of range") }
      // unsafe: the index was checked.
      return unsafe kvm_cpuid_table_get(table, UInt32(index))
    }
    set {
      if index < 0 || index >= count { die("CPUID entry out of range") }
      // unsafe: the index was checked.
      unsafe kvm_cpuid_table_set(table, UInt32(index), newValue)
    }
  }

  /// Appends an entry; a full table (256) ignores it, which no real CPU comes near.
  public func append(function: UInt32, index: UInt32 = 0, flags: UInt32 = 0, _ value: clinux_cpuid) {
    guard count < Int(KVM_CPUID_SLOTS) else { return }
    unsafe table.pointee.nent += 1
    self[count - 1] = kvm_cpuid_entry2(
      function: function, index: index, flags: flags, eax: value.eax, ebx: value.ebx, ecx: value.ecx, edx: value.edx,
      padding: (0, 0, 0))
  }

  /// Changes every entry of `function`.
  public func update(_ function: UInt32, _ body: (inout kvm_cpuid_entry2) -> Void) {
    for position in 0..<count where self[position].function == function {
      var entry = self[position]
      body(&entry)
      self[position] = entry
    }
  }

  /// Whether leaf `function` is in the table.
  public func contains(_ function: UInt32) -> Bool { (0..<count).contains { self[$0].function == function } }

  /// Whether entry `index` of leaf `function` is in the table.
  func contains(_ function: UInt32, index: UInt32) -> Bool {
    (0..<count).contains { self[$0].function == function && self[$0].index == index }
  }
}

/// CPUID as vmrun shows it to guests.
public enum CPUIDPolicy {
  /// Leaf 1 ECX: TSC-deadline timer, and "a hypervisor is present".
  static let tscDeadline: UInt32 = 1 << 24
  static let hypervisor: UInt32 = 1 << 31
  /// Where a hypervisor names itself, and where KVM lists its paravirtual features (kernel: virt/kvm/x86/cpuid.rst).
  static let signatureLeaf: UInt32 = 0x4000_0000
  static let featureLeaf: UInt32 = 0x4000_0001

  /// Makes `table`, as KVM supports it, fit vCPU `apicID` of a VM with `count` vCPUs: one socket, one thread a core.
  /// - Parameter tscDeadline: whether the in-kernel local APIC has a TSC-deadline timer (KVM_CAP_TSC_DEADLINE_TIMER).
  public static func apply(to table: CPUIDTable, apicID: UInt32, count: UInt32, tscDeadline: Bool) {
    let shift = coreShift(count)
    table.update(1) { entry in
      entry.ebx = entry.ebx & 0x0000_FFFF | min(count, 255) << 16 | apicID << 24
      entry.ecx |= hypervisor
      if tscDeadline { entry.ecx |= CPUIDPolicy.tscDeadline }
      // HTT says that EBX[23:16] counts logical processors of the package.
      if count > 1 { entry.edx |= 1 << 28 } else { entry.edx &= ~(1 << 28) }
    }
    // Threads that share a cache (EAX[25:14]); Intel's leaf 4 also tells the cores of the package (EAX[31:26]), AMD's does not.
    for (leaf, cores) in [(UInt32(4), min(count - 1, 63)), (0x8000_001D, 0)] {
      table.update(leaf) { entry in
        // Type 0 ends the list.
        guard entry.eax & 31 != 0 else { return }
        let level = entry.eax >> 5 & 7
        entry.eax = entry.eax & 0x3FFF | (level >= 3 ? count - 1 : 0) << 14 | cores << 26
      }
    }
    // The host's topology leaves are replaced: each core is one thread, and all cores share the package. Since Linux 6.2
    // KVM leaves out their second entry, without which every vCPU would be a package of its own.
    for leaf in [UInt32(0xB), 0x1F] where table.contains(leaf) {
      for index in UInt32(0)...2 where !table.contains(leaf, index: index) {
        table.append(
          function: leaf, index: index, flags: UInt32(KVM_CPUID_FLAG_SIGNIFCANT_INDEX),
          clinux_cpuid(eax: 0, ebx: 0, ecx: 0, edx: 0))
      }
      table.update(leaf) { entry in
        entry.edx = apicID
        switch entry.index {
        case 0: (entry.eax, entry.ebx, entry.ecx) = (0, 1, 1 << 8)
        case 1: (entry.eax, entry.ebx, entry.ecx) = (shift, count, 1 | 2 << 8)
        default: (entry.eax, entry.ebx, entry.ecx) = (0, 0, entry.index)
        }
      }
    }
    // AMD: cores per package (8000_0008 ECX) and the extended APIC id with one thread a core (8000_001E).
    table.update(0x8000_0008) { entry in entry.ecx = entry.ecx & ~0xF0FF | (count - 1) & 0xFF | shift << 12 }
    table.update(0x8000_001E) { entry in (entry.eax, entry.ebx, entry.ecx) = (apicID, apicID & 0xFF, 0) }
  }

  /// Bits of an APIC id that number the cores of a package of `count`.
  static func coreShift(_ count: UInt32) -> UInt32 {
    var shift: UInt32 = 0
    while UInt32(1) << shift < count { shift += 1 }
    return shift
  }

  /// The few leaves that the built-in guest looks at, read from the CPU itself: the call that lists all that KVM supports
  /// takes longer than all else that a minimal guest needs.
  public static func minimal() -> CPUIDTable {
    let table = CPUIDTable()
    var basic = clinux_cpuid(0, 0)
    basic.eax = 1
    table.append(function: 0, basic)
    var features = clinux_cpuid(1, 0)
    features.ebx = features.ebx & 0x0000_FFFF | 1 << 16
    features.ecx = features.ecx & ~(1 << 27) | hypervisor
    table.append(function: 1, features)
    // "KVMKVMKVM\0\0\0" in EBX, ECX, EDX.
    table.append(
      function: signatureLeaf,
      clinux_cpuid(eax: featureLeaf, ebx: 0x4B4D_564B, ecx: 0x564B_4D56, edx: 0x4D))
    for leaf in UInt32(0x8000_0000)...0x8000_0004 {
      var value = clinux_cpuid(leaf, 0)
      if leaf == 0x8000_0000 { value.eax = 0x8000_0004 }
      table.append(function: leaf, value)
    }
    return table
  }
}
