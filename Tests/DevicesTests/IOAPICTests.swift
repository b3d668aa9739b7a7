@testable import Devices
import System
import Testing

private final class MessageLog: MSISink, @unchecked Sendable {
  struct Message: Equatable {
    var address: UInt64
    var data: UInt32
  }
  private let lock = Lock()
  private var held: [Message] = []
  var messages: [Message] { lock.withLock { held } }
  func deliver(address: UInt64, data: UInt32) { lock.withLock { held.append(Message(address: address, data: data)) } }
}

extension IOAPIC {
  fileprivate func set(_ register: UInt8, _ value: UInt32) {
    write(offset: 0x00, [UInt8](littleEndian: UInt32(register)).span)
    write(offset: 0x10, [UInt8](littleEndian: value).span)
  }

  fileprivate func get(_ register: UInt8) -> UInt32 {
    write(offset: 0x00, [UInt8](littleEndian: UInt32(register)).span)
    return mutableBytes(4) { read(offset: 0x10, into: &$0) }.littleEndian32
  }

  fileprivate func program(pin: Int, low: UInt32, high: UInt32) {
    set(UInt8(0x11 + 2 * pin), high)
    set(UInt8(0x10 + 2 * pin), low)
  }
}

@Suite("I/O APIC (82093AA)")
struct IOAPICTests {
  private let log = MessageLog()

  @Test("identification, version 0x20, 24 entries, all masked at reset")
  func registers() {
    let chip = IOAPIC(id: 5, sink: log)
    #expect(chip.get(0) == 5 << 24)
    #expect(chip.get(1) == 0x0017_0020)
    #expect(chip.get(2) == 5 << 24)
    for pin in 0..<24 {
      #expect(chip.get(UInt8(0x10 + 2 * pin)) == 1 << 16)
      #expect(chip.get(UInt8(0x11 + 2 * pin)) == 0)
    }
    chip.set(0, 0xFFFF_FFFF)
    #expect(chip.get(0) == 0x0F00_0000)
    chip.set(1, 0)
    #expect(chip.get(1) == 0x0017_0020)
    #expect(mutableBytes(4) { chip.read(offset: 0, into: &$0) } == [1, 0, 0, 0])
  }

  @Test("delivery status and remote IRR are read-only")
  func readOnlyBits() {
    let chip = IOAPIC(sink: log)
    chip.set(0x10, 0xFFFF_FFFF)
    chip.set(0x11, 0xFFFF_FFFF)
    #expect(chip.get(0x10) == 0x0001_AFFF)
    #expect(chip.get(0x11) == 0xFF00_0000)
  }

  @Test(
    "an entry becomes the message that the SDM describes",
    arguments: [
      // low, high, address, data
      (0x0000_0031, 0x0000_0000, 0xFEE0_0000, 0x0031),
      (0x0000_0041, 0x0300_0000, 0xFEE0_3000, 0x0041),
      (0x0000_0941, 0x0100_0000, 0xFEE0_1004, 0x0141),  // logical, lowest priority
      (0x0000_8055, 0xFF00_0000, 0xFEEF_F000, 0xC055),  // level
      (0x0000_0400, 0x0000_0000, 0xFEE0_0000, 0x0400),  // NMI: the vector does not matter
      (0x0000_2066, 0x0000_0000, 0xFEE0_0000, 0x0066),  // active low makes no difference to a pulse
    ] as [(UInt32, UInt32, UInt64, UInt32)])
  func messages(low: UInt32, high: UInt32, address: UInt64, data: UInt32) {
    let chip = IOAPIC(sink: log)
    chip.program(pin: 4, low: low, high: high)
    chip.line(pin: 4).raise()
    #expect(log.messages == [.init(address: address, data: data)])
  }

  @Test("a pulse on a masked pin is delivered once, when it is unmasked, by the entry as it is then")
  func masked() {
    let chip = IOAPIC(sink: log)
    chip.program(pin: 7, low: 1 << 16 | 0x40, high: 0)
    chip.raise(pin: 7)
    chip.raise(pin: 7)
    chip.set(0x1F, 2 << 24)
    #expect(log.messages.isEmpty)
    chip.set(0x1E, 0x51)
    #expect(log.messages == [.init(address: 0xFEE0_2000, data: 0x51)])
    chip.set(0x1E, 1 << 16 | 0x51)
    chip.set(0x1E, 0x51)
    #expect(log.messages.count == 1)
  }

  @Test("level entries deliver every pulse, whether or not an EOI is seen")
  func level() {
    let chip = IOAPIC(sink: log)
    chip.program(pin: 9, low: 1 << 15 | 0x61, high: 0)
    chip.raise(pin: 9)
    #expect(chip.get(0x22) == 1 << 15 | 0x61)
    chip.raise(pin: 9)
    chip.write(offset: 0x40, [0x61, 0, 0, 0].span)
    chip.raise(pin: 9)
    #expect(log.messages.count == 3)
  }

  @Test("illegal vectors, pins, registers, offsets and sizes do nothing")
  func nonsense() {
    let chip = IOAPIC(sink: log)
    chip.program(pin: 0, low: 0x0F, high: 0)
    chip.raise(pin: 0)
    chip.raise(pin: -1)
    chip.raise(pin: 24)
    chip.raise(pin: .max)
    chip.set(0x40, 0xFFFF_FFFF)
    chip.set(0xFF, 0xFFFF_FFFF)
    #expect(chip.get(0x40) == 0)
    #expect(log.messages.isEmpty)
    var random = SeededGenerator(seed: 1)
    for _ in 0..<20_000 {
      let offset = UInt64.random(in: 0..<0x60, using: &random)
      chip.write(offset: offset, random.bytes(Int.random(in: 0...8, using: &random)).span)
      let size = Int.random(in: 0...8, using: &random)
      let read = mutableBytes(size) { chip.read(offset: offset, into: &$0) }
      if size > 4 { #expect(read[4...].allSatisfy { $0 == 0 }) }
      chip.raise(pin: Int.random(in: -1...24, using: &random))
    }
    for message in log.messages { #expect(message.address >> 20 == 0xFEE) }
  }
}
