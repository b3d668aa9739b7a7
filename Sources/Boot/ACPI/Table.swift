/// The bytes of one ACPI table: a common header (ACPI 6.5, 5.2.6), then the table's own fields.
struct ACPITable {
  private(set) var bytes: [UInt8] = []

  /// A table with `signature`, whose length and checksum `finished` fills in.
  init(signature: String, revision: UInt8) {
    bytes += Array(signature.utf8.prefix(4))
    append(UInt32(0))
    append(revision)
    append(UInt8(0))
    bytes += ACPITable.oem
    bytes += Array("VMRUN   ".utf8)
    append(UInt32(1))
    bytes += Array("VMRN".utf8)
    append(UInt32(1))
  }

  /// OEMID.
  static let oem = Array("VMRUN ".utf8)
  /// Bytes of the common header.
  static let headerCount = 36

  mutating func append<Value: FixedWidthInteger>(_ value: Value) { bytes.appendLittleEndian(value) }
  mutating func append(_ more: [UInt8]) { bytes += more }
  /// Appends zeros up to offset `offset`, where the specification places the next field that is not zero.
  mutating func pad(to offset: Int) {
    while bytes.count < offset { bytes.append(0) }
  }

  /// Generic Address Structure (5.2.3.2) of an 8-bit port.
  mutating func appendPort(_ port: UInt16) {
    // System I/O space, 8 bits, offset 0, byte access.
    append([1, 8, 0, 1])
    append(UInt64(port))
  }

  /// The table with its length and checksum.
  func finished() -> [UInt8] {
    var result = bytes
    result.storeLittleEndian(UInt32(result.count), at: 4)
    result[9] = ACPITable.checksum(result[...])
    return result
  }

  /// What makes the sum of all bytes zero modulo 256.
  static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt8 {
    var sum: UInt8 = 0
    for byte in bytes { sum &+= byte }
    return 0 &- sum
  }
}
