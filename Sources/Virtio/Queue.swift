import CLinux
import GuestMemory

/// The device's side of a split virtqueue (virtio 1.2, section 2.7).
///
/// The three areas lie in guest memory, where a hostile driver may change them at any moment. Hence: the areas' addresses
/// are checked once and kept here; each index, flag and descriptor is read once, checked, and used only as it was read;
/// each walk is bounded by the queue's size. Not synchronised: its device calls it under the device's lock.
public final class Queue: @unchecked Sendable {
  /// Descriptors in the table, a power of two up to 32768.
  public let size: UInt16

  private let memory: GuestRAM
  private let descriptors: GuestAddress
  private let available: GuestAddress
  private let used: GuestAddress
  private let hasIndirect: Bool
  private let hasEventIndex: Bool

  private var enabled = true
  /// Free-running, like the rings' own indices: where the next chain is taken from and returned to.
  private var nextAvailable: UInt16 = 0
  private var nextUsed: UInt16 = 0
  /// Chains taken and not yet returned.
  private var inFlight: UInt16 = 0
  /// `nextUsed` when the driver was last asked whether it wants an interrupt.
  private var lastSignalled: UInt16 = 0
  /// What `flags` or `avail_event` of the used ring was last set to; nil before it was.
  private var notificationsOn: Bool?

  /// A queue of `size` descriptors with its areas at these addresses in `memory`, for a driver that agreed to `features`.
  /// - Throws: a `QueueError` when the size or an address is not what section 2.7 allows.
  init(
    memory: GuestRAM, size: UInt32, maximum: UInt16, descriptors: GuestAddress, available: GuestAddress,
    used: GuestAddress, features: UInt64
  ) throws(QueueError) {
    guard let size = UInt16(exactly: size), size > 0, size <= maximum, size & (size - 1) == 0, size <= 1 << 15 else {
      throw .queueSize(size, maximum: maximum)
    }
    // The sizes of section 2.7, with the event fields counted whether they are used or not.
    let entries = UInt64(size)
    let table = try Queue.area(.descriptorTable, descriptors, 16 * entries, alignment: 16, memory)
    let ring = try Queue.area(.availableRing, available, 6 + 2 * entries, alignment: 2, memory)
    let done = try Queue.area(.usedRing, used, 6 + 8 * entries, alignment: 4, memory)
    guard !table.overlaps(ring), !table.overlaps(done), !ring.overlaps(done) else { throw .areasOverlap }
    self.memory = memory
    self.size = size
    self.descriptors = descriptors
    self.available = available
    self.used = used
    hasIndirect = features & Feature.indirect != 0
    hasEventIndex = features & Feature.eventIndex != 0
  }

  private static func area(
    _ area: QueueArea, _ address: GuestAddress, _ count: UInt64, alignment: UInt64, _ memory: GuestRAM
  ) throws(QueueError) -> Range<UInt64> {
    guard address.value & (alignment - 1) == 0 else { throw .misaligned(area, address) }
    guard memory.contains(address, count: count) else { throw .areaOutsideRAM(area, address) }
    return address.value..<address.value + count
  }

  // MARK: Taking chains

  /// Takes the next chain that the driver offers into `chain`; false when there is none.
  /// - Throws: what is wrong with the ring or the chain. The queue is of no use any more.
  public func pop(into chain: DescriptorChain) throws(QueueError) -> Bool {
    guard try hasPending() else { return false }
    // Each chain in flight holds at least one descriptor, so there cannot be more of them.
    guard inFlight < size else { throw .tooManyChains }
    let head = try load16(available, 4 + 2 * UInt64(nextAvailable & (size - 1)))
    guard head < size else { throw .headOutOfRange(head) }
    nextAvailable &+= 1
    inFlight += 1
    try walk(from: head, into: chain)
    return true
  }

  /// Whether the driver offers a chain.
  public func hasPending() throws(QueueError) -> Bool {
    guard enabled else { return false }
    // Acquire: what the driver wrote before it raised the index (section 2.7.13.3.1) is seen after this load.
    let index: UInt16
    do { index = try memory.load16Acquire(GuestAddress(available.value &+ 2)) } catch {
      throw .areaOutsideRAM(.availableRing, available)
    }
    guard index &- nextAvailable <= size else { throw .availableIndex(index, last: nextAvailable) }
    return index != nextAvailable
  }

