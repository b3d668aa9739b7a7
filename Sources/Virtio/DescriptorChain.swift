import GuestMemory

/// A snapshot of one descriptor chain: what the descriptors said when each was read, once. The guest may rewrite its
/// descriptors afterwards, and nothing changes here. Every range was found to lie in guest RAM.
///
/// An object is used again and again, so that no request allocates. It belongs to one thread at a time.
public final class DescriptorChain: @unchecked Sendable {
  /// One range of guest memory.
  public struct Buffer: Equatable, Sendable {
    /// The first byte.
    public let address: GuestAddress
    /// Bytes; not 0.
    public let count: UInt32
  }

  /// The RAM that the ranges lie in.
  public let memory: GuestRAM
  /// The index of the first descriptor, by which the chain is given back.
  public private(set) var head: UInt16 = 0
  /// The device-readable buffers, then the device-writable ones.
  public private(set) var buffers: [Buffer] = []
  /// How many of `buffers` are device-readable.
  public private(set) var readableBuffers = 0
  /// Bytes that the device may read.
  public private(set) var readableCount: UInt64 = 0
  /// Bytes that the device may write.
  public private(set) var writableCount: UInt64 = 0

  /// A chain without buffers.
  public init(memory: GuestRAM) { self.memory = memory }

  /// A reader of the device-readable bytes. To be used up before the object takes the next chain.
  public var reader: Reader { Reader(self) }
  /// A writer of the device-writable bytes. To be used up before the object takes the next chain.
  public var writer: Writer { Writer(self) }

  /// Starts a new snapshot.
  func begin(head: UInt16) {
    self.head = head
    buffers.removeAll(keepingCapacity: true)
    readableBuffers = 0
    readableCount = 0
    writableCount = 0
  }

  /// Adds what a descriptor says.
  func append(_ address: GuestAddress, count: UInt32, writable: Bool) throws(QueueError) {
    guard count > 0 else { throw .emptyBuffer }
    // Section 2.7.5.2. Both sums are at most 2^32 before this one, so they cannot overflow.
    guard readableCount + writableCount + UInt64(count) <= 1 << 32 else { throw .tooManyBytes }
    guard memory.contains(address, count: UInt64(count)) else { throw .bufferOutsideRAM(address, count) }
    if writable {
      writableCount += UInt64(count)
    } else {
      // Section 2.7.4.2.
      guard readableBuffers == buffers.count else { throw .readableAfterWritable }
      readableBuffers += 1
      readableCount += UInt64(count)
    }
    buffers.append(Buffer(address: address, count: count))
  }
}
