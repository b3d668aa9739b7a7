import CLinux
import System

@testable import Devices

extension Serial16550 {
  func give(_ bytes: [UInt8]) -> Int { receive(bytes.span) }
  func outb(_ offset: UInt16, _ value: UInt8) { write(offset: offset, [value].span) }
  func inb(_ offset: UInt16) -> UInt8 { mutableBytes(1) { read(offset: offset, into: &$0) }[0] }
}

enum Reg {
  static let data: UInt16 = 0
  static let ier: UInt16 = 1
  static let iir: UInt16 = 2
  static let fcr: UInt16 = 2
  static let lcr: UInt16 = 3
  static let mcr: UInt16 = 4
  static let lsr: UInt16 = 5
  static let msr: UInt16 = 6
  static let scr: UInt16 = 7
}

/// Plays Linux's 8250 driver against a port: the accesses that it makes, in its order.
final class LinuxUART {
  enum Detected: Equatable { case absent, uart8250, uart16550, uart16550A, other }

  let port: Serial16550
  private var ier: UInt8 = 0
  /// What the driver has read.
  var received: [UInt8] = []
  /// What the driver is still to send.
  var toSend: ArraySlice<UInt8> = []
  /// Passes of one interrupt after which Linux complains "too much work".
  private(set) var worstPasses = 0

  init(_ port: Serial16550) { self.port = port }

  /// The detection of a port, with the tests for its look-alikes.
  func autoconfig() -> Detected {
    let scratch = port.inb(Reg.ier)
    port.outb(Reg.ier, 0)
    let zeros = port.inb(Reg.ier) & 0x0F
    port.outb(Reg.ier, 0x0F)
    let ones = port.inb(Reg.ier) & 0x0F
    port.outb(Reg.ier, scratch)
    guard zeros == 0, ones == 0x0F else { return .absent }
    let mcr = port.inb(Reg.mcr)
    let lcr = port.inb(Reg.lcr)
    port.outb(Reg.mcr, 0x10 | 0x08 | 0x02)
    let status = port.inb(Reg.msr) & 0xF0
    port.outb(Reg.mcr, mcr)
    guard status == 0x90 else { return .absent }
    port.outb(Reg.lcr, 0xBF)
    port.outb(2, 0)
    port.outb(Reg.lcr, 0)
    port.outb(Reg.fcr, 1)
    let fifo = port.inb(Reg.iir) & 0xC0
    defer {
      port.outb(Reg.mcr, mcr)
      port.outb(Reg.fcr, 0)
      _ = port.inb(Reg.data)
      port.outb(Reg.ier, 0)
      port.outb(Reg.lcr, lcr)
    }
    switch fifo {
    case 0x00:
      let saved = port.inb(Reg.scr)
      port.outb(Reg.scr, 0xA5)
      let first = port.inb(Reg.scr)
      port.outb(Reg.scr, 0x5A)
      let second = port.inb(Reg.scr)
      port.outb(Reg.scr, saved)
      return first == 0xA5 && second == 0x5A ? .uart16550 : .uart8250
    case 0xC0: return isVariant() ? .other : .uart16550A
    default: return .other
    }
  }

  /// Tests for the 16650, 16750 and XScale variants; true when the port pretends to be one.
  private func isVariant() -> Bool {
    port.outb(Reg.lcr, 0x80)
    if port.inb(2) == 0 { return true }
    port.outb(Reg.lcr, 0xBF)
    if port.inb(2) == 0 { return true }
    port.outb(Reg.lcr, 0)
    port.outb(Reg.fcr, 0x01 | 0x20)
    let first = port.inb(Reg.iir) >> 5
    port.outb(Reg.fcr, 1)
    port.outb(Reg.lcr, 0x80)
    port.outb(Reg.fcr, 0x01 | 0x20)
    let second = port.inb(Reg.iir) >> 5
    port.outb(Reg.fcr, 1)
    port.outb(Reg.lcr, 0)
    if first == 6 && second == 7 { return true }
    let saved = port.inb(Reg.ier)
    port.outb(Reg.ier, saved | 0x40)
    defer { port.outb(Reg.ier, saved) }
    return port.inb(Reg.ier) & 0x40 != 0
  }