  private func walk(from head: UInt16, into chain: DescriptorChain) throws(QueueError) {
    chain.begin(head: head)
    var table = descriptors
    var count = UInt32(size)
    var index = head
    var inTable = false
    var budget = size
    while true {
      guard UInt32(index) < count else { throw .nextOutOfRange(index) }
      let entry = try descriptor(at: GuestAddress(table.value &+ 16 * UInt64(index)))
      if entry.flags & VRING_DESC_F_INDIRECT != 0 {
        guard hasIndirect else { throw .indirectNotNegotiated }
        guard !inTable else { throw .indirectNested }
        guard entry.flags & VRING_DESC_F_NEXT == 0 else { throw .indirectWithNext }
        guard entry.count > 0, entry.count & 15 == 0 else { throw .indirectLength(entry.count) }
        guard memory.contains(entry.address, count: UInt64(entry.count)) else {
          throw .indirectOutsideRAM(entry.address, entry.count)
        }
        // Section 2.7.5.3.2: the write flag of this one is ignored, and buffers may have come before it.
        inTable = true
        table = entry.address
        count = entry.count / 16
        index = 0
        continue
      }
      guard budget > 0 else { throw .chainTooLong }
      budget -= 1
      try chain.append(entry.address, count: entry.count, writable: entry.flags & VRING_DESC_F_WRITE != 0)
      guard entry.flags & VRING_DESC_F_NEXT != 0 else { return }
      index = entry.next
    }
  }

  private struct Descriptor {
    let address: GuestAddress
    let count: UInt32
    let flags: Int32
    let next: UInt16
  }

  /// `struct virtq_desc` (section 2.7.5) at `address`, which was checked to be in RAM.
  private func descriptor(at address: GuestAddress) throws(QueueError) -> Descriptor {
    do {
      let buffer = try memory.load64(address)
      let rest = try memory.load64(GuestAddress(address.value &+ 8))
      return Descriptor(
        address: GuestAddress(buffer), count: UInt32(truncatingIfNeeded: rest),
        flags: Int32(UInt16(truncatingIfNeeded: rest >> 32)), next: UInt16(truncatingIfNeeded: rest >> 48))
    } catch { throw .areaOutsideRAM(.descriptorTable, address) }
  }

  // MARK: Returning chains

  /// Returns the chain whose first descriptor is `head`, of whose device-writable bytes the first `written` were written.
  public func push(head: UInt16, written: UInt32) throws(QueueError) {
    guard enabled else { return }
    let entry = GuestAddress(used.value &+ 4 &+ 8 * UInt64(nextUsed & (size - 1)))
    nextUsed &+= 1
    inFlight -= min(inFlight, 1)
    do {
      try memory.store64(entry, UInt64(head) | UInt64(written) << 32)
      // Release: the buffers' bytes and the entry are seen before the index (section 2.7.8.2).
      try memory.store16Release(GuestAddress(used.value &+ 2), nextUsed)
    } catch { throw .areaOutsideRAM(.usedRing, used) }
  }

  /// Whether the driver wants an interrupt for what was pushed since the last call (section 2.7.7.2).
  public func needsInterrupt() throws(QueueError) -> Bool {
    guard enabled, nextUsed != lastSignalled else { return false }
    let last = lastSignalled
    lastSignalled = nextUsed
    // The driver writes its wish, then looks at the used index again; here it is the other way round. Both need a full
    // barrier in between, or both could look too early.
    clinux_fence()
    if hasEventIndex {
      // Wanted when the entry with the index `event` is among those pushed: last <= event < nextUsed, modulo 2^16.
      let event = try load16(available, 4 + 2 * UInt64(size))
      return event &- last < nextUsed &- last
    }
    return Int32(try load16(available, 0)) & VRING_AVAIL_F_NO_INTERRUPT == 0
  }

  // MARK: Notifications by the driver

  /// Asks the driver to notify the device of the next chain (section 2.7.10). Returns whether some chain is already there,
  /// of which no notification may come.
  public func enableNotifications() throws(QueueError) -> Bool {
    guard enabled else { return false }
    if hasEventIndex {
      try store16(used, 4 + 8 * UInt64(size), nextAvailable)
    } else if notificationsOn != true {
      try store16(used, 0, 0)
    }
    notificationsOn = true
    // As in `needsInterrupt`, with the roles exchanged.
    clinux_fence()
    return try hasPending()
  }

  /// Tells the driver that the device looks at the ring anyway. Only a hint: notifications may still come.
  public func disableNotifications() throws(QueueError) {
    // With event indices the one that was passed is left standing, which has this effect by itself.
    guard enabled, !hasEventIndex, notificationsOn != false else { return }
    try store16(used, 0, UInt16(VRING_USED_F_NO_NOTIFY))
    notificationsOn = false
  }

  /// QueueReady became 0: the areas are not touched from now on (section 4.2.2.1). The device is idle.
  func disable() { enabled = false }

  private func load16(_ area: GuestAddress, _ offset: UInt64) throws(QueueError) -> UInt16 {
    do { return try memory.load16(GuestAddress(area.value &+ offset)) } catch {
      throw .areaOutsideRAM(.availableRing, area)
    }
  }

  private func store16(_ area: GuestAddress, _ offset: UInt64, _ value: UInt16) throws(QueueError) {
    do { try memory.store16(GuestAddress(area.value &+ offset), value) } catch {
      throw .areaOutsideRAM(.usedRing, area)
    }
  }
}
