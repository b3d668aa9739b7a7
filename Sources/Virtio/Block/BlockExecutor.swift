import CLinux
import GuestMemory
import System

/// The outcome of a request, as its last byte tells the driver (virtio 1.2, section 5.2.6).
enum BlockStatus {
  case ok, ioError, unsupported

  var code: UInt8 {
    switch self {
    case .ok: return UInt8(VIRTIO_BLK_S_OK)
    case .ioError: return UInt8(VIRTIO_BLK_S_IOERR)
    case .unsupported: return UInt8(VIRTIO_BLK_S_UNSUPP)
    }
  }
}

/// What a disk is, and what its device and driver agreed on.
struct BlockContract {
  let image: DiskImage
  /// The bytes that GET_ID returns, padded to their full number.
  let serial: [UInt8]
  /// VIRTIO_BLK_F_FLUSH; without it each write is on the disk before it completes (section 5.2.6.2).
  let hasFlush: Bool
  /// VIRTIO_BLK_F_DISCARD.
  let hasDiscard: Bool
  /// VIRTIO_BLK_F_WRITE_ZEROES.
  let hasWriteZeroes: Bool
}

/// Executes requests one after the other, and keeps the buffers that this needs, so that no request allocates.
@safe final class BlockExecutor: @unchecked Sendable {
  /// Segments that one discard or write-zeroes request may have.
  static let segmentsMaximum = 16
  /// Sectors in one segment of a discard request: 1 GiB.
  static let discardMaximum: UInt32 = 1 << 21
  /// Sectors in one segment of a write-zeroes request: 32 MiB, since they may have to be written as data.
  static let zeroesMaximum: UInt32 = 1 << 16

  /// The request.
  let chain: DescriptorChain
  // unsafe: what the iovecs point to is guest RAM, and they are made anew for each request.
  private var vectors: [iovec] = unsafe []
  private var segments: [Segment] = []

  /// An executor for requests in `memory`.
  init(memory: GuestRAM) { chain = DescriptorChain(memory: memory) }

  /// Executes the request in `chain` and writes its status byte. Returns how many of the device-writable bytes, from the
  /// first one on, were written.
  /// - Throws: when the chain has no room for a status.
  func execute(_ contract: BlockContract) throws(QueueError) -> UInt32 {
    var reader = chain.reader
    var data = chain.writer
    // Section 2.7.4.1: wherever the descriptors' bounds are, the status is the last byte.
    var last = data.splitLast(1)
    guard last.remaining == 1 else { throw .missing("a status byte") }
    let capacity = data.remaining
    var filled: UInt64 = 0
    let status = try perform(contract, &reader, &data, &filled)
    _ = try last.write(status.code)
    // Section 2.7.8.2: rather too few than bytes that were not written.
    return UInt32(clamping: filled == capacity ? filled + 1 : filled)
  }

  private func perform(
    _ contract: BlockContract, _ reader: inout Reader, _ data: inout Writer, _ filled: inout UInt64
  ) throws(QueueError) -> BlockStatus {
    // `struct virtio_blk_req`: type, reserved, sector.
    guard let type: UInt32 = try reader.readInteger(), let _: UInt32 = try reader.readInteger(),
      let sector: UInt64 = try reader.readInteger()
    else { return .ioError }
    switch Int32(bitPattern: type) {
    case VIRTIO_BLK_T_IN: return try read(contract, sector, &data, &filled)
    case VIRTIO_BLK_T_OUT: return try write(contract, sector, &reader)
    case VIRTIO_BLK_T_FLUSH: return contract.image.flush() ? .ok : .ioError
    case VIRTIO_BLK_T_GET_ID: return try identify(contract, &data, &filled)
    case VIRTIO_BLK_T_DISCARD: return contract.hasDiscard ? try discard(contract, &reader) : .unsupported
    case VIRTIO_BLK_T_WRITE_ZEROES:
      return contract.hasWriteZeroes ? try writeZeroes(contract, &reader) : .unsupported
    default: return .unsupported
    }
  }

