import CLinux
import GuestMemory
import Hypervise
import Synchronization
import System
import TestSupport
import Testing

final class Flag: Sendable {
  let value = Atomic<Int>(0)
}

/// How many descriptors of this process are VMs and vCPUs.
private func kvmDescriptors() -> Int {
  var count = 0
  for number in 0..<1024 {
    var target = [UInt8](repeating: 0, count: 64)
    let path = Array("/proc/self/fd/\(number)".utf8) + [0]
    let length = path.withUnsafeBytes { path in
      target.withUnsafeMutableBytes { clinux_readlinkat(AT_FDCWD, path.baseAddress, $0.baseAddress, 64) }
    }
    if length > 0, String(decoding: target[..<length], as: UTF8.self).hasPrefix("anon_inode:kvm-v") { count += 1 }
  }
  return count
}

extension OnKVM {
  @Suite struct State {
    @Test func registersComeBackAsSet() throws {
      let guest = try TinyGuest(.real, [])
      var registers = kvm_regs()
      registers.rax = 0x1111_2222_3333_4444
      registers.r15 = .max
      registers.rip = 0x1234
      registers.rflags = 0x202
      try guest.vcpu.set(registers)
      let read = try guest.vcpu.registers()
      #expect(read.rax == 0x1111_2222_3333_4444 && read.r15 == .max && read.rip == 0x1234 && read.rflags & 0x200 != 0)
    }

    @Test func specialRegistersComeBackAsSet() throws {
      let guest = try TinyGuest(.long, [])
      let special = try guest.vcpu.specialRegisters()
      #expect(special.cr3 == 0x9000 && special.cr4 & 1 << 5 != 0 && special.cr0 & 1 << 31 != 0)
      #expect(special.efer & 1 << 10 != 0 && special.cs.l == 1 && special.ds.selector == 16 && special.idt.limit == 0)
    }

    @Test func codeChangesTheRegisters() throws {
      let guest = try TinyGuest(.long, [0x48, 0xFF, 0xC0, 0xF4])  // inc rax; hlt
      #expect(try guest.run() == .halt)
      let registers = try guest.vcpu.registers()
      #expect(registers.rax == 1)
      #expect(registers.rip == TinyGuest.codeAddress + 4)
    }

