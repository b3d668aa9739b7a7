import TestSupport
import Testing

@testable import Boot

/// A reader of the tables that shares no code with their writer.
struct ACPIReader {
  let blob: [UInt8]

  func integer(_ offset: Int, _ count: Int) -> UInt64 {
    blob[offset..<offset + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  func text(_ offset: Int, _ count: Int) -> String { String(decoding: blob[offset..<offset + count], as: UTF8.self) }

  func sum(_ offset: Int, _ count: Int) -> UInt8 { blob[offset..<offset + count].reduce(0, &+) }

  /// The offset and length of the table at guest address `address`, whose checksum must be right.
  func table(_ address: UInt64) throws -> (offset: Int, count: Int) {
    let offset = Int(address - 0xE_0000)
    let count = Int(integer(offset + 4, 4))
    try #require(offset >= 36 && offset + count <= blob.count)
    #expect(sum(offset, count) == 0)
    return (offset, count)
  }

  func tables() throws -> [String: (offset: Int, count: Int)] {
    #expect(text(0, 8) == "RSD PTR ")
    #expect(sum(0, 20) == 0)
    #expect(sum(0, 36) == 0)
    #expect(blob[15] == 2)
    let xsdt = try table(integer(24, 8))
    #expect(text(xsdt.offset, 4) == "XSDT")
    var found: [String: (offset: Int, count: Int)] = [:]
    for entry in stride(from: xsdt.offset + 36, to: xsdt.offset + xsdt.count, by: 8) {
      let place = try table(integer(entry, 8))
      found[text(place.offset, 4)] = place
    }
    let fadt = try #require(found["FACP"])
    #expect(integer(fadt.offset + 40, 4) == integer(fadt.offset + 140, 8))
    found["DSDT"] = try table(integer(fadt.offset + 140, 8))
    return found
  }
}

/// Decodes the few AML terms of the DSDT.
struct AMLReader {
  indirect enum Value: Equatable {
    case integer(UInt64), string(String), buffer([UInt8]), package([Value])
  }

  struct Failure: Error {}

  let bytes: [UInt8]
  var offset = 0
  /// Names with their full paths, in order.
  var names: [(path: String, value: Value)] = []

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func byte() throws -> UInt8 {
    guard offset < bytes.count else { throw Failure() }
    defer { offset += 1 }
    return bytes[offset]
  }

  mutating func integer(_ count: Int) throws -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<count { value |= UInt64(try byte()) << UInt64(8 * index) }
    return value
  }

  /// Returns where the package ends.
  mutating func packageEnd() throws -> Int {
    let start = offset
    let lead = try byte()
    let follow = Int(lead >> 6)
    var length = follow == 0 ? Int(lead & 0x3F) : Int(lead & 0xF)
    for index in 0..<follow { length |= Int(try byte()) << (4 + 8 * index) }
    guard start + length <= bytes.count else { throw Failure() }
    return start + length
  }

  mutating func name() throws -> String {
    var text = ""
    if bytes[offset] == 0x5C {
      text = "\\"
      offset += 1
    }
    for _ in 0..<4 { text.unicodeScalars.append(Unicode.Scalar(try byte())) }
    return text
  }

  mutating func value() throws -> Value {
    switch try byte() {
    case 0x00: return .integer(0)
    case 0x01: return .integer(1)
    case 0x0A: return .integer(try integer(1))
    case 0x0B: return .integer(try integer(2))
    case 0x0C: return .integer(try integer(4))
    case 0x0E: return .integer(try integer(8))
    case 0x0D:
      var text = ""
      while case let next = try byte(), next != 0 { text.unicodeScalars.append(Unicode.Scalar(next)) }
      return .string(text)
    case 0x11:
      let end = try packageEnd()
      guard case .integer(let count) = try value(), offset + Int(count) == end else { throw Failure() }
      defer { offset = end }
      return .buffer(Array(bytes[offset..<end]))
    case 0x12:
      let end = try packageEnd()
      let count = try byte()
      let values = try (0..<count).map { _ in try value() }
      guard offset == end else { throw Failure() }
      return .package(values)
    default: throw Failure()
    }
  }

  mutating func terms(until end: Int, in path: String) throws {
    while offset < end {
      switch try byte() {
      case 0x08:
        let name = try name()
        names.append((path + (path.isEmpty || name.hasPrefix("\\") ? "" : ".") + name, try value()))
      case 0x10:
        let end = try packageEnd()
        let name = try name()
        try terms(until: end, in: name)
      case 0x5B:
        guard try byte() == 0x82 else { throw Failure() }
        let end = try packageEnd()
        let name = try name()
        try terms(until: end, in: path + "." + name)
      default: throw Failure()
      }
    }
    guard offset == end else { throw Failure() }
  }

  func callAsFunction(_ path: String) -> Value? { names.first { $0.path == path }?.value }
}

@Suite struct ACPITests {
  static func machine(cpus: Int = 4, devices: Int = 3) -> ACPITables {
    ACPITables(
      cpuCount: cpus,
      serialPorts: [.init(port: Layout.com1, gsi: Layout.com1GSI), .init(port: Layout.com2, gsi: Layout.com2GSI)],
      virtioDevices: (0..<devices).map { .init(address: Layout.virtioWindow($0), gsi: Layout.virtioGSI($0)) })
  }