  /// How many bytes the FIFO holds, by filling it in loopback mode.
  func fifoSize() -> Int {
    let lcr = port.inb(Reg.lcr)
    port.outb(Reg.lcr, 0)
    let mcr = port.inb(Reg.mcr)
    port.outb(Reg.fcr, 0x07)
    port.outb(Reg.mcr, 0x10)
    port.outb(Reg.lcr, 0x80)
    let low = port.inb(0)
    let high = port.inb(1)
    port.outb(0, 1)
    port.outb(1, 0)
    port.outb(Reg.lcr, 3)
    for count in 0..<256 { port.outb(Reg.data, UInt8(count)) }
    var size = 0
    while port.inb(Reg.lsr) & 1 != 0 && size < 256 {
      _ = port.inb(Reg.data)
      size += 1
    }
    port.outb(Reg.fcr, 0)
    port.outb(Reg.mcr, mcr)
    port.outb(Reg.lcr, 0x80)
    port.outb(0, low)
    port.outb(1, high)
    port.outb(Reg.lcr, lcr)
    return size
  }

  /// True when THRE has to be polled by a timer, or the transmitter does not interrupt when it is enabled.
  func hasTransmitterBug() -> Bool {
    port.outb(Reg.ier, 2)
    let first = port.inb(Reg.iir)
    port.outb(Reg.ier, 0)
    port.outb(Reg.ier, 2)
    let second = port.inb(Reg.iir)
    port.outb(Reg.ier, 0)
    if first & 1 == 0 && second & 1 != 0 { return true }
    port.outb(Reg.ier, 2)
    let status = port.inb(Reg.lsr)
    let cause = port.inb(Reg.iir)
    port.outb(Reg.ier, 0)
    return status & 0x40 != 0 && cause & 1 != 0
  }

  /// What opening the tty does, with its blind reads.
  func startup() {
    clearFIFOs()
    blindReads()
    port.outb(Reg.lcr, 3)
    port.outb(Reg.mcr, 0x08)
    _ = hasTransmitterBug()
    blindReads()
    ier = 5
    // set_termios
    port.outb(Reg.ier, 0)
    port.outb(Reg.lcr, 0x83)
    port.outb(0, 1)
    port.outb(1, 0)
    port.outb(Reg.lcr, 3)
    port.outb(Reg.fcr, 1)
    port.outb(Reg.fcr, 0x81)
    port.outb(Reg.mcr, 0x0B)
    port.outb(Reg.ier, ier)
  }

  /// What closing the tty does.
  func shutdown() {
    ier = 0
    port.outb(Reg.ier, 0)
    port.outb(Reg.mcr, 0)
    clearFIFOs()
    _ = port.inb(Reg.data)
  }

  /// printk through the port while the tty may be open: interrupts off, each character polled.
  func consoleWrite(_ bytes: [UInt8]) {
    let saved = port.inb(Reg.ier)
    port.outb(Reg.ier, 0)
    for byte in bytes {
      while port.inb(Reg.lsr) & 0x20 == 0 {}
      port.outb(Reg.data, byte)
    }
    while port.inb(Reg.lsr) & 0x60 != 0x60 {}
    port.outb(Reg.ier, saved)
  }

  /// Bytes from user space to send.
  func startTransmit(_ bytes: [UInt8]) {
    toSend += bytes
    if !toSend.isEmpty && ier & 2 == 0 {
      ier |= 2
      port.outb(Reg.ier, ier)
    }
  }

  /// CRTSCTS: RTS as the line discipline wants it.
  func setRequestToSend(_ on: Bool) { port.outb(Reg.mcr, on ? 0x0B : 0x09) }

  /// The interrupt handler.
  func handleInterrupt() {
    var passes = 0
    while true {
      let iir = port.inb(Reg.iir)
      if iir & 1 != 0 { break }
      passes += 1
      var status = port.inb(Reg.lsr)
      if status & 1 != 0 {
        var budget = 256
        repeat {
          received.append(port.inb(Reg.data))
          budget -= 1
          if budget == 0 { break }
          status = port.inb(Reg.lsr)
        } while status & 1 != 0
      }
      _ = port.inb(Reg.msr)
      if status & 0x20 != 0 && ier & 2 != 0 { transmit() }
    }
    worstPasses = max(worstPasses, passes)
  }

  private func transmit() {
    for _ in 0..<16 {
      guard let byte = toSend.popFirst() else { break }
      port.outb(Reg.data, byte)
    }
    if toSend.isEmpty {
      ier &= ~2
      port.outb(Reg.ier, ier)
    }
  }

  private func clearFIFOs() {
    port.outb(Reg.fcr, 1)
    port.outb(Reg.fcr, 7)
    port.outb(Reg.fcr, 0)
  }

  private func blindReads() {
    _ = port.inb(Reg.lsr)
    _ = port.inb(Reg.data)
    _ = port.inb(Reg.iir)
    _ = port.inb(Reg.msr)
  }
}
