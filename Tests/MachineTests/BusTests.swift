import Boot
import Devices
import GuestMemory
import GuestProtocol
import Hypervise
import MinimalGuest
import System
import TestSupport
import Testing
import Virtio

@testable import Machine

private final class Sink: ByteSink, CreditedSink, @unchecked Sendable {
  private let lock = Lock()
  private var taken: [UInt8] = []
  var bytes: [UInt8] { lock.withLock { taken } }
  var room: Int { 1 << 20 }
  func write(_ bytes: Span<UInt8>) { append(bytes) }
  func append(_ bytes: Span<UInt8>) { lock.withLock { for index in bytes.indices { taken.append(bytes[index]) } } }
  func onRoom(_ body: @escaping @Sendable () -> Void) {}
}

private final class Line: InterruptLine { func raise() {} }

private final class Bell: Doorbell { func ring() {} }

private final class Client: PowerClient, PayloadClient, @unchecked Sendable {
  var events: [PowerEvent] = []
  var payloads: [PayloadEvent] = []
  func power(_ event: PowerEvent) { events.append(event) }
  func payload(_ event: PayloadEvent) { payloads.append(event) }
  func payloadTakesInput() {}
}

private final class Messages: MSISink, @unchecked Sendable {
  var delivered: [UInt32] = []
  func deliver(address: UInt64, data: UInt32) { delivered.append(data) }
}

private func write(_ bus: PortBus, _ port: UInt16, _ bytes: [UInt8]) {
  bus.write(port: port, width: bytes.count, bytes.span)
}

private func read(_ bus: PortBus, _ port: UInt16, _ count: Int = 1) -> [UInt8] {
  var bytes = [UInt8](repeating: 0x5A, count: count)
  var span = bytes.mutableSpan
  bus.read(port: port, width: count, into: &span)
  return bytes
}

@Suite struct PortBusTests {
  @Test func everyPortReachesItsDevice() {
    let (console, doorbell, output, errors, client) = (Sink(), Sink(), Sink(), Sink(), Client())
    let channel = PayloadChannel(output: output, errors: errors, doorbell: Bell(), client: client)
    let bus = PortBus(
      console: Serial16550(interrupt: Line(), output: console),
      doorbell: Serial16550(interrupt: Line(), output: doorbell),
      channel: channel, window: nil, client: client)
    write(bus, 0x3F8, [0x41])
    write(bus, 0x2F8, [0x42])
    #expect(console.bytes == [0x41] && doorbell.bytes == [0x42])
    // The scratch registers of both keep what they are given.
    write(bus, 0x3FF, [0x11])
    write(bus, 0x2FF, [0x22])
    #expect(read(bus, 0x3FF) == [0x11] && read(bus, 0x2FF) == [0x22])
    #expect(read(bus, 0x61C, 4) == Array("vrn1".utf8))
    // The ports beside are nobody's.
    for port in [0x3F7, 0x400, 0x2F7, 0x300, 0x60F] as [UInt16] { #expect(read(bus, port) == [0xFF], "\(port)") }
    #expect(client.events.isEmpty && client.payloads.isEmpty)
    write(bus, Layout.phase, [2])
    write(bus, Layout.exit, [7, 0, 0, 0])
    write(bus, Layout.sleepControl, [Layout.sleepControlPowerOff])
    write(bus, Layout.reset, [Layout.resetValue])
    write(bus, 0x64, [0xFE])
    #expect(client.events == [.marker(2), .exit(code: 7), .powerOff, .reboot, .reboot])
    #expect(read(bus, Layout.sleepStatus) == [0])
  }

  /// Without a command, its ports are nobody's.
  @Test func absentDevicesFloat() {
    let client = Client()
    let bus = PortBus(
      console: Serial16550(interrupt: Line(), output: Sink()), doorbell: nil, channel: nil, window: nil, client: client)
    for port in [0x2F8, 0x2FD, 0x610, 0x61C, 0x624, 0x62C, 0x80, 0xFFFF] as [UInt16] {
      write(bus, port, [1])
      #expect(read(bus, port) == [0xFF], "\(port)")
    }
    #expect(client.events.isEmpty)
  }

  @Test func addressesAgreeInEveryRoom() {
    #expect(PayloadChannel.portBase == Layout.payloadOut && ChannelPort.toHost == Layout.payloadOut)
    #expect(PayloadChannel.magic == Layout.payloadMagicValue && ChannelPort.magic == Layout.payloadMagicValue)
    #expect(PowerPorts.sleepControl == Layout.sleepControl && PowerPorts.sleepStatus == Layout.sleepStatus)
    #expect(PowerPorts.reset == Layout.reset && PowerPorts.resetValue == Layout.resetValue)
    #expect(PowerPorts.exit == Layout.exit && PowerPorts.marker == Layout.phase && ChannelPort.phase == Layout.phase)
    #expect(Serial16550.portCount == Layout.serialPortCount && MMIOTransport.windowSize == Layout.virtioWindowSize)
    // The channel's window hides neither virtio windows nor the I/O APIC.
    #expect(Layout.virtioWindow(Layout.virtioDeviceLimit) <= Layout.channelWindow)
    #expect(Layout.channelWindow + Layout.channelWindowSize <= Layout.ioapic)
  }
}

@Suite struct MemoryBusTests {
  @Test func everyWindowReachesItsDevice() throws {
    let messages = Messages()
    let ram = try GuestRAM(count: 1 << 20, holeStart: Layout.holeStart, holeEnd: Layout.holeEnd, hugePages: false)
    let transports = try (0..<2).map { _ in
      try MMIOTransport(device: Entropy(memory: ram), memory: ram, interrupt: FakeInterrupt())
    }
    let bus = MemoryBus(ioapic: IOAPIC(sink: messages), transports: transports)
    // "virt", version 2, entropy (virtio 1.2, 4.2.2 and 5.4).
    for index in 0..<2 {
      let base = Layout.virtioWindow(index)
      #expect(bus.read(address: base, width: 4) == 0x7472_6976)
      #expect(bus.read(address: base + 4, width: 4) == 2 && bus.read(address: base + 8, width: 4) == 4)
    }
    // Each has a state of its own.
    bus.write(address: Layout.virtioWindow(1) + 0x70, width: 4, value: 1)
    #expect(bus.read(address: Layout.virtioWindow(0) + 0x70, width: 4) == 0)
    #expect(bus.read(address: Layout.virtioWindow(1) + 0x70, width: 4) == 1)
    // Register 1 of the I/O APIC: version 0x11 or 0x20, 24 pins (82093AA, 3.2.2).
    bus.write(address: Layout.ioapic, width: 4, value: 1)
    #expect(bus.read(address: Layout.ioapic + 0x10, width: 4) >> 16 & 0xFF == 23)
    for address in [
      Layout.virtioWindow(2), Layout.virtioWindows - 1, Layout.ioapic - 1, Layout.ioapic + Layout.ioapicSize,
      Layout.localAPIC, 0,
      .max,
    ] {
      #expect(bus.read(address: address, width: 4) == .max, "\(String(address, radix: 16))")
      bus.write(address: address, width: 8, value: .max)
    }
    #expect(messages.delivered.isEmpty)
  }