  @Test func rootPointer() {
    var golden = Array("RSD PTR ".utf8) + [0xFB] + Array("VMRUN ".utf8) + [2, 0, 0, 0, 0, 36, 0, 0, 0]
    golden += [0x90, 0x12, 0x0E, 0, 0, 0, 0, 0, 0x2B, 0, 0, 0]
    let actual = ACPITables.rootPointer(xsdt: 0xE_1290)
    for offset in golden.indices where offset != 8 && offset != 32 { #expect(actual[offset] == golden[offset]) }
    #expect(actual.count == 36)
    #expect(actual[..<20].reduce(0, &+) == 0)
    #expect(actual.reduce(0, &+) == 0)
  }

  @Test func fixedDescription() throws {
    let reader = ACPIReader(blob: try ACPITests.machine().bytes())
    let fadt = try #require(try reader.tables()["FACP"])
    func field(_ offset: Int, _ count: Int) -> UInt64 { reader.integer(fadt.offset + offset, count) }
    #expect(fadt.count == 276)
    #expect(field(8, 1) == 6)
    #expect(field(131, 1) == 5)
    // Every fixed hardware register is absent.
    for offset in 36..<40 { #expect(field(offset, 1) == 0) }
    for offset in 45..<109 { #expect(field(offset, 1) == 0) }
    for offset in 148..<244 { #expect(field(offset, 1) == 0) }
    let boot = field(109, 2)
    #expect(boot & 1 == 0 && boot & 2 == 0 && boot & 4 != 0 && boot & 0x20 != 0)
    let flags = field(112, 4)
    #expect(flags & 1 << 10 != 0 && flags & 1 << 20 != 0)
    for (offset, port) in [(116, 0x602), (244, 0x600), (256, 0x601)] as [(Int, UInt64)] {
      #expect(field(offset, 1) == 1)
      #expect(field(offset + 1, 1) == 8)
      #expect(field(offset + 2, 1) == 0)
      #expect(field(offset + 4, 8) == port)
    }
    #expect(field(128, 1) == 1)
  }

  @Test(arguments: [1, 4, 255, 256, 1000])
  func interruptControllers(cpus: Int) throws {
    let reader = ACPIReader(blob: try ACPITests.machine(cpus: cpus).bytes())
    let madt = try #require(try reader.tables()["APIC"])
    #expect(reader.integer(madt.offset + 36, 4) == 0xFEE0_0000)
    #expect(reader.integer(madt.offset + 40, 4) == 0)
    var ids: [UInt64] = []
    var controllers = 0
    var offset = madt.offset + 44
    while offset < madt.offset + madt.count {
      switch reader.blob[offset] {
      case 0:
        #expect(reader.blob[offset + 1] == 8)
        #expect(reader.integer(offset + 4, 4) == 1)
        ids.append(reader.integer(offset + 3, 1))
      case 9:
        #expect(reader.blob[offset + 1] == 16)
        #expect(reader.integer(offset + 8, 4) == 1)
        ids.append(reader.integer(offset + 4, 4))
      case 1:
        controllers += 1
        #expect(reader.integer(offset + 4, 4) == 0xFEC0_0000)
        #expect(reader.integer(offset + 8, 4) == 0)
      default: Issue.record("entry of type \(reader.blob[offset])")
      }
      offset += Int(reader.blob[offset + 1])
    }
    #expect(offset == madt.offset + madt.count)
    #expect(ids == (0..<UInt64(cpus)).map { $0 })
    #expect(controllers == 1)
  }

  @Test(arguments: [0, 1, 3, 19])
  func devices(count: Int) throws {
    let blob = try ACPITests.machine(devices: count).bytes()
    let reader = ACPIReader(blob: blob)
    let dsdt = try #require(try reader.tables()["DSDT"])
    #expect(reader.blob[dsdt.offset + 8] == 2)
    var aml = AMLReader(Array(blob[dsdt.offset + 36..<dsdt.offset + dsdt.count]))
    try aml.terms(until: aml.bytes.count, in: "")
    #expect(aml("\\_S5_") == .package([.integer(5), .integer(5), .integer(0), .integer(0)]))
    for (name, port, gsi) in [("COM1", 0x3F8, 4), ("COM2", 0x2F8, 3)] as [(String, UInt16, UInt32)] {
      // EISAID("PNP0501"), as every firmware's tables have it.
      #expect(aml("\\_SB_.\(name)._HID") == .integer(0x0105_D041))
      let low = UInt8(port & 0xFF)
      let high = UInt8(port >> 8)
      #expect(
        aml("\\_SB_.\(name)._CRS")
          == .buffer([0x47, 1, low, high, low, high, 1, 8, 0x89, 6, 0, 3, 1, UInt8(gsi), 0, 0, 0, 0x79, 0]))
    }
    for index in 0..<count {
      let name = "\\_SB_.V0\(index < 10 ? "0" : "")\(index)"
      #expect(aml("\(name)._HID") == .string("LNRO0005"))
      #expect(aml("\(name)._UID") == .integer(UInt64(index)))
      #expect(aml("\(name)._CCA") == .integer(1))
      let memory = [0x86, 9, 0, 1] + SyntheticKernel.little(UInt32(0xD000_0000) + UInt32(index) * 4096)
      let interrupt = [0x00, 0x10, 0, 0, 0x89, 6, 0, 3, 1, UInt8(5 + index), 0, 0, 0, 0x79, 0]
      #expect(aml("\(name)._CRS") == .buffer(memory + interrupt))
    }
    #expect(aml.names.filter { $0.path.hasSuffix("_HID") }.count == count + 2)
  }

  @Test func impossibleMachines() {
    #expect(throws: ACPIError.cpuCount(0)) { try ACPITests.machine(cpus: 0).bytes() }
    #expect(throws: ACPIError.cpuCount(.max)) { try ACPITests.machine(cpus: .max).bytes() }
    #expect(throws: ACPIError.self) { try ACPITests.machine(cpus: 16000).bytes() }
    #expect(throws: ACPIError.deviceCount(102)) { try ACPITests.machine(devices: 100).bytes() }
    let high = ACPITables(cpuCount: 1, serialPorts: [], virtioDevices: [.init(address: 1 << 32, gsi: 5)])
    #expect(throws: ACPIError.deviceAddress(1 << 32)) { try high.bytes() }
  }

  @Test func packageLengths() {
    #expect(AML.packageLength(62) == [63])
    #expect(AML.packageLength(63) == [0x41, 0x04])
    #expect(AML.packageLength(4093) == [0x4F, 0xFF])
    #expect(AML.packageLength(4094) == [0x81, 0x00, 0x01])
    #expect(AML.packageLength((1 << 20) - 4) == [0x8F, 0xFF, 0xFF])
    #expect(AML.packageLength((1 << 20) - 3) == [0xC1, 0x00, 0x00, 0x01])
  }

  @Test func integers() {
    #expect(AML.integer(0) == [0])
    #expect(AML.integer(1) == [1])
    #expect(AML.integer(2) == [0x0A, 2])
    #expect(AML.integer(0x100) == [0x0B, 0, 1])
    #expect(AML.integer(0x1_0000) == [0x0C, 0, 0, 1, 0])
    #expect(AML.integer(1 << 32) == [0x0E, 0, 0, 0, 0, 1, 0, 0, 0])
  }

  static let hasCompiler = Shell.run("command -v iasl > /dev/null") == 0

  /// The reference implementation disassembles the tables and compiles the result again.
  @Test(.enabled(if: hasCompiler, "iasl (Debian: acpica-tools) is not installed"))
  func referenceImplementationAccepts() throws {
    let blob = try ACPITests.machine(devices: 19).bytes()
    let folder = try TemporaryFolder()
    for (name, place) in try ACPIReader(blob: blob).tables() {
      _ = try folder.write("\(name).aml", Array(blob[place.offset..<place.offset + place.count]))
      #expect(Shell.run("cd '\(folder.path)' && iasl -d \(name).aml > \(name).log 2>&1") == 0)
      let log = String(decoding: try folder.read("\(name).log"), as: UTF8.self)
      #expect(!log.lowercased().contains("error") && !log.contains("Warning"), "\(log)")
    }
    #expect(Shell.run("cd '\(folder.path)' && iasl -we -p again DSDT.dsl > again.log 2>&1") == 0)
    let source = String(decoding: try folder.read("DSDT.dsl"), as: UTF8.self)
    #expect(source.contains("EisaId (\"PNP0501\")"))
    #expect(source.contains("Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive"))
    #expect(source.contains("Memory32Fixed (ReadWrite,"))
    let fadt = String(decoding: try folder.read("FACP.dsl"), as: UTF8.self)
    #expect(fadt.contains("Hardware Reduced (V5) : 1"))
    #expect(fadt.contains("Reset Register Supported (V2) : 1"))
  }
}
