/// The guest's ACPI tables: hardware-reduced (ACPI 6.5, 4.1), so that the kernel looks for no PIC, PIT, SCI or power button.
public struct ACPITables: Equatable, Sendable {
  /// A 16550 at eight ports.
  public struct SerialPort: Equatable, Sendable {
    public let port: UInt16
    public let gsi: UInt32

    public init(port: UInt16, gsi: UInt32) {
      self.port = port
      self.gsi = gsi
    }
  }

  /// A virtio-mmio transport.
  public struct VirtioDevice: Equatable, Sendable {
    public let address: UInt64
    public let size: UInt64
    public let gsi: UInt32

    public init(address: UInt64, size: UInt64 = Layout.virtioWindowSize, gsi: UInt32) {
      self.address = address
      self.size = size
      self.gsi = gsi
    }
  }

  /// CPUs, with local APIC IDs from 0.
  public var cpuCount: Int
  /// In the order of their unit numbers.
  public var serialPorts: [SerialPort]
  /// In the order of their unit numbers.
  public var virtioDevices: [VirtioDevice]

  /// Tables for a guest with these devices.
  public init(cpuCount: Int, serialPorts: [SerialPort], virtioDevices: [VirtioDevice]) {
    self.cpuCount = cpuCount
    self.serialPorts = serialPorts
    self.virtioDevices = virtioDevices
  }

  /// RSDP, XSDT, FADT, MADT and DSDT, laid out for `Layout.acpi`.
  /// - Throws: when they do not fit, or name a device that they cannot.
  public func bytes() throws(ACPIError) -> [UInt8] {
    let capacity = Int(Layout.acpiEnd - Layout.acpi)
    // Bounded before anything is built: no entry is smaller than 8 bytes.
    guard cpuCount > 0, cpuCount <= capacity / 8 else { throw .cpuCount(cpuCount) }
    guard serialPorts.count <= 9, virtioDevices.count <= 99 else {
      throw .deviceCount(serialPorts.count + virtioDevices.count)
    }
    for device in virtioDevices where device.address > UInt64(UInt32.max) || device.size > UInt64(UInt32.max) {
      throw .deviceAddress(device.address)
    }

    // The RSDP is followed by the tables, each on a 16-byte boundary.
    var blob = [UInt8](repeating: 0, count: 48)
    func place(_ table: [UInt8]) -> UInt64 {
      let address = Layout.acpi + UInt64(blob.count)
      blob += table
      while blob.count % 16 != 0 { blob.append(0) }
      return address
    }
    let dsdt = place(differentiatedDescription())
    let fadt = place(ACPITables.fixedDescription(dsdt: dsdt))
    let madt = place(multipleAPICDescription())
    var root = ACPITable(signature: "XSDT", revision: 1)
    root.append(fadt)
    root.append(madt)
    let xsdt = place(root.finished())
    guard blob.count <= capacity else { throw .tooLarge(blob.count) }
    blob.replaceSubrange(0..<36, with: ACPITables.rootPointer(xsdt: xsdt))
    return blob
  }

  /// Root System Description Pointer (5.2.5.3).
  static func rootPointer(xsdt: UInt64) -> [UInt8] {
    var pointer = Array("RSD PTR ".utf8)
    pointer.append(0)
    pointer += ACPITable.oem
    // Revision 2 has the XSDT's address; there is no RSDT.
    pointer.append(2)
    pointer.appendLittleEndian(UInt32(0))
    pointer.appendLittleEndian(UInt32(36))
    pointer.appendLittleEndian(xsdt)
    pointer += [0, 0, 0, 0]
    // The first checksum covers the 20 bytes of ACPI 1.0, the second all.
    pointer[8] = ACPITable.checksum(pointer[..<20])
    pointer[32] = ACPITable.checksum(pointer[...])
    return pointer
  }

