import System
import Testing

@testable import Devices

@Suite("16550A UART", .timeLimit(.minutes(1)))
struct SerialTests {
  private let line = InterruptRequest()
  private let output = CollectingSink()
  private let port: Serial16550

  init() { port = Serial16550(interrupt: line, output: output) }

  @Test("Linux's autoconfiguration finds a 16550A with a FIFO of 16 and a transmitter without bugs")
  func autoconfig() {
    let driver = LinuxUART(port)
    #expect(driver.autoconfig() == .uart16550A)
    #expect(driver.fifoSize() == 16)
    #expect(!driver.hasTransmitterBug())
    #expect(output.bytes.isEmpty, "loopback bytes must not reach the wire")
  }

  @Test("registers read back what they keep")
  func registers() {
    port.outb(Reg.scr, 0x5A)
    #expect(port.inb(Reg.scr) == 0x5A)
    port.outb(Reg.ier, 0xFF)
    #expect(port.inb(Reg.ier) == 0x0F)
    port.outb(Reg.mcr, 0xFF)
    #expect(port.inb(Reg.mcr) == 0x1F)
    port.outb(Reg.mcr, 0)
    port.outb(Reg.lcr, 0x9B)
    port.outb(0, 0x34)
    port.outb(1, 0x12)
    #expect(port.inb(0) == 0x34)
    #expect(port.inb(1) == 0x12)
    #expect(port.inb(Reg.lcr) == 0x9B)
    port.outb(Reg.lcr, 0x1B)
    #expect(port.inb(Reg.ier) == 0x0F)
    #expect(port.inb(Reg.lsr) == 0x60)
    #expect(output.bytes.isEmpty)
    #expect(port.inb(8) == 0xFF)
    port.outb(8, 1)
  }

  @Test("modem lines loop back, and their changes interrupt once")
  func modem() {
    #expect(port.inb(Reg.msr) == 0xB0)
    port.outb(Reg.ier, 8)
    port.outb(Reg.mcr, 0x10)
    #expect(line.take())
    #expect(port.inb(Reg.iir) & 0x0F == 0x00)
    #expect(port.inb(Reg.msr) == 0x0B)
    #expect(port.inb(Reg.iir) & 0x0F == 0x01)
    port.outb(Reg.mcr, 0x1F)
    #expect(port.inb(Reg.msr) == 0xFB)
    // Trailing edge of the ring indicator.
    port.outb(Reg.mcr, 0x1B)
    #expect(port.inb(Reg.msr) == 0xB4)
  }

  @Test("loopback: trigger level, time-out, overrun")
  func loopback() {
    port.outb(Reg.fcr, 0x81)
    port.outb(Reg.mcr, 0x10)
    port.outb(Reg.ier, 5)
    for value in 1...7 { port.outb(Reg.data, UInt8(value)) }
    #expect(port.inb(Reg.iir) == 0xCC)
    port.outb(Reg.data, 8)
    #expect(port.inb(Reg.iir) == 0xC4)
    for value in 9...17 { port.outb(Reg.data, UInt8(value)) }
    #expect(port.inb(Reg.iir) == 0xC6)
    #expect(port.inb(Reg.lsr) == 0x63)
    #expect(port.inb(Reg.lsr) == 0x61)
    #expect((1...16).map { _ in port.inb(Reg.data) } == Array(1...16))
    #expect(port.inb(Reg.lsr) == 0x60)
    #expect(port.inb(Reg.iir) == 0xC1)
  }

  @Test("string writes reach the sink as one piece, string reads take what is there")
  func strings() {
    let text = Array("a line of text\n".utf8)
    port.write(offset: 0, text.span)
    #expect(output.bytes == text)
    port.outb(Reg.fcr, 1)
    port.outb(Reg.ier, 1)
    #expect(port.give(text) == text.count)
    let read = mutableBytes(text.count + 2) { port.read(offset: 0, into: &$0) }
    #expect(read == text + [0, 0])
  }

  @Test("an interrupt condition that is enabled while it holds sends an edge")
  func enabling() {
    #expect(port.give([1, 2]) == 2)
    #expect(!line.take())
    #expect(port.inb(Reg.lsr) == 0x60)
    port.outb(Reg.ier, 1)
    #expect(line.take())
    #expect(port.inb(Reg.lsr) == 0x61)
    port.outb(Reg.ier, 0)
    #expect(port.inb(Reg.lsr) == 0x60)
    port.outb(Reg.ier, 1)
    #expect(line.take())
    port.outb(Reg.ier, 3)
    #expect(line.take())
    #expect(port.inb(Reg.data) == 1)
    // Reading IIR clears THRE only when it told of it.
    #expect(port.inb(Reg.iir) == 0x04)
    #expect(port.inb(Reg.data) == 2)
    #expect(port.inb(Reg.iir) == 0x02)
    #expect(port.inb(Reg.iir) == 0x01)
    _ = line.take()
    port.outb(Reg.data, 9)
    #expect(line.take())
    #expect(port.inb(Reg.iir) == 0x02)
  }

  @Test("what was typed before the tty was opened is read after it, all of it")
  func typeAhead() {
    let text = Array("root\npassword\n".utf8)
    #expect(port.give(text) == text.count)
    let driver = LinuxUART(port)
    #expect(driver.autoconfig() == .uart16550A)
    #expect(driver.fifoSize() == 16)
    driver.consoleWrite(Array("login: ".utf8))
    _ = line.take()
    driver.startup()
    #expect(line.take())
    driver.handleInterrupt()
    #expect(driver.received == text)
    // Closed with bytes waiting, and opened again.
    driver.received = []
    #expect(port.give(text) == text.count)
    driver.shutdown()
    driver.startup()
    while line.take() { driver.handleInterrupt() }
    #expect(driver.received == text)
  }

