import GuestMemory
import System
import Virtio

/// Plays a hostile guest against a device behind a virtio-mmio transport, and checks after each life of the device that
/// nothing outside the memory it was given has changed, that it can be reset, and that it then serves a good driver.
///
/// Low RAM is a field that the device may change as it likes. High RAM is a canary. In the host's memory it follows the
/// field at once, so that a byte written past the field's end lands in it; but in the guest's it begins at an address that
/// no mixture of the fuzzer's numbers makes by chance.
public final class VirtioFuzzer: @unchecked Sendable {
  /// What went wrong, in words.
  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  /// What was tried so far.
  public struct Statistics: Sendable {
    public var rounds = 0, steps = 0, racedRounds = 0
    /// Lives that ended in DEVICE_NEEDS_RESET, and requests that devices returned.
    public var needsReset = 0, used = 0
  }

  /// Which device is attacked.
  public enum Kind: Int, CaseIterable, Sendable {
    case entropy, block, blockReadOnly
  }

  public private(set) var statistics = Statistics()

  private static let fieldEnd: UInt64 = 0x40000
  private static let canary: UInt64 = 0x5A5A_5A5A_0000, canaryEnd = canary + 0x40000
  private static let headers: UInt64 = 0x10000, tables: UInt64 = 0x14000, buffers: UInt64 = 0x18000
  private static let size: UInt16 = 16
  private static let diskBytes = 1 << 20

  private let guest: FakeGuest
  private let disk: MemoryFile
  private var drivers: [QueueDriver] = []
  private var driver: QueueDriver
  private var kind = Kind.entropy
  private var paused = false

  public init() throws {
    guest = try FakeGuest(
      count: 2 * VirtioFuzzer.fieldEnd, holeStart: VirtioFuzzer.fieldEnd, holeEnd: VirtioFuzzer.canary)
    disk = try MemoryFile(count: VirtioFuzzer.diskBytes)
    let memory = guest.memory
    for kind in Kind.allCases {
      let device: any VirtioDevice
      switch kind {
      case .entropy: device = Entropy(memory: memory)
      case .block: device = try Block.open(path: disk.path, readOnly: false, serial: "fuzz", memory: memory)
      case .blockReadOnly:
        // A second file, since the first one is locked.
        readOnlyDisk = try MemoryFile(count: VirtioFuzzer.diskBytes)
        device = try Block.open(path: readOnlyDisk?.path ?? "", readOnly: true, serial: "fuzz", memory: memory)
      }
      drivers.append(try QueueDriver(device: device, memory: memory, size: VirtioFuzzer.size, start: false))
    }
    driver = drivers[0]
  }

  private var readOnlyDisk: MemoryFile?

  deinit { for driver in drivers { driver.transport.reset() } }

  /// One life of one device. `raced` lets another thread write to the rings at the same time.
  public func round(_ source: inout FuzzSource, raced: Bool) throws {
    kind = Kind.allCases[source.below(Kind.allCases.count)]
    driver = drivers[kind.rawValue]
    statistics.rounds += 1
    try guest.remember()
    try begin(&source)
    if raced {
      statistics.racedRounds += 1
      let scribbler = Scribbler(guest.memory, seed: source.integer(4))
      let thread = try Thread { scribbler.run() }
      while source.takeStep() { try step(&source) }
      scribbler.stop()
      thread.join()
    } else {
      while source.takeStep() { try step(&source) }
    }
    try check()
  }

  // MARK: Attack

  private func begin(_ source: inout FuzzSource) throws {
    var features = Features.version1
    if source.oneIn(2) { features |= Features.indirect }
    if source.oneIn(2) { features |= Features.eventIndex }
    if kind != .entropy, source.oneIn(2) { features |= Features.blockFlush }
    if kind == .block { features |= Features.blockDiscard | Features.blockWriteZeroes }
    if source.oneIn(16) { features = word(&source) }
    driver.negotiate(features)
    if !source.oneIn(8) { try driver.zeroRings() }
    let size: UInt32 = source.oneIn(8) ? UInt32(truncatingIfNeeded: word(&source)) : UInt32(VirtioFuzzer.size)
    driver.setUpQueue(
      size: size, descriptors: source.oneIn(16) ? address(&source) : QueueDriver.descriptors,
      available: source.oneIn(16) ? address(&source) : QueueDriver.available,
      used: source.oneIn(16) ? address(&source) : QueueDriver.used)
    if !source.oneIn(16) { driver.store(Registers.status, 0xf) }
  }

