import CLinux
import GuestMemory
import Hypervise
import System
import TestSupport
import Testing

extension OnKVM {
  @Suite struct Exits {
    @Test func portsOfEveryWidth() throws {
      let guest = try TinyGuest(
        .real,
        [
          0xBA, 0xF8, 0x03,  // mov dx, 0x3f8
          0xB0, 0x41,  // mov al, 0x41
          0xEE,  // out dx, al
          0xB8, 0x34, 0x12,  // mov ax, 0x1234
          0xEF,  // out dx, ax
          0x66, 0xB8, 0x78, 0x56, 0x34, 0x12,  // mov eax, 0x12345678
          0x66, 0xEF,  // out dx, eax
          0xEC,  // in al, dx
          0xA2, 0x00, 0x05,  // mov [0x500], al
          0xED,  // in ax, dx
          0xA3, 0x02, 0x05,  // mov [0x502], ax
          0x66, 0xED,  // in eax, dx
          0x66, 0xA3, 0x04, 0x05,  // mov [0x504], eax
          0xF4,  // hlt
        ])
      #expect(try guest.run() == .portOut(port: 0x3F8, width: 1, count: 1))
      #expect(guest.output() == [0x41])
      #expect(try guest.run() == .portOut(port: 0x3F8, width: 2, count: 1))
      #expect(guest.output() == [0x34, 0x12])
      #expect(try guest.run() == .portOut(port: 0x3F8, width: 4, count: 1))
      #expect(guest.output() == [0x78, 0x56, 0x34, 0x12])
      #expect(try guest.run() == .portIn(port: 0x3F8, width: 1, count: 1))
      guest.answer([0xA1])
      #expect(try guest.run() == .portIn(port: 0x3F8, width: 2, count: 1))
      guest.answer([0xB1, 0xB2])
      #expect(try guest.run() == .portIn(port: 0x3F8, width: 4, count: 1))
      guest.answer([0xC1, 0xC2, 0xC3, 0xC4])
      #expect(try guest.run() == .halt)
      #expect(try guest.ram.read(GuestAddress(0x500), count: 8) == [0xA1, 0, 0xB1, 0xB2, 0xC1, 0xC2, 0xC3, 0xC4])
    }

    @Test func stringsComeInOrder() throws {
      let guest = try TinyGuest(
        .long,
        [
          0xFC,  // cld
          0x66, 0xBA, 0x10, 0x06,  // mov dx, 0x610
          0xBE, 0x00, 0x06, 0x00, 0x00,  // mov esi, 0x600
          0xB9, 0x2C, 0x01, 0x00, 0x00,  // mov ecx, 300
          0xF3, 0x6E,  // rep outsb
          0xBF, 0x00, 0x20, 0x00, 0x00,  // mov edi, 0x2000
          0xB9, 0x05, 0x00, 0x00, 0x00,  // mov ecx, 5
          0xF3, 0x6C,  // rep insb
          0xF4,  // hlt
        ])
      let sent = (0..<300).map { UInt8(truncatingIfNeeded: $0 * 5) }
      try guest.ram.write(GuestAddress(0x600), sent)
      let answers = (0..<5).map { UInt8(truncatingIfNeeded: 255 - $0 * 3) }
      var (received, given): ([UInt8], Int) = ([], 0)
      loop: for _ in 0..<1000 {
        switch try guest.run() {
        case .portOut(0x610, 1, let count):
          let bytes = guest.output()
          #expect(bytes.count == count)
          received += bytes
        case .portIn(0x610, 1, let count):
          guest.answer(Array(answers[given..<min(answers.count, given + count)]))
          given += count
        case .halt: break loop
        case let other: Issue.record("\(other)"); break loop
        }
      }
      #expect(received == sent)
      #expect(given == 5)
      #expect(try guest.ram.read(GuestAddress(0x2000), count: 6) == answers + [0])
    }

    @Test func memoryOfEveryWidth() throws {
      let guest = try TinyGuest(
        .long,
        [
          0xBF, 0x00, 0x00, 0x20, 0x00,  // mov edi, 0x200000
          0xC6, 0x07, 0x5A,  // mov byte [rdi], 0x5a
          0x66, 0xC7, 0x47, 0x02, 0x34, 0x12,  // mov word [rdi+2], 0x1234
          0xC7, 0x47, 0x04, 0xEF, 0xCD, 0xAB, 0x89,  // mov dword [rdi+4], 0x89abcdef
          0x48, 0xB8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,  // mov rax, 0x1122334455667788
          0x48, 0x89, 0x47, 0x08,  // mov [rdi+8], rax
          0x8A, 0x47, 0x10,  // mov al, [rdi+16]
          0x88, 0x06,  // mov [rsi], al
          0x66, 0x8B, 0x47, 0x12,  // mov ax, [rdi+18]
          0x66, 0x89, 0x46, 0x02,  // mov [rsi+2], ax
          0x8B, 0x47, 0x14,  // mov eax, [rdi+20]
          0x89, 0x46, 0x04,  // mov [rsi+4], eax
          0x48, 0x8B, 0x47, 0x18,  // mov rax, [rdi+24]
          0x48, 0x89, 0x46, 0x08,  // mov [rsi+8], rax
          0xF4,  // hlt
        ])
      let base = TinyGuest.deviceAddress
      #expect(try guest.run() == .mmioWrite(address: base, width: 1, value: 0x5A))
      #expect(try guest.run() == .mmioWrite(address: base + 2, width: 2, value: 0x1234))
      #expect(try guest.run() == .mmioWrite(address: base + 4, width: 4, value: 0x89AB_CDEF))
      #expect(try guest.run() == .mmioWrite(address: base + 8, width: 8, value: 0x1122_3344_5566_7788))
      // Of an answer only the low bytes count.
      let answer: UInt64 = 0xA8A7_A6A5_A4A3_A2A1
      for (offset, width) in [(16, 1), (18, 2), (20, 4), (24, 8)] as [(UInt64, Int)] {
        #expect(try guest.run() == .mmioRead(address: base + offset, width: width))
        guest.vcpu.completeRead(answer)
      }
      #expect(try guest.run() == .halt)
      #expect(
        try guest.ram.read(GuestAddress(TinyGuest.results), count: 16) == [
          0xA1, 0, 0xA1, 0xA2, 0xA1, 0xA2, 0xA3, 0xA4, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8,
        ])
    }

