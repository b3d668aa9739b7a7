@testable import Devices
import Testing

@Suite("Power, exit, marker and legacy ports")
struct PowerPortsTests {
  @Test(
    "what each write asks for",
    arguments: [
      (0x600, [0x34], .powerOff),  // SLP_EN | SLP_TYP 5
      (0x600, [0x14], nil),  // SLP_TYP 5 without SLP_EN
      (0x600, [0x20], nil),  // SLP_EN with S0
      (0x600, [0x3C], nil),  // another type
      (0x601, [0x80], nil),
      (0x602, [1], .reboot),
      (0x602, [2], nil),
      (0x604, [0], .exit(code: 0)),
      (0x604, [7], .exit(code: 7)),
      (0x604, [0x2A, 0x01], .exit(code: 42)),
      (0x604, [0xFF, 1, 2, 3], .exit(code: 255)),
      (0x604, [], nil),
      (0x620, [1], .marker(1)),
      (0x620, [4], .marker(4)),
      (0x603, [1], nil),
    ] as [(UInt16, [UInt8], PowerEvent?)])
  func writes(port: UInt16, bytes: [UInt8], event: PowerEvent?) {
    #expect(PowerPorts.write(port: port, bytes.span) == event)
    if event != nil { #expect(PowerPorts.claims(port)) }
  }

  @Test("sleep status and the others read as zero")
  func reads() {
    for port in [0x600, 0x601, 0x602, 0x604, 0x620] as [UInt16] {
      #expect(mutableBytes(1) { PowerPorts.read(port: port, into: &$0) } == [0])
    }
    #expect(!PowerPorts.claims(0x610))
  }

  @Test("absent devices float, and no known loop of Linux waits on one")
  func legacy() {
    func inb(_ port: UInt16) -> UInt8 { mutableBytes(1) { LegacyPorts.read(port: port, into: &$0) }[0] }
    // probe_8259A: the mask does not read back.
    #expect(LegacyPorts.write(port: 0x21, [0xFB].span) == nil)
    #expect(inb(0x21) != 0xFB)
    // pci_check_type1.
    _ = LegacyPorts.write(port: 0xCF8, [UInt8](littleEndian: 0x8000_0000).span)
    #expect(mutableBytes(4) { LegacyPorts.read(port: 0xCF8, into: &$0) }.littleEndian32 == .max)
    // pci_check_type2 wants zeros.
    #expect(inb(0xCF8) != 0)
    // i8042_flush gives up when the output buffer stays full.
    #expect(inb(0x64) & 1 != 0)
    // 8250 autoconfig: IER does not become 0.
    #expect(inb(0x3E9) & 0x0F != 0)
    // pit_calibrate_tsc waits for bit 5; an NMI's reason has no parity or I/O check error.
    #expect(inb(0x61) == 0x20)
    // pit_expect_msb(0xFF) must not match 50,000 times.
    #expect(inb(0x42) != 0xFF)
    // mc146818: UIP clear, VRT clear.
    #expect(inb(0x71) & 0x80 == 0)
    #expect(mutableBytes(4) { LegacyPorts.read(port: 0x1234, into: &$0) } == [255, 255, 255, 255])
  }

  @Test(
    "the PC's ways to reset",
    arguments: [
      (0x64, [0xFE], .reboot), (0x64, [0xD1], nil), (0x92, [0x01], .reboot), (0x92, [0x02], nil),
      (0xCF9, [0x06], .reboot), (0xCF9, [0xF3], nil), (0xCF9, [0xFF], .reboot),
      (0xCF8, [0, 0x06, 0, 0x80], nil), (0x80, [0], nil),
      (0x64, [0xFE, 0xFE], nil), (0x64, [], nil),
    ] as [(UInt16, [UInt8], PowerEvent?)])
  func resets(port: UInt16, bytes: [UInt8], event: PowerEvent?) {
    #expect(LegacyPorts.write(port: port, bytes.span) == event)
  }

  @Test("reading port 0x92, opening A20 and writing it back does not reset")
  func fastA20() {
    let value = mutableBytes(1) { LegacyPorts.read(port: 0x92, into: &$0) }[0]
    #expect(LegacyPorts.write(port: 0x92, [value | 2].span) == nil)
  }
}