  @Test("a guest that polls LSR without interrupts gets its bytes")
  func polled() {
    let text = Array("polled".utf8)
    #expect(port.give(text) == text.count)
    var received: [UInt8] = []
    for _ in 0..<100 where port.inb(Reg.lsr) & 1 != 0 { received.append(port.inb(Reg.data)) }
    #expect(received == text)
    #expect(!line.take())
  }

  /// Interrupt handlers of drivers that are not Linux's: each drains the port in its own way and none looks without an edge.
  enum Style: CaseIterable { case statusOnly, identifyOnce, identifyUntilNone, identifyAndReadOne }

  @Test("no driver's style loses an edge", arguments: Style.allCases, [true, false])
  func styles(style: Style, fifo: Bool) {
    var random = SeededGenerator(seed: 3)
    let text = random.bytes(3000)
    var received: [UInt8] = []
    if fifo { port.outb(Reg.fcr, 0xC1) }
    port.outb(Reg.ier, 1)
    var sent = 0
    func drain() { while port.inb(Reg.lsr) & 1 != 0 { received.append(port.inb(Reg.data)) } }
    for _ in 0..<100_000 where received.count < text.count {
      let length = min(Int.random(in: 0...400, using: &random), text.count - sent)
      sent += port.give(Array(text[sent..<sent + length]))
      guard line.take() else { continue }
      switch style {
      case .statusOnly: drain()
      case .identifyOnce: if port.inb(Reg.iir) & 1 == 0 { drain() }
      case .identifyUntilNone: while port.inb(Reg.iir) & 1 == 0 { drain() }
      case .identifyAndReadOne: while port.inb(Reg.iir) & 1 == 0 { received.append(port.inb(Reg.data)) }
      }
    }
    #expect(received.count == text.count)
    #expect(received == text)
  }

  @Test("the guest sees the end of a batch before the next begins, however fast the host is")
  func batches() {
    port.outb(Reg.fcr, 1)
    port.outb(Reg.ier, 1)
    #expect(port.give([1, 2]) == 2)
    #expect(line.take())
    #expect(port.inb(Reg.iir) == 0xC4)
    #expect(port.inb(Reg.data) == 1)
    // More comes while the handler reads: not part of this batch.
    #expect(port.give([3]) == 1)
    #expect(port.inb(Reg.data) == 2)
    #expect(port.inb(Reg.lsr) == 0x60)
    _ = line.take()
    #expect(port.give([4]) == 1)
    #expect(line.take(), "bytes that are held back must bring the guest back")
    #expect(port.inb(Reg.iir) == 0xC1, "the handler must come to its end")
    #expect(line.take())
    #expect(port.inb(Reg.iir) == 0xC4)
    #expect(port.inb(Reg.data) == 3)
    #expect(port.inb(Reg.data) == 4)
  }

  @Test("a full receiver refuses, and tells when it has room again")
  func backPressure() {
    let called = InterruptRequest()
    port.onReceiveSpace { called.raise() }
    let block = [UInt8](repeating: 7, count: Serial16550.receiveCapacity + 100)
    #expect(port.give(block) == Serial16550.receiveCapacity)
    #expect(port.inputRoom == 0)
    #expect(port.give(block) == 0)
    #expect(called.edges == 0)
    port.outb(Reg.fcr, 1)
    port.outb(Reg.ier, 1)
    let driver = LinuxUART(port)
    while driver.received.count < 1000 && line.take() { driver.handleInterrupt() }
    #expect(called.edges == 0)
    while line.take() { driver.handleInterrupt() }
    #expect(called.edges == 1)
    #expect(port.inputRoom == Serial16550.receiveCapacity)
  }

  @Test("RTS taken away holds the line, RTS given back lets it go on")
  func flowControl() {
    let driver = LinuxUART(port)
    driver.startup()
    driver.setRequestToSend(false)
    #expect(port.give([1, 2, 3]) == 3)
    while line.take() { driver.handleInterrupt() }
    #expect(driver.received.isEmpty)
    driver.setRequestToSend(true)
    while line.take() { driver.handleInterrupt() }
    #expect(driver.received == [1, 2, 3])
  }

  @Test("a receiver reset drops what the guest was shown, not what waits")
  func reset() {
    port.outb(Reg.fcr, 1)
    port.outb(Reg.ier, 1)
    #expect(port.give((0..<300).map { UInt8(truncatingIfNeeded: $0) }) == 300)
    port.outb(Reg.fcr, 3)
    let driver = LinuxUART(port)
    while line.take() { driver.handleInterrupt() }
    #expect(driver.received == (256..<300).map { UInt8(truncatingIfNeeded: $0) })
  }

  @Test("rings of the doorbell merge until the guest has read one")
  func doorbell() {
    let bell = SerialDoorbell(port)
    bell.ring()
    bell.ring()
    let driver = LinuxUART(port)
    driver.startup()
    bell.ring()
    while line.take() { driver.handleInterrupt() }
    #expect(driver.received == [1])
    bell.ring()
    while line.take() { driver.handleInterrupt() }
    #expect(driver.received == [1, 1])
  }

  @Test("random accesses neither trap nor loop", arguments: [1, 2, 3] as [UInt64])
  func fuzz(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<50_000 {
      let offset = UInt16.random(in: 0...9, using: &random)
      switch UInt8.random(in: 0..<4, using: &random) {
      case 0: port.write(offset: offset, random.bytes(Int.random(in: 0...20, using: &random)).span)
      case 1: _ = mutableBytes(Int.random(in: 0...20, using: &random)) { port.read(offset: offset, into: &$0) }
      case 2: _ = port.give(random.bytes(Int.random(in: 0...300, using: &random)))
      default: _ = port.inputRoom
      }
    }
  }
}