    @Test func exceptionsThatCannotBeDeliveredShutDown() throws {
      let guest = try TinyGuest(.long, [0x0F, 0x0B])  // ud2
      #expect(try guest.run() == .shutdown)
    }

    /// A read-only slot: reads are RAM's, writes are a device's.
    @Test func readOnlyMemoryExitsOnWrites() throws {
      let guest = try TinyGuest(
        .long,
        [
          0xBF, 0x00, 0x00, 0x20, 0x00,  // mov edi, 0x200000
          0x8A, 0x07,  // mov al, [rdi]
          0x88, 0x06,  // mov [rsi], al
          0x88, 0x07,  // mov [rdi], al
          0xF4,  // hlt
        ])
      let extra = try GuestRAM(count: 4096, holeStart: 1 << 30, holeEnd: 1 << 30, hugePages: false)
      try extra.store8(GuestAddress(0), 0x77)
      try guest.vm.setMemory(
        slot: 1, guestAddress: TinyGuest.deviceAddress, count: 4096,
        hostAddress: extra.hostAddress(of: extra.regions[0]),
        readOnly: true)
      #expect(try guest.run() == .mmioWrite(address: TinyGuest.deviceAddress, width: 1, value: 0x77))
      #expect(try guest.run() == .halt)
      #expect(try extra.load8(GuestAddress(0)) == 0x77)
    }

    @Test func doorbellsRingWithoutAnExit() throws {
      let guest = try TinyGuest(
        .long,
        [
          0x66, 0xBA, 0x40, 0x06,  // mov dx, 0x640
          0xB0, 0x01,  // mov al, 1
          0xEE,  // out dx, al
          0xEE,  // out dx, al
          0xBF, 0x50, 0x00, 0x20, 0x00,  // mov edi, 0x200050
          0xC7, 0x07, 0x03, 0x00, 0x00, 0x00,  // mov dword [rdi], 3
          0xC7, 0x07, 0x04, 0x00, 0x00, 0x00,  // mov dword [rdi], 4
          0xC7, 0x47, 0x10, 0x09, 0x00, 0x00, 0x00,  // mov dword [rdi+16], 9
          0xF4,  // hlt
        ])
      let port = try EventFD()
      let queue = try EventFD()
      let any = try EventFD()
      let address = TinyGuest.deviceAddress + 0x50
      try guest.vm.setIOEventFD(port, at: .port(0x640, width: 1))
      try guest.vm.setIOEventFD(queue, at: .memory(address: address, value: 3))
      try guest.vm.setIOEventFD(any, at: .memory(address: address + 16, value: nil))
      // Another value than the one registered is an ordinary write.
      #expect(try guest.run() == .mmioWrite(address: address, width: 4, value: 4))
      #expect(try guest.run() == .halt)
      #expect(port.drain() == 2)
      #expect(queue.drain() == 1)
      #expect(any.drain() == 1)
      #expect(throws: KVMError.call("KVM_IOEVENTFD", .exists)) {
        try guest.vm.setIOEventFD(port, at: .port(0x640, width: 1))
      }
      try guest.vm.setIOEventFD(port, at: .port(0x640, width: 1), assigned: false)
      #expect(throws: KVMError.call("KVM_IOEVENTFD", .notFound)) {
        try guest.vm.setIOEventFD(port, at: .port(0x640, width: 1), assigned: false)
      }
    }

    // MARK: Kicks

    private static let spin: [UInt8] = [0xEB, 0xFE]  // jmp $

    @Test func anExitAskedForBeforeTheRunIsNotLost() throws {
      let guest = try TinyGuest(.long, Self.spin)
      for _ in 0..<3 {
        guest.vcpu.page.requestExit()
        #expect(try guest.vcpu.run() == .interrupted)
      }
      guest.vcpu.page.clearExitRequest()
      let other = try TinyGuest(.real, [0xF4])
      other.vcpu.page.requestExit()
      #expect(try other.vcpu.run() == .interrupted)
      other.vcpu.page.clearExitRequest()
      #expect(try other.vcpu.run() == .halt)
    }

    /// Before, during and after KVM_RUN begins: the request and the signal together always end it.
    @Test func aKickEndsASpinningGuest() throws {
      #expect(clinux_install_interrupting_handler(SIGUSR1) == 0)
      let guest = try TinyGuest(.long, Self.spin)
      var random = SeededRandom(seed: 3)
      for round in 0..<100 {
        let result = Flag()
        let thread = try Thread {
          do { if try guest.vcpu.run() == .interrupted { result.value.store(1, ordering: .releasing) } } catch {
            result.value.store(2, ordering: .releasing)
          }
        }
        for _ in 0..<random.below(20_000) { _ = random.next() }
        guest.vcpu.page.requestExit()
        thread.interrupt(SIGUSR1)
        #expect(eventually { result.value.load(ordering: .acquiring) != 0 }, "round \(round)")
        thread.join()
        #expect(result.value.load(ordering: .acquiring) == 1)
        guest.vcpu.page.clearExitRequest()
      }
    }
  }
}
