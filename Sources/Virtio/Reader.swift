import CLinux
import GuestMemory

/// A place in a run of a chain's buffers: what `Reader` and `Writer` have in common.
struct ChainCursor {
  let chain: DescriptorChain
  /// The buffer that the next byte is in, and where in it.
  private var index: Int
  private var offset: UInt32 = 0
  /// Bytes from here to the end.
  private(set) var remaining: UInt64

  init(_ chain: DescriptorChain, first: Int, count: UInt64) {
    self.chain = chain
    index = first
    remaining = count
  }

  /// The next bytes that are contiguous in guest memory, at most `limit`; nil at the end.
  mutating func take(atMost limit: UInt64) -> DescriptorChain.Buffer? {
    let wanted = min(limit, remaining)
    guard wanted > 0, index < chain.buffers.count else { return nil }
    let buffer = chain.buffers[index]
    // offset < buffer.count, since a buffer that is used up is left at once and none is empty.
    let count = UInt32(min(wanted, UInt64(buffer.count - offset)))
    let address = GuestAddress(buffer.address.value &+ UInt64(offset))
    offset += count
    if offset == buffer.count {
      index += 1
      offset = 0
    }
    remaining -= UInt64(count)
    return DescriptorChain.Buffer(address: address, count: count)
  }

  /// Parts off the last `count` bytes, or all that there are.
  mutating func splitLast(_ count: UInt64) -> ChainCursor {
    let kept = remaining - min(count, remaining)
    var last = self
    var skipped: UInt64 = 0
    while let part = last.take(atMost: kept - skipped) { skipped += UInt64(part.count) }
    remaining = kept
    return last
  }

  /// Appends the iovecs of the next `count` bytes; returns for how many bytes there were any.
  mutating func appendVectors(_ count: UInt64, to vectors: inout [iovec]) throws(QueueError) -> UInt64 {
    var done: UInt64 = 0
    while let part = take(atMost: count - done) {
      // unsafe: the iovec covers a range of guest RAM that was checked; it is only handed to the kernel.
      do { unsafe vectors.append(try chain.memory.ioVector(part.address, count: Int(part.count))) } catch {
        throw part.outsideRAM
      }
      done += UInt64(part.count)
    }
    return done
  }
}

extension DescriptorChain.Buffer {
  /// The buffer was in RAM when the chain was taken, and RAM never changes its place: so this is never thrown.
  fileprivate var outsideRAM: QueueError { .bufferOutsideRAM(address, count) }
}

/// Copies the device-readable bytes of a chain out, in order, however the driver has split them into buffers
/// (virtio 1.2, section 2.7.4.1).
public struct Reader {
  private var cursor: ChainCursor

  init(_ chain: DescriptorChain) { cursor = ChainCursor(chain, first: 0, count: chain.readableCount) }

  /// Bytes left to read.
  public var remaining: UInt64 { cursor.remaining }

  /// Copies the next bytes to `bytes`; returns how many, fewer only at the end of the chain.
  public mutating func read(into bytes: UnsafeMutableRawBufferPointer) throws(QueueError) -> Int {
    var done = 0
    while done < bytes.count, let part = cursor.take(atMost: UInt64(bytes.count - done)) {
      // unsafe: done + part.count <= bytes.count, so the slice lies in the caller's buffer.
      let target = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[done..<done + Int(part.count)])
      do { try unsafe cursor.chain.memory.read(part.address, into: target) } catch { throw part.outsideRAM }
      done += Int(part.count)
    }
    return done
  }

  /// The next little-endian integer, or nil when the chain ends before.
  public mutating func readInteger<Value: FixedWidthInteger & BitwiseCopyable>() throws(QueueError) -> Value? {
    var value: Value = 0
    let size = MemoryLayout<Value>.size
    guard remaining >= UInt64(size) else { return nil }
    // unsafe: the pointer covers the integer's own bytes, and every pattern of them is a value.
    _ = try unsafe Swift.withUnsafeMutableBytes(of: &value) { (bytes) throws(QueueError) in
      try unsafe read(into: bytes)
    }
    return Value(littleEndian: value)
  }

  /// Appends the iovecs of the next `count` bytes for the kernel to read from; returns of how many bytes there were any.
  /// They stay valid as long as the guest's RAM.
  public mutating func appendVectors(_ count: UInt64, to vectors: inout [iovec]) throws(QueueError) -> UInt64 {
    try unsafe cursor.appendVectors(count, to: &vectors)
  }
}

/// Copies bytes to the device-writable buffers of a chain, in order, however the driver has split them.
public struct Writer {
  private var cursor: ChainCursor

  init(_ chain: DescriptorChain) {
    cursor = ChainCursor(chain, first: chain.readableBuffers, count: chain.writableCount)
  }

  private init(cursor: ChainCursor) { self.cursor = cursor }

  /// Bytes left to write.
  public var remaining: UInt64 { cursor.remaining }

  /// Parts off a writer of the last `count` bytes, or of all that are left when they are fewer.
  public mutating func splitLast(_ count: UInt64) -> Writer { Writer(cursor: cursor.splitLast(count)) }

  /// Copies `bytes` to the next bytes of the chain; returns how many fitted.
  public mutating func write(_ bytes: UnsafeRawBufferPointer) throws(QueueError) -> Int {
    var done = 0
    while done < bytes.count, let part = cursor.take(atMost: UInt64(bytes.count - done)) {
      // unsafe: done + part.count <= bytes.count, so the slice lies in the caller's buffer.
      let source = unsafe UnsafeRawBufferPointer(rebasing: bytes[done..<done + Int(part.count)])
      do { try unsafe cursor.chain.memory.write(part.address, source) } catch { throw part.outsideRAM }
      done += Int(part.count)
    }
    return done
  }

  /// Writes one byte; false when none is left.
  public mutating func write(_ byte: UInt8) throws(QueueError) -> Bool {
    guard let part = cursor.take(atMost: 1) else { return false }
    do { try cursor.chain.memory.store8(part.address, byte) } catch { throw part.outsideRAM }
    return true
  }

  /// Appends the iovecs of the next `count` bytes for the kernel to fill; returns of how many bytes there were any.
  /// They stay valid as long as the guest's RAM.
  public mutating func appendVectors(_ count: UInt64, to vectors: inout [iovec]) throws(QueueError) -> UInt64 {
    try unsafe cursor.appendVectors(count, to: &vectors)
  }
}