  private func step(_ source: inout FuzzSource) throws {
    statistics.steps += 1
    switch source.below(16) {
    case 0...5: try submit(&source)
    case 6:
      let places = [QueueDriver.descriptors, QueueDriver.available, QueueDriver.used]
      let place = places[source.below(3)] + 2 * UInt64(source.below(128))
      try guest.memory.store16(GuestAddress(place), half(&source))
    case 7:
      let place = (source.oneIn(2) ? QueueDriver.descriptors : VirtioFuzzer.tables) + 8 * UInt64(source.below(64))
      try guest.memory.store64(GuestAddress(place), source.oneIn(2) ? address(&source) : descriptorWord(&source))
    case 8:
      driver.nextAvailable = half(&source)
      driver.setAvailableIndex(driver.nextAvailable)
    case 9, 10: driver.kick(source.oneIn(8) ? word(&source) : 0)
    case 11: storeRegister(&source)
    case 12:
      _ = driver.transport.read(offset: UInt64(source.integer(2)) % 0x1010, width: 1 << source.below(4))
    case 13: driver.transport.serveDoorbell()
    case 14:
      driver.store(Registers.interruptAcknowledge, driver.load(Registers.interruptStatus))
      if source.oneIn(4) {
        paused.toggle()
        driver.transport.setPaused(paused)
      }
    default: if source.oneIn(4) || driver.needsReset { try begin(&source) }
    }
  }

  /// A request that is good, but for what chance does to it.
  private func submit(_ source: inout FuzzSource) throws {
    let slot = UInt64(source.below(32))
    let header = VirtioFuzzer.headers + 64 * slot
    let types: [UInt64] = [0, 0, 1, 1, 4, 8, 11, 13]
    let type = source.oneIn(16) ? word(&source) & 0xFFFF_FFFF : types[source.below(8)]
    let isRead = type == 0 || type == 8
    try guest.memory.store64(GuestAddress(header), type)
    try guest.memory.store64(GuestAddress(header + 8), source.oneIn(8) ? word(&source) : UInt64(source.below(64)))
    let data = VirtioFuzzer.buffers + 4096 * (slot % 16)
    if type == 11 || type == 13 {
      for index in 0..<UInt64(source.below(4)) {
        try guest.memory.store64(
          GuestAddress(data + 16 * index), source.oneIn(8) ? word(&source) : UInt64(source.byte()))
        try guest.memory.store64(
          GuestAddress(data + 16 * index + 8), UInt64(source.byte()) | (source.oneIn(4) ? 1 << 32 : 0))
      }
    }
    var list: [QueueDriver.Buffer] = kind == .entropy ? [] : [.readable(header, 16)]
    for index in 0..<UInt64(source.below(4)) {
      var count = UInt32([512, 1024, 16, 20, 1, 513, 32, 64][source.below(8)])
      if source.oneIn(16) { count = length(&source) }
      let place = source.oneIn(16) ? address(&source) : data + 1024 * index
      let writable = source.oneIn(16) ? !isRead : isRead || kind == .entropy
      list.append(.init(address: place, count: count, writable: writable))
    }
    if !source.oneIn(16) { list.append(.writable(header + 32, 1)) }
    if list.isEmpty { return }
    let table = VirtioFuzzer.tables + 256 * (slot % 16)
    if source.oneIn(2) { driver.submitIndirect(list, table: table) } else { driver.submit(list) }
    if source.oneIn(4) {
      // One descriptor goes wrong after it was offered.
      let index = UInt16(source.below(Int(VirtioFuzzer.size)))
      let place = source.oneIn(2) ? table : QueueDriver.descriptors
      driver.describe(
        index, address(&source), length(&source), UInt16(source.below(8)), next: half(&source) & 0x1F, table: place)
    }
    if !source.oneIn(4) { driver.kick() }
    while driver.takeUsed() != nil { statistics.used += 1 }
  }

  private func storeRegister(_ source: inout FuzzSource) {
    var offset = 4 * UInt64(source.below(68))
    var width = 4
    if source.oneIn(8) {
      offset = UInt64(source.integer(2)) % 0x1010
      width = 1 << source.below(4)
    }
    var value = word(&source)
    if (0x80..<0xb0).contains(offset), !source.oneIn(4) { value = address(&source) >> (offset & 4 == 0 ? 0 : 32) }
    if offset == Registers.status, !source.oneIn(4) { value = [0, 1, 3, 0xb, 0xf, 0xf, 0x80, 0x40][source.below(8)] }
    driver.transport.write(offset: offset, width: width, value: value)
  }

  // MARK: Numbers

  private func address(_ source: inout FuzzSource) -> UInt64 {
    switch source.below(12) {
    case 0: return VirtioFuzzer.fieldEnd - 8 + UInt64(source.below(16))
    case 1: return VirtioFuzzer.canaryEnd + UInt64(source.byte())
    case 2: return UInt64.max - UInt64(source.below(64))
    case 3: return source.integer(8)
    case 4: return QueueDriver.descriptors + 8 * UInt64(source.integer(2) % 0xC00)
    default: return source.integer(3) % VirtioFuzzer.fieldEnd & ~(source.oneIn(8) ? 0 : 15)
    }
  }