  @Test(arguments: 0...9) func anyWidthIsSurvived(width: Int) throws {
    let bus = MemoryBus(ioapic: IOAPIC(sink: Messages()), transports: [])
    for offset in UInt64(0)..<32 {
      bus.write(address: Layout.ioapic + offset, width: width, value: .max)
      _ = bus.read(address: Layout.ioapic + offset, width: width)
    }
  }
}

@Suite struct MinimalLayoutTests {
  /// Walks the tables as a processor does (Intel SDM volume 3, 4.5): the physical address of a virtual one, or nil.
  private func translate(_ ram: GuestRAM, _ address: UInt64) throws -> UInt64? {
    var table = Layout.pageTables
    for level in [39, 30, 21] as [UInt64] {
      let entry = try ram.load64(GuestAddress(table + (address >> level & 511) * 8))
      guard entry & 3 == 3 else { return nil }
      if level == 21 {
        #expect(entry & 1 << 7 != 0)
        return entry & 0x000F_FFFF_FFE0_0000 | address & 0x1F_FFFF
      }
      #expect(entry & 1 << 7 == 0)
      table = entry & 0x000F_FFFF_FFFF_F000
    }
    return nil
  }

  @Test(arguments: [2 << 20, 3 << 20, 32 << 20, 1 << 30] as [UInt64])
  func memoryIsMappedOntoItselfAndNothingElse(count: UInt64) throws {
    let ram = try GuestRAM(count: 2 << 20, holeStart: Layout.holeStart, holeEnd: Layout.holeEnd, hugePages: false)
    try MinimalLayout.writePageTables(to: ram, mapping: count)
    for address in [0, 0x1234, 0x1F_FFFF, count - 1] { #expect(try translate(ram, address) == address) }
    let end = (count + (2 << 20) - 1) & ~((2 << 20) - 1)
    for address in [end, 1 << 30, 1 << 39, 1 << 47] where address >= end { #expect(try translate(ram, address) == nil) }
    // Only the three tables are written.
    let before = try ram.read(GuestAddress(0), count: Int(Layout.pageTables))
    let behind = try ram.read(GuestAddress(Layout.pageTables + 0x3000), count: 0x10000)
    #expect(before.allSatisfy { $0 == 0 } && behind.allSatisfy { $0 == 0 })
  }

  @Test func goldenTables() throws {
    let ram = try GuestRAM(count: 2 << 20, holeStart: Layout.holeStart, holeEnd: Layout.holeEnd, hugePages: false)
    try MinimalLayout.writePageTables(to: ram, mapping: 4 << 20)
    #expect(try ram.load64(GuestAddress(0x9000)) == 0xA003)
    #expect(try ram.load64(GuestAddress(0xA000)) == 0xB003)
    #expect(try (0..<3).map { try ram.load64(GuestAddress(0xB000 + $0 * 8)) } == [0x83, 0x20_0083, 0])
  }

  @Test func theImageFitsTheLeastMemory() {
    let count = MinimalGuest.withImage { $0.count }
    #expect(count > 0 && MinimalGuest.loadAddress + UInt64(count) <= MinimalLayout.leastMemory)
    #expect(MinimalLayout.registers().rsp % 16 == 8)
  }
}

private let hasKVM: Bool = {
  do {
    _ = try KVM().createVM()
    return true
  } catch {
    Log.message("no tests on KVM: \(error)")
    return false
  }
}()

@Suite(.enabled(if: hasKVM, "KVM cannot be used here; the log says why")) struct ChannelWindowTests {
  private final class Parts {
    let (output, errors, client) = (Sink(), Sink(), Client())
    let channel: PayloadChannel
    let vm: SharedVM
    let window: ChannelWindow

    init() throws {
      channel = PayloadChannel(output: output, errors: errors, doorbell: Bell(), client: client)
      vm = SharedVM(try KVM().createVM())
      window = try ChannelWindow(channel: channel, vm: vm, slot: 5)
    }

    func read(_ port: UInt16) -> UInt32 {
      var bytes: [UInt8] = [9, 9, 9, 9]
      var span = bytes.mutableSpan
      window.read(port: port, into: &span)
      return bytes.enumerated().reduce(0) { $0 | UInt32($1.element) << (UInt32($1.offset) * 8) }
    }
  }

  @Test func tellsWhereItIs() throws {
    let parts = try Parts()
    #expect(UInt64(parts.read(ChannelPort.windowPage)) << 12 == Layout.channelWindow)
    #expect(UInt64(parts.read(ChannelPort.windowSize)) == Layout.channelWindowSize)
    #expect(parts.window.claims(ChannelPort.windowTransfer) && !parts.window.claims(ChannelPort.phase))
    #expect(parts.read(ChannelPort.windowTransfer) == 0)
    // The slot is taken.
    #expect(throws: MachineError.self) { _ = try ChannelWindow(channel: parts.channel, vm: parts.vm, slot: 6) }
  }

  /// Counts that do not fit move nothing; the others reach the channel, which holds the guest to its credit.
  @Test(arguments: [0, 65537, 0xFFFF_FFFF] as [UInt32]) func countsAreBounded(count: UInt32) throws {
    let parts = try Parts()
    let bytes = (0..<4).map { UInt8(truncatingIfNeeded: count >> ($0 * 8)) }
    parts.window.write(port: ChannelPort.windowTransfer, bytes.span)
    parts.window.write(port: ChannelPort.windowTransfer, [1, 0].span)
    parts.window.write(port: ChannelPort.windowPage, [1, 0, 0, 0].span)
    #expect(parts.client.payloads.isEmpty)
    // Without a look at the credit, one byte is too many.
    parts.window.write(port: ChannelPort.windowTransfer, [1, 0, 0, 0].span)
    #expect(parts.client.payloads == [.violated("wrote 1 bytes with 0 bytes of credit")])
  }
}

@Suite(.enabled(if: hasKVM, "KVM cannot be used here; the log says why")) struct MinimalMachineTests {
  private func run(_ words: String, memory: UInt64? = nil, timeout: UInt64? = nil) throws -> (Outcome, String) {
    let file = try TemporaryFile([])
    var configuration = Configuration()
    (configuration.append, configuration.memory, configuration.timeout) = (words, memory, timeout)
    configuration.console = .file(file.path)
    let outcome = Launcher.run(configuration, timeline: Timeline())
    return (outcome, String(decoding: try file.bytes(), as: UTF8.self))
  }

  @Test func saysWhatItSeesAndExitsAsTold() throws {
    let (outcome, text) = try run("exit=42")
    #expect(outcome.exitCode == 42, "\(outcome)")
    #expect(text.contains("KVMKVMKVM") && text.contains("32 MiB") && text.contains("exit=42"))
  }

  @Test func everyByteArrivesInOrder() throws {
    let (outcome, text) = try run("quiet flood=3000 exit=1")
    #expect(outcome.exitCode == 1 && text.utf8.count == 3000)
  }

  @Test(arguments: [("poweroff", 0), ("reset", 121), ("fault", 123), ("halt", 120)] as [(String, Int32)])
  func everyEnd(words: String, code: Int32) throws {
    #expect(try run("quiet " + words).0.exitCode == code)
  }

  @Test(arguments: [2 << 20, 64 << 20, 3 << 30, 5 << 30] as [UInt64]) func anyMemory(size: UInt64) throws {
    let (outcome, text) = try run("exit=3", memory: size)
    #expect(outcome.exitCode == 3 && text.contains("holds data"), "\(outcome): \(text)")
  }

  @Test func tooLittleMemoryIsTold() throws {
    #expect(try run("", memory: 1 << 20).0.message == "--memory: the built-in guest needs at least 2M")
  }
}
