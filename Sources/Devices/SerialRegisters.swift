// Register values of the PC16550D (data sheet, section 8), as far as the device acts on them.
extension Serial16550 {
  /// Interrupt Enable Register bits.
  enum IER {
    static let received: UInt8 = 1
    static let transmitterEmpty: UInt8 = 2
    static let lineStatus: UInt8 = 4
    static let modemStatus: UInt8 = 8
  }

  /// Interrupt Identification Register values, low four bits.
  enum IIR {
    static let modemStatus: UInt8 = 0x0
    static let none: UInt8 = 0x1
    static let transmitterEmpty: UInt8 = 0x2
    static let received: UInt8 = 0x4
    static let lineStatus: UInt8 = 0x6
    static let receiveTimeout: UInt8 = 0xC
  }

  /// FIFO Control Register bits.
  enum FCR {
    static let enable: UInt8 = 0x01
    static let clearReceiver: UInt8 = 0x02
    static let trigger: UInt8 = 0xC0
  }

  /// Line Control Register bits.
  enum LCR {
    static let divisorAccess: UInt8 = 0x80
  }

  /// Modem Control Register bits.
  enum MCR {
    static let terminalReady: UInt8 = 0x01
    static let requestToSend: UInt8 = 0x02
    static let out1: UInt8 = 0x04
    static let out2: UInt8 = 0x08
    static let loopback: UInt8 = 0x10
  }

  /// Line Status Register bits.
  enum LSR {
    static let dataReady: UInt8 = 0x01
    static let overrun: UInt8 = 0x02
    static let transmitterEmpty: UInt8 = 0x20
    static let transmitterIdle: UInt8 = 0x40
  }

  /// Modem Status Register bits.
  enum MSR {
    static let clearToSend: UInt8 = 0x10
    static let dataSetReady: UInt8 = 0x20
    static let ring: UInt8 = 0x40
    static let carrier: UInt8 = 0x80
  }
}
