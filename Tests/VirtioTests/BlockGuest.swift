import GuestMemory
import System
import TestSupport
import Testing

@testable import Virtio

/// Request types and statuses by their numbers in the standard.
enum Request {
  static let read: UInt32 = 0, write: UInt32 = 1, flush: UInt32 = 4, getID: UInt32 = 8
  static let discard: UInt32 = 11, writeZeroes: UInt32 = 13, secureErase: UInt32 = 14
  static let ok: UInt8 = 0, ioError: UInt8 = 1, unsupported: UInt8 = 2
}

/// A guest with one disk, and a driver of it.
final class BlockGuest: @unchecked Sendable {
  static let header: UInt64 = 0x10000, status: UInt64 = 0x11000, data: UInt64 = 0x20000
  static let allFeatures =
    Features.indirect | Features.eventIndex | Features.blockFlush | Features.blockDiscard | Features.blockWriteZeroes

  let guest: FakeGuest
  let disk: Block
  let driver: QueueDriver

  /// `features` are those that the driver accepts; a size for the queue.
  init(path: String, readOnly: Bool = false, features: UInt64? = nil, size: UInt16 = 64) throws {
    guest = try FakeGuest()
    disk = try Block.open(path: path, readOnly: readOnly, serial: "vmrun-test", memory: guest.memory)
    var accepted = features ?? BlockGuest.allFeatures & ~Features.eventIndex
    if readOnly { accepted &= ~(Features.blockDiscard | Features.blockWriteZeroes) }
    driver = try QueueDriver(device: disk, memory: guest.memory, size: size, features: accepted)
    driver.runDoorbell()
  }

  deinit { driver.transport.reset() }

  /// Writes `struct virtio_blk_req` at `address`.
  func putHeader(_ type: UInt32, _ sector: UInt64, at address: UInt64 = header) throws {
    try guest.memory.store64(GuestAddress(address), UInt64(type) | 0x5555_5555 << 32)
    try guest.memory.store64(GuestAddress(address + 8), sector)
  }

  /// Writes a segment of a discard or write-zeroes request.
  func putSegment(_ index: UInt64, first: UInt64, count: UInt32, flags: UInt32 = 0) throws {
    try guest.memory.store64(GuestAddress(BlockGuest.data + 16 * index), first)
    try guest.memory.store64(GuestAddress(BlockGuest.data + 16 * index + 8), UInt64(count) | UInt64(flags) << 32)
  }

  /// Performs a request with one data buffer; returns its status and the used length.
  @discardableResult
  func request(
    _ type: UInt32, sector: UInt64 = 0, data: QueueDriver.Buffer? = nil
  ) throws -> (status: UInt8, written: UInt32) {
    try putHeader(type, sector)
    try guest.memory.store8(GuestAddress(BlockGuest.status), 0xEE)
    var buffers: [QueueDriver.Buffer] = [.readable(BlockGuest.header, 16)]
    if let data { buffers.append(data) }
    buffers.append(.writable(BlockGuest.status, 1))
    let used = try #require(driver.perform(buffers))
    return (try guest.memory.load8(GuestAddress(BlockGuest.status)), used.written)
  }

  /// Fills the data buffer with `count` copies of `byte`.
  func putData(_ byte: UInt8, count: Int) throws {
    try guest.memory.write(GuestAddress(BlockGuest.data), [UInt8](repeating: byte, count: count))
  }
}