  private func length(_ source: inout FuzzSource) -> UInt32 {
    switch source.below(8) {
    case 0: return 0
    case 1: return UInt32.max - UInt32(source.byte())
    case 2: return 1 << UInt32(source.below(32))
    case 3: return UInt32(16 * source.below(64))
    case 4: return UInt32(VirtioFuzzer.fieldEnd) - UInt32(source.byte())
    default: return UInt32(source.integer(2))
    }
  }

  private func descriptorWord(_ source: inout FuzzSource) -> UInt64 {
    UInt64(length(&source)) | UInt64(source.below(8)) << 32 | UInt64(source.below(20)) << 48
  }

  private func half(_ source: inout FuzzSource) -> UInt16 {
    switch source.below(4) {
    case 0: return driver.nextAvailable &+ UInt16(source.below(4))
    case 1: return UInt16(source.below(20))
    case 2: return [0xFFFF, 0x8000, 0x7FFF, 0xFFFE][source.below(4)]
    default: return UInt16(source.integer(2) & 0xFFFF)
    }
  }

  private func word(_ source: inout FuzzSource) -> UInt64 {
    switch source.below(6) {
    case 0: return UInt64(source.below(20))
    case 1: return UInt64.max
    case 2: return 1 << UInt64(source.below(64))
    case 3: return (1 << UInt64(source.below(64))) &- 1
    case 4: return source.integer(4)
    default: return source.integer(8)
    }
  }

  // MARK: Check

  private func check() throws {
    // Workers may still find something wrong, between the two looks below.
    driver.transport.setPaused(true)
    let broke = driver.needsReset
    if broke { statistics.needsReset += 1 }
    if broke != (driver.transport.failure != nil) { throw Failure(description: "Status and failure disagree") }
    paused = false
    driver.store(Registers.status, 0)
    guard driver.load(Registers.status) == 0, driver.load(Registers.interruptStatus) == 0,
      driver.transport.failure == nil
    else { throw Failure(description: "a reset left something behind") }
    if let address = try guest.firstChange(outside: [0..<VirtioFuzzer.fieldEnd]) {
      throw Failure(description: "byte at \(GuestAddress(address)) was changed, device \(kind)")
    }
    if try disk.count() != VirtioFuzzer.diskBytes { throw Failure(description: "the disk's size changed") }

    try driver.zeroRings()
    driver.negotiate(Features.version1)
    driver.setUpQueue(size: UInt32(VirtioFuzzer.size))
    driver.store(Registers.status, 0xf)
    let header = VirtioFuzzer.headers
    try guest.memory.zero(GuestAddress(header), count: 64)
    let good: [QueueDriver.Buffer] =
      kind == .entropy
      ? [.writable(VirtioFuzzer.buffers, 513)]
      : [.readable(header, 16), .writable(VirtioFuzzer.buffers, 512), .writable(header + 32, 1)]
    guard driver.perform(good) == .init(head: 0, written: 513), try guest.memory.load8(GuestAddress(header + 32)) == 0
    else {
      throw Failure(
        description: "the device \(kind) does not work after a reset: "
          + "\(driver.transport.failure.map(\.description) ?? "no answer")")
    }
    driver.store(Registers.status, 0)
  }
}

/// Writes to the rings, tables and headers while a device works with them.
private final class Scribbler: @unchecked Sendable {
  private let memory: GuestRAM
  private var random: SeededRandom
  private let lock = Lock()
  private var stopping = false

  init(_ memory: GuestRAM, seed: UInt64) {
    self.memory = memory
    random = SeededRandom(seed: seed)
  }

  func stop() { lock.withLock { stopping = true } }

  func run() {
    while !lock.withLock({ stopping }) {
      for _ in 0..<64 {
        let word = random.next()
        let descriptor = (word & 1 == 0 ? QueueDriver.descriptors : 0x14000) + 16 * (word >> 8 & 15)
        switch word >> 1 & 7 {
        case 0: try? memory.store64(GuestAddress(descriptor), word >> 16 & 0x3FFF8)
        case 1: try? memory.store64(GuestAddress(descriptor), 0x3FFF0 + (word >> 16 & 31))
        case 2:
          let count = word & 0x100 == 0 ? word >> 16 & 0x3FFF : word >> 16 & 0xFFFF_FFFF
          try? memory.store64(GuestAddress(descriptor + 8), count | (word >> 48 & 7) << 32 | (word >> 56 & 15) << 48)
        case 3: try? memory.store16(GuestAddress(descriptor + 14), UInt16(word >> 16 & 31))
        case 4: try? memory.store16(GuestAddress(descriptor + 12), UInt16(word >> 16 & 7))
        case 5:
          try? memory.store16(GuestAddress(QueueDriver.available + 4 + 2 * (word >> 8 & 15)), UInt16(word >> 16 & 15))
        case 6: try? memory.store64(GuestAddress(0x10000 + 64 * (word >> 8 & 31)), word >> 16 & 15)
        default: try? memory.store16(GuestAddress(QueueDriver.available + 2), UInt16(word >> 16 & 0xFFFF))
        }
      }
    }
  }
}