    @Test func modelSpecificRegistersComeBackAsSet() throws {
      let guest = try TinyGuest(.long, [])
      let registers = [ModelSpecificRegister(0x174, 0x10), ModelSpecificRegister(0xC000_0102, 0xFFFF_8000_0000_1000)]
      #expect(try guest.vcpu.set(registers) == 2)
      #expect(try guest.vcpu.modelSpecificRegisters([0x174, 0xC000_0102]) == registers)
      // The number is the index of the first one refused.
      let unknown = ModelSpecificRegister(0xDEAD_BEEF, 1)
      #expect(try guest.vcpu.set([registers[0], unknown, registers[1]]) == 1)
      #expect(try guest.vcpu.modelSpecificRegisters([0x174, 0xDEAD_BEEF, 0x174]).map(\.index) == [0x174])
      #expect(try guest.vcpu.set([] as [ModelSpecificRegister]) == 0)
      #expect(throws: KVMError.call("KVM_SET_MSRS", .invalid)) {
        _ = try guest.vcpu.set([ModelSpecificRegister](repeating: registers[0], count: 65))
      }
      #expect(throws: KVMError.call("KVM_GET_MSRS", .invalid)) {
        _ = try guest.vcpu.modelSpecificRegisters([UInt32](repeating: 0x174, count: 65))
      }
    }

    @Test func theFirstProcessorRunsAndOthersWait() throws {
      let guest = try TinyGuest(.real, [0xF4], splitIRQChip: true)
      #expect(try guest.vcpu.multiprocessorState() == UInt32(KVM_MP_STATE_RUNNABLE))
      let second = try guest.vm.createVCPU(id: 1)
      #expect(try second.multiprocessorState() == UInt32(KVM_MP_STATE_UNINITIALIZED))
      #expect(throws: KVMError.call("KVM_CREATE_VCPU", .exists)) { _ = try guest.vm.createVCPU(id: 1) }
    }

    // MARK: CPUID

    private static let cpuid: [UInt8] = [
      0x0F, 0xA2,  // cpuid
      0x89, 0x06,  // mov [rsi], eax
      0x89, 0x5E, 0x04,  // mov [rsi+4], ebx
      0x89, 0x4E, 0x08,  // mov [rsi+8], ecx
      0x89, 0x56, 0x0C,  // mov [rsi+12], edx
      0xF4,  // hlt
    ]

    /// What the guest reads for `leaf`.
    private func ask(_ guest: TinyGuest, _ leaf: UInt32, _ index: UInt32 = 0) throws -> [UInt32] {
      var registers = kvm_regs()
      (registers.rip, registers.rsi, registers.rflags) = (TinyGuest.codeAddress, TinyGuest.results, 2)
      (registers.rax, registers.rcx) = (UInt64(leaf), UInt64(index))
      try guest.vcpu.set(registers)
      #expect(try guest.run() == .halt)
      return try (0..<4).map { try guest.ram.load32(GuestAddress(TinyGuest.results + $0 * 4)) }
    }

    @Test func theGuestReadsTheMinimalTable() throws {
      let guest = try TinyGuest(.long, Self.cpuid)
      let table = CPUIDPolicy.minimal()
      try guest.vcpu.set(table)
      for position in 0..<table.count {
        let entry = table[position]
        let read = try ask(guest, entry.function)
        // KVM itself keeps OSXSAVE (leaf 1 ECX 27) and the APIC bit in step with the vCPU's state.
        let kept: UInt32 = entry.function == 1 ? 1 << 27 : 0
        #expect(read[0] == entry.eax && read[1] == entry.ebx, "leaf \(String(entry.function, radix: 16))")
        #expect(read[2] & ~kept == entry.ecx & ~kept && read[3] & ~(1 << 9) == entry.edx & ~(1 << 9))
      }
      let signature = try ask(guest, 0x4000_0000)
      #expect(
        signature[1...].flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
          == Array("KVMKVMKVM\0\0\0".utf8))
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt32]) func everyProcessorReadsItsOwnPlace(count: UInt32) throws {
      let kvm = try KVM()
      let table = try kvm.supportedCPUID()
      #expect(table.count > 5 && table.contains(0) && table.contains(1) && table.contains(0x4000_0000))
      for id in 0..<count {
        let guest = try TinyGuest(.long, Self.cpuid, id: id)
        CPUIDPolicy.apply(to: table, apicID: id, count: count, tscDeadline: true)
        try guest.vcpu.set(table)
        let features = try ask(guest, 1)
        #expect(features[1] >> 24 == id)
        #expect(features[1] >> 16 & 0xFF == count)
        #expect(features[2] >> 31 == 1)
        // Some KVMs (KVM-PVM) show HTT even when the table hides it, which a count of 1 makes harmless.
        if count > 1 { #expect(features[3] >> 28 & 1 == 1) }
        if table.contains(0xB) {
          let threads = try ask(guest, 0xB, 0)
          #expect(threads[0] & 31 == 0 && threads[1] & 0xFFFF == 1 && threads[2] == 0x100 && threads[3] == id)
          let cores = try ask(guest, 0xB, 1)
          #expect(1 << (cores[0] & 31) >= count && cores[1] & 0xFFFF == count && cores[2] == 0x201 && cores[3] == id)
          let end = try ask(guest, 0xB, 2)
          #expect(end[1] & 0xFFFF == 0 && end[2] >> 8 & 0xFF == 0)
        }
      }
    }

    // MARK: Interrupts

    @Test func anEventWithARouteRaisesItsVector() throws {
      let guest = try TinyGuest(.real, [0xF4], splitIRQChip: true)
      try guest.enableAPIC()
      #expect(try guest.apicRegister(0xF0) == 0x1FF)
      let event = try EventFD()
      try guest.vm.setRoutes([
        .init(gsi: 5, address: 0xFEE0_0000, data: 0x41), .init(gsi: 6, address: 0xFEE0_0000, data: 0x52),
      ])
      try guest.vm.setIRQFD(event, gsi: 5)
      #expect(try !guest.isPending(0x41))
      event.signal()
      #expect(eventually { (try? guest.isPending(0x41)) == true })
      #expect(try !guest.isPending(0x52))
      try guest.vm.setIRQFD(event, gsi: 5, assigned: false)
      #expect(throws: KVMError.call("KVM_SET_GSI_ROUTING", .invalid)) {
        try guest.vm.setRoutes([VM.MSIRoute](repeating: .init(gsi: 1, address: 0xFEE0_0000, data: 1), count: 65))
      }
    }

    @Test func aMessageWaitsInTheLocalAPIC() throws {
      let guest = try TinyGuest(.real, [0xF4], splitIRQChip: true)
      try guest.enableAPIC()
      #expect(try guest.vm.signalMSI(address: 0xFEE0_0000, data: 0x63) == true)
      #expect(try guest.isPending(0x63))
      #expect(try !guest.isPending(0x64))
    }

    @Test func aMessageWakesAGuestThatHalts() throws {
      #expect(clinux_install_interrupting_handler(SIGUSR1) == 0)
      let guest = try TinyGuest(
        .real,
        [
          0xFB,  // sti
          0xF4,  // hlt
          0xEB, 0xFD,  // jmp to the hlt
        ], splitIRQChip: true)
      // The interrupt's handler: mov dx, 0x3f8; mov al, 0x49; out dx, al
      try guest.ram.write(GuestAddress(0x1100), [0xBA, 0xF8, 0x03, 0xB0, 0x49, 0xEE, 0xF4])
      try guest.ram.store32(GuestAddress(0x41 * 4), 0x1100)
      try guest.enableAPIC()
      let written = Flag()
      let thread = try Thread {
        do {
          while true {
            switch try guest.vcpu.run() {
            case .portOut(0x3F8, 1, 1): return written.value.store(Int(guest.output()[0]), ordering: .releasing)
            case .interrupted: return
            default: continue
            }
          }
        } catch {}
      }
      pause(milliseconds: 20)
      #expect(written.value.load(ordering: .acquiring) == 0)
      #expect(try guest.vm.signalMSI(address: 0xFEE0_0000, data: 0x41) == true)
      let woke = eventually(milliseconds: 2000) { written.value.load(ordering: .acquiring) == 0x49 }
      guest.vcpu.page.requestExit()
      thread.interrupt(SIGUSR1)
      thread.join()
      #expect(woke)
    }

    // MARK: Life

    @Test func aHundredMachinesLeaveNothing() throws {
      let before = kvmDescriptors()
      for _ in 0..<100 { _ = try TinyGuest(.real, [0xF4]) }
      #expect(eventually { kvmDescriptors() <= before })
    }

    @Test func capabilitiesAreAskedForByName() throws {
      let kvm = try KVM()
      try kvm.require(.userMemory, .immediateExit, .irqchip)
      #expect(kvm.value(of: .recommendedVCPUs) >= 1)
      #expect(kvm.value(of: .maximumVCPUs) >= kvm.value(of: .recommendedVCPUs))
      let vm = try kvm.createVM()
      #expect(vm.value(of: .userMemory) > 0)
    }

    @Test func memoryThatKVMRefusesIsAnError() throws {
      let guest = try TinyGuest(.real, [])
      #expect(throws: KVMError.call("KVM_SET_USER_MEMORY_REGION", .invalid)) {
        try guest.vm.setMemory(slot: 2, guestAddress: 1, count: 4096, hostAddress: 0)
      }
      // Two slots at one place.
      #expect(throws: KVMError.call("KVM_SET_USER_MEMORY_REGION", .exists)) {
        try guest.vm.setMemory(
          slot: 2, guestAddress: 0, count: 4096, hostAddress: guest.ram.hostAddress(of: guest.ram.regions[0]))
      }
      try guest.vm.setMemory(slot: 0, guestAddress: 0, count: 0, hostAddress: 0)
    }

    @Test func theWholeChipTakesLines() throws {
      let kvm = try KVM()
      let vm = try kvm.createVM()
      #expect(throws: KVMError.self) { try vm.setLine(4, high: true) }
      try vm.createIRQChip()
      if kvm.has(.pit2) { try vm.createPIT() }
      try vm.setLine(4, high: true)
      try vm.setLine(4, high: false)
      #expect(throws: KVMError.call("KVM_CREATE_IRQCHIP", .exists)) { try vm.createIRQChip() }
    }
  }
}