  /// Fixed ACPI Description Table (5.2.9).
  static func fixedDescription(dsdt: UInt64) -> [UInt8] {
    var table = ACPITable(signature: "FACP", revision: 6)
    table.pad(to: 40)
    table.append(UInt32(dsdt))
    table.pad(to: 109)
    // IAPC_BOOT_ARCH (5.2.9.3): VGA not present, CMOS RTC not present; no 8042 and no legacy devices by clear bits.
    table.append(UInt16(0b10_0100))
    table.pad(to: 112)
    // Flags (table 5.10): WBINVD 0, no fixed power button 4, sleep button 5 or RTC wake 6, RESET_REG_SUP 10, HEADLESS 12,
    // HW_REDUCED_ACPI 20.
    var flags: UInt32 = 0
    for bit: UInt32 in [0, 4, 5, 6, 10, 12, 20] { flags |= 1 << bit }
    table.append(flags)
    table.appendPort(Layout.reset)
    table.append(Layout.resetValue)
    table.pad(to: 131)
    // Minor version: this is ACPI 6.5.
    table.append(UInt8(5))
    table.pad(to: 140)
    table.append(dsdt)
    table.pad(to: 244)
    table.appendPort(Layout.sleepControl)
    table.appendPort(Layout.sleepStatus)
    table.append(Array("vmrun\0\0\0".utf8))
    return table.finished()
  }

  /// Multiple APIC Description Table (5.2.12).
  func multipleAPICDescription() -> [UInt8] {
    var table = ACPITable(signature: "APIC", revision: 5)
    table.append(UInt32(Layout.localAPIC))
    // PCAT_COMPAT clear: there is no 8259.
    table.append(UInt32(0))
    for cpu in 0..<cpuCount {
      if cpu < 255 {
        // Processor Local APIC (5.2.12.2), enabled.
        table.append([0, 8, UInt8(cpu), UInt8(cpu)])
        table.append(UInt32(1))
      } else {
        // Processor Local x2APIC (5.2.12.12): ID 255 is the broadcast of the older form.
        table.append([9, 16, 0, 0])
        table.append(UInt32(cpu))
        table.append(UInt32(1))
        table.append(UInt32(cpu))
      }
    }
    // I/O APIC (5.2.12.3), its interrupts from 0 on.
    table.append([1, 12, 0, 0])
    table.append(UInt32(Layout.ioapic))
    table.append(UInt32(0))
    return table.finished()
  }

  /// Differentiated System Description Table (5.2.11.1).
  func differentiatedDescription() -> [UInt8] {
    var devices: [UInt8] = []
    for (index, serial) in serialPorts.enumerated() {
      let resources =
        AML.ioPorts(serial.port, UInt8(Layout.serialPortCount)) + AML.interrupt(serial.gsi)
      devices += AML.device(
        "COM\(index + 1)",
        AML.name("_HID", AML.eisaID("PNP0501")) + AML.name("_UID", AML.integer(UInt64(index + 1)))
          + AML.currentResources(resources))
    }
    for (index, device) in virtioDevices.enumerated() {
      let resources = AML.memory(UInt32(device.address), UInt32(device.size)) + AML.interrupt(device.gsi)
      let name = "V0\(index < 10 ? "0" : "")\(index)"
      // LNRO0005 is virtio-mmio's identifier; _CCA says that its memory accesses are coherent.
      devices += AML.device(
        name,
        AML.name("_HID", AML.string("LNRO0005")) + AML.name("_UID", AML.integer(UInt64(index)))
          + AML.name("_CCA", AML.integer(1)) + AML.currentResources(resources))
    }
    // Revision 2: integers have 64 bits.
    var table = ACPITable(signature: "DSDT", revision: 2)
    let s5 = UInt64(Layout.sleepTypeS5)
    table.append(AML.name(AML.root("_S5"), AML.package([s5, s5, 0, 0])))
    table.append(AML.scope(AML.root("_SB"), devices))
    return table.finished()
  }
}

/// Why there can be no ACPI tables for a machine.
public enum ACPIError: Error, Equatable, CustomStringConvertible {
  case cpuCount(Int)
  case deviceCount(Int)
  case deviceAddress(UInt64)
  case tooLarge(Int)

  public var description: String {
    switch self {
    case .cpuCount(let count): return "ACPI tables for \(count) CPUs cannot be made. Give another number to --cpus."
    case .deviceCount(let count): return "ACPI tables for \(count) devices cannot be made. Give fewer devices."
    case .deviceAddress(let address): return "a device at \(hexadecimal(address)) is not below 4 GiB"
    case .tooLarge(let count):
      return
        "the ACPI tables take \(count) bytes, and there is room for \(Layout.acpiEnd - Layout.acpi). Give fewer CPUs."
    }
  }
}
