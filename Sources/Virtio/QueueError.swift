import GuestMemory
import System

/// The parts of guest memory that a virtqueue consists of.
public enum QueueArea: Equatable, Sendable {
  case descriptorTable, availableRing, usedRing

  var text: String {
    switch self {
    case .descriptorTable: return "descriptor table"
    case .availableRing: return "available ring"
    case .usedRing: return "used ring"
    }
  }
}

/// A rule of the standard that the driver broke, or what kept the device from going on. The device then sets
/// DEVICE_NEEDS_RESET (virtio 1.2, section 2.1.2) and does nothing until it is reset.
public enum QueueError: Error, Equatable, CustomStringConvertible {
  /// Section 2.7: the queue's size is no power of two from 1 to the maximum.
  case queueSize(UInt32, maximum: UInt16)
  /// Section 2.7.1: an area is not aligned to 16, 2 or 4 bytes.
  case misaligned(QueueArea, GuestAddress)
  /// An area is not wholly in RAM.
  case areaOutsideRAM(QueueArea, GuestAddress)
  /// Two areas share bytes.
  case areasOverlap
  /// Section 2.7.6.1: the available index went back, or forward by more than the queue's size.
  case availableIndex(UInt16, last: UInt16)
  /// More chains are offered than the queue has descriptors.
  case tooManyChains
  /// The available ring names a descriptor that does not exist.
  case headOutOfRange(UInt16)
  /// A descriptor's `next` names one that does not exist.
  case nextOutOfRange(UInt16)
  /// Section 2.7.5.3.1: a chain has more descriptors than the queue, as every loop does.
  case chainTooLong
  /// Section 2.7.5.2: a chain has more than 2^32 bytes.
  case tooManyBytes
  /// A descriptor describes no byte.
  case emptyBuffer
  /// A buffer is not wholly in RAM.
  case bufferOutsideRAM(GuestAddress, UInt32)
  /// Section 2.7.4.2: a device-readable buffer follows a device-writable one.
  case readableAfterWritable
  /// Section 2.7.5.3.1: an indirect descriptor without the feature.
  case indirectNotNegotiated
  /// Section 2.7.5.3.1: an indirect descriptor within an indirect table.
  case indirectNested
  /// Section 2.7.5.3.1: an indirect descriptor that has a next one.
  case indirectWithNext
  /// Section 2.7.5.3: the length of an indirect table is no positive multiple of 16.
  case indirectLength(UInt32)
  /// An indirect table is not wholly in RAM.
  case indirectOutsideRAM(GuestAddress, UInt32)
  /// A chain lacks a buffer that every request of this device has.
  case missing(String)
  /// The host refused something that the device cannot do without.
  case host(SystemError)

  public var description: String {
    switch self {
    case .queueSize(let size, let maximum): return "queue size \(size) is no power of two up to \(maximum)"
    case .misaligned(let area, let address): return "\(area.text) at \(address) is not aligned"
    case .areaOutsideRAM(let area, let address): return "\(area.text) at \(address) is not in RAM"
    case .areasOverlap: return "descriptor table, available ring and used ring overlap"
    case .availableIndex(let index, let last): return "available index jumps from \(last) to \(index)"
    case .tooManyChains: return "more chains are offered than the queue has descriptors"
    case .headOutOfRange(let head): return "available ring names descriptor \(head), which does not exist"
    case .nextOutOfRange(let next): return "chain goes on at descriptor \(next), which does not exist"
    case .chainTooLong: return "chain is longer than the queue, or a loop"
    case .tooManyBytes: return "chain describes more than 4 GiB"
    case .emptyBuffer: return "descriptor has length 0"
    case .bufferOutsideRAM(let address, let count): return "buffer of \(count) bytes at \(address) is not in RAM"
    case .readableAfterWritable: return "readable buffer follows a writable one"
    case .indirectNotNegotiated: return "indirect descriptor, but the feature was not agreed on"
    case .indirectNested: return "indirect descriptor within an indirect table"
    case .indirectWithNext: return "indirect descriptor is not the last of its chain"
    case .indirectLength(let count): return "indirect table of \(count) bytes"
    case .indirectOutsideRAM(let address, let count):
      return "indirect table of \(count) bytes at \(address) is not in RAM"
    case .missing(let what): return "request without \(what)"
    case .host(let error): return error.description
    }
  }
}