  private func read(
    _ contract: BlockContract, _ sector: UInt64, _ data: inout Writer, _ filled: inout UInt64
  ) throws(QueueError) -> BlockStatus {
    let count = data.remaining
    guard contract.image.contains(sector, bytes: count) else { return .ioError }
    unsafe vectors.removeAll(keepingCapacity: true)
    // unsafe: the iovecs cover checked ranges of guest RAM, which outlives the device's requests.
    _ = try unsafe data.appendVectors(count, to: &vectors)
    guard unsafe contract.image.read(&vectors, sector) else { return .ioError }
    filled = count
    return .ok
  }

  private func write(
    _ contract: BlockContract, _ sector: UInt64, _ reader: inout Reader
  ) throws(QueueError) -> BlockStatus {
    let count = reader.remaining
    guard !contract.image.readOnly, contract.image.contains(sector, bytes: count) else { return .ioError }
    unsafe vectors.removeAll(keepingCapacity: true)
    // unsafe: as in `read`.
    _ = try unsafe reader.appendVectors(count, to: &vectors)
    return settled(contract, unsafe contract.image.write(&vectors, sector))
  }

  private func identify(
    _ contract: BlockContract, _ data: inout Writer, _ filled: inout UInt64
  ) throws(QueueError) -> BlockStatus {
    guard data.remaining >= UInt64(contract.serial.count) else { return .ioError }
    for byte in contract.serial where try data.write(byte) { filled += 1 }
    return .ok
  }

  // MARK: Discard and write-zeroes

  /// `struct virtio_blk_discard_write_zeroes`.
  private struct Segment {
    let first: UInt64
    let count: UInt32
    let flags: UInt32

    var unmap: Bool { flags & UInt32(VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP) != 0 }
  }

  private func discard(_ contract: BlockContract, _ reader: inout Reader) throws(QueueError) -> BlockStatus {
    let status = try readSegments(contract, &reader, maximum: BlockExecutor.discardMaximum, flags: 0)
    guard status == .ok else { return status }
    for segment in segments {
      guard contract.image.discard(segment.first, UInt64(segment.count)) else { return .ioError }
    }
    return settled(contract, true)
  }

  private func writeZeroes(_ contract: BlockContract, _ reader: inout Reader) throws(QueueError) -> BlockStatus {
    let unmap = UInt32(VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)
    let status = try readSegments(contract, &reader, maximum: BlockExecutor.zeroesMaximum, flags: unmap)
    guard status == .ok else { return status }
    for segment in segments {
      guard contract.image.writeZeroes(segment.first, UInt64(segment.count), mayUnmap: segment.unmap) else {
        return .ioError
      }
    }
    return settled(contract, true)
  }

  /// Copies the segments out and checks them all before anything is done. `flags` are the known ones (section 5.2.6.2).
  private func readSegments(
    _ contract: BlockContract, _ reader: inout Reader, maximum: UInt32, flags: UInt32
  ) throws(QueueError) -> BlockStatus {
    let size = UInt64(MemoryLayout<virtio_blk_discard_write_zeroes>.size)
    segments.removeAll(keepingCapacity: true)
    guard !contract.image.readOnly, reader.remaining > 0, reader.remaining % size == 0,
      reader.remaining / size <= UInt64(BlockExecutor.segmentsMaximum)
    else { return .ioError }
    while let first: UInt64 = try reader.readInteger(), let count: UInt32 = try reader.readInteger(),
      let given: UInt32 = try reader.readInteger()
    {
      guard given & ~flags == 0 else { return .unsupported }
      guard count <= maximum, contract.image.contains(first, sectors: UInt64(count)) else { return .ioError }
      if count > 0 { segments.append(Segment(first: first, count: count, flags: given)) }
    }
    return .ok
  }

  /// The status of a change that `succeeded`, once it is as stable as the driver expects.
  private func settled(_ contract: BlockContract, _ succeeded: Bool) -> BlockStatus {
    succeeded && (contract.hasFlush || contract.image.flush()) ? .ok : .ioError
  }
}
