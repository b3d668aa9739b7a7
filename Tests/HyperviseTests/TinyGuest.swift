import CLinux
import GuestMemory
import Hypervise
import System
import Testing

/// Whether this machine lets tests use KVM, and if not, why.
enum Host {
  static let refusal: String? = {
    do {
      let kvm = try KVM()
      _ = try kvm.createVM()
      return nil
    } catch { return "no tests on KVM: \(error)" }
  }()

  static var hasKVM: Bool {
    // A skip that says why, once in the log of every run.
    if let refusal { Log.message(refusal) }
    return refusal == nil
  }
}

/// Every test that runs guests: one after the other, since they compare the process's descriptors and share signals.
@Suite(.serialized, .enabled(if: Host.hasKVM, "KVM cannot be used here; the log says why")) struct OnKVM {}

/// A VM with 1 MiB of RAM and one vCPU, whose code is given as bytes.
final class TinyGuest: @unchecked Sendable {
  static let codeAddress: UInt64 = 0x1000
  /// Where guests leave what they have found.
  static let results: UInt64 = 0x500
  /// Mapped in long mode, and not RAM.
  static let deviceAddress: UInt64 = 0x20_0000

  enum Mode { case real, long }

  let vm: VM
  let vcpu: VCPU
  let ram: GuestRAM

  init(_ mode: Mode, _ code: [UInt8], splitIRQChip: Bool = false, id: UInt32 = 0) throws {
    let kvm = try KVM()
    vm = try kvm.createVM()
    if splitIRQChip { try vm.createSplitIRQChip(pins: 24) }
    ram = try GuestRAM(count: 1 << 20, holeStart: 3 << 30, holeEnd: 4 << 30, hugePages: false)
    try vm.setMemory(slot: 0, guestAddress: 0, count: ram.count, hostAddress: ram.hostAddress(of: ram.regions[0]))
    try ram.write(GuestAddress(Self.codeAddress), code)
    vcpu = try vm.createVCPU(id: id)
    var special = try vcpu.specialRegisters()
    switch mode {
    case .real: (special.cs.base, special.cs.selector) = (0, 0)
    case .long: try enterLongMode(&special)
    }
    try vcpu.set(special)
    var registers = kvm_regs()
    (registers.rip, registers.rsp, registers.rsi, registers.rflags) = (Self.codeAddress, 0x8000, Self.results, 2)
    try vcpu.set(registers)
  }

  private func enterLongMode(_ special: inout kvm_sregs) throws {
    // One table of each level maps the first 1 GiB onto itself by 2 MiB pages (Intel SDM volume 3, 4.5).
    try ram.store64(GuestAddress(0x9000), 0xA003)
    try ram.store64(GuestAddress(0xA000), 0xB003)
    for index in 0..<UInt64(512) { try ram.store64(GuestAddress(0xB000 + index * 8), index << 21 | 0x83) }
    var code = kvm_segment()
    (code.limit, code.selector, code.type, code.present, code.s, code.l, code.g) = (0xFFFF_FFFF, 8, 11, 1, 1, 1, 1)
    var data = code
    (data.selector, data.type, data.l, data.db) = (16, 3, 0, 1)
    special.cs = code
    (special.ds, special.es, special.fs, special.gs, special.ss) = (data, data, data, data, data)
    (special.cr3, special.cr4, special.efer) = (0x9000, 1 << 5, 1 << 8 | 1 << 10)
    special.cr0 = 1 << 31 | 1
    // No exception can be delivered.
    (special.idt.limit, special.gdt.limit) = (0, 0)
  }

  /// Runs to an exit that is no interruption.
  func run() throws -> Exit {
    for _ in 0..<1000 {
      let exit = try vcpu.run()
      if exit != .interrupted { return exit }
    }
    Issue.record("interrupted all the time")
    return .interrupted
  }

  /// The bytes of the port write that `run` returned.
  func output() -> [UInt8] {
    vcpu.withPortOutput { span in (0..<span.count).map { span[$0] } }
  }

  func answer(_ bytes: [UInt8]) {
    vcpu.withPortInput { span in for index in 0..<min(span.count, bytes.count) { span[index] = bytes[index] } }
  }

  /// Registers of the local APIC lie 16 bytes apart (Intel SDM volume 3, table 11-1).
  func apicRegister(_ offset: Int) throws -> UInt32 {
    var state = try vcpu.localAPIC()
    return withUnsafeBytes(of: &state) { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
  }

  /// Enables the local APIC by its spurious vector register.
  func enableAPIC() throws {
    var state = try vcpu.localAPIC()
    withUnsafeMutableBytes(of: &state) { $0.storeBytes(of: 0x1FF, toByteOffset: 0xF0, as: UInt32.self) }
    try vcpu.set(state)
  }

  /// Whether `vector` waits in the local APIC (IRR) or is being served (ISR).
  func isPending(_ vector: Int) throws -> Bool {
    let (word, bit) = (vector / 32 * 16, UInt32(1) << UInt32(vector % 32))
    return try (apicRegister(0x200 + word) | apicRegister(0x100 + word)) & bit != 0
  }
}
