import Boot
import Devices
import System
import Virtio

/// Who is told what the guest asks of the machine as a whole. Called on vCPU threads.
protocol PowerClient: AnyObject, Sendable {
  func power(_ event: PowerEvent)
}

/// The ports of a Linux machine. Immutable while vCPUs run.
final class PortBus: PortSpace, @unchecked Sendable {
  private let console: Serial16550
  private let doorbell: Serial16550?
  private let channel: PayloadChannel?
  private let window: ChannelWindow?
  private let client: any PowerClient

  init(
    console: Serial16550, doorbell: Serial16550?, channel: PayloadChannel?, window: ChannelWindow?,
    client: any PowerClient
  ) {
    self.console = console
    self.doorbell = doorbell
    self.channel = channel
    self.window = window
    self.client = client
  }

  func write(port: UInt16, width: Int, _ bytes: Span<UInt8>) {
    if let offset = Self.offset(port, Layout.com1, Serial16550.portCount) {
      return console.write(offset: offset, bytes)
    }
    if let channel, let offset = Self.offset(port, PayloadChannel.portBase, PayloadChannel.portCount) {
      return channel.write(offset: offset, bytes)
    }
    if let doorbell, let offset = Self.offset(port, Layout.com2, Serial16550.portCount) {
      return doorbell.write(offset: offset, bytes)
    }
    if let window, window.claims(port) { return window.write(port: port, bytes) }
    let event = PowerPorts.claims(port) ? PowerPorts.write(port: port, bytes) : LegacyPorts.write(port: port, bytes)
    if let event { client.power(event) }
  }

  func read(port: UInt16, width: Int, into bytes: inout MutableSpan<UInt8>) {
    if let offset = Self.offset(port, Layout.com1, Serial16550.portCount) {
      return console.read(offset: offset, into: &bytes)
    }
    if let channel, let offset = Self.offset(port, PayloadChannel.portBase, PayloadChannel.portCount) {
      return channel.read(offset: offset, into: &bytes)
    }
    if let doorbell, let offset = Self.offset(port, Layout.com2, Serial16550.portCount) {
      return doorbell.read(offset: offset, into: &bytes)
    }
    if let window, window.claims(port) { return window.read(port: port, into: &bytes) }
    if PowerPorts.claims(port) {
      PowerPorts.read(port: port, into: &bytes)
    } else {
      LegacyPorts.read(port: port, into: &bytes)
    }
  }

  @inline(__always)
  private static func offset(_ port: UInt16, _ base: UInt16, _ count: UInt16) -> UInt16? {
    port >= base && port - base < count ? port - base : nil
  }
}

/// What is not RAM in a Linux machine's memory: the I/O APIC and the virtio windows. Immutable while vCPUs run.
final class MemoryBus: MemorySpace, @unchecked Sendable {
  private let ioapic: IOAPIC
  private let transports: [MMIOTransport]

  init(ioapic: IOAPIC, transports: [MMIOTransport]) {
    self.ioapic = ioapic
    self.transports = transports
  }

  func write(address: UInt64, width: Int, value: UInt64) {
    if let (transport, offset) = transport(address) {
      return transport.write(offset: offset, width: width, value: value)
    }
    guard address >= Layout.ioapic, address - Layout.ioapic < Layout.ioapicSize else { return }
    let bytes = InlineArray<8, UInt8> { UInt8(truncatingIfNeeded: value >> (UInt64($0) * 8)) }
    ioapic.write(offset: address - Layout.ioapic, bytes.span.extracting(first: min(width, 8)))
  }

  func read(address: UInt64, width: Int) -> UInt64 {
    if let (transport, offset) = transport(address) { return transport.read(offset: offset, width: width) }
    // Nobody answers: all ones, as on a PC's bus.
    guard address >= Layout.ioapic, address - Layout.ioapic < Layout.ioapicSize else { return .max }
    // Its registers are 32 bits wide.
    var bytes = InlineArray<4, UInt8>(repeating: 0)
    var span = bytes.mutableSpan
    ioapic.read(offset: address - Layout.ioapic, into: &span)
    var value: UInt64 = 0
    for index in 0..<4 { value |= UInt64(bytes[index]) << (UInt64(index) * 8) }
    return value
  }

  @inline(__always)
  private func transport(_ address: UInt64) -> (MMIOTransport, UInt64)? {
    guard address >= Layout.virtioWindows else { return nil }
    let offset = address - Layout.virtioWindows
    let index = offset / Layout.virtioWindowSize
    guard index < UInt64(transports.count) else { return nil }
    return (transports[Int(index)], offset % Layout.virtioWindowSize)
  }
}
