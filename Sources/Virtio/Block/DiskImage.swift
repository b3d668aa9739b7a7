import CLinux
import GuestMemory
import System

/// Why a disk cannot be used; the text names the file.
public enum DiskError: Error, Equatable, CustomStringConvertible {
  /// open(2), fstat(2) or another call failed.
  case system(String, SystemError)
  /// Neither a regular file nor a block device.
  case notADisk(String)
  /// Its size in bytes is no positive multiple of 512.
  case size(String, UInt64)
  /// Another process, or another --disk of this one, uses it in a way that excludes this one.
  case inUse(String, readOnly: Bool)

  public var description: String {
    switch self {
    case .system(let path, let error):
      let hint = error.errno == .accessDenied ? "; to only read it, add ,ro" : ""
      return "disk \(path): \(error.operation): \(error.errno)\(hint)"
    case .notADisk(let path): return "disk \(path): is neither a regular file nor a block device"
    case .size(let path, 0): return "disk \(path): is empty; make it a multiple of 512 bytes, e.g. truncate -s 1G"
    case .size(let path, let count):
      return "disk \(path): has \(count) bytes, which is no multiple of the sector size of 512; round it up with "
        + "truncate -s %512"
    case .inUse(let path, readOnly: true): return "disk \(path): is being written to by another process"
    case .inUse(let path, readOnly: false):
      return "disk \(path): is in use by another process; only disks opened with ,ro by all can be shared"
    }
  }
}

/// A raw disk image: a regular file, or a block device of the host, open and locked. Any thread may use it.
final class DiskImage: Sendable {
  /// Bytes per sector, the unit of the protocol.
  static let sectorSize: UInt64 = 512

  /// Sectors; fixed when the image is opened.
  let sectors: UInt64
  /// Whether writes are refused.
  let readOnly: Bool
  /// The host's preferred unit of I/O in bytes: a power of two from 512 to 64 KiB.
  let preferredSize: UInt32

  private let file: FileDescriptor
  private let isRegular: Bool

  /// Opens `path` and locks it: shared with other readers when `readOnly`, for itself alone otherwise.
  init(path: String, readOnly: Bool) throws(DiskError) {
    // O_NONBLOCK, so that a FIFO does not wait for its other end before it is refused. O_EXCL without O_CREAT refuses a
    // block device that is mounted, and means nothing for a regular file.
    let flags = O_NOCTTY | O_NONBLOCK | (readOnly ? O_RDONLY : O_RDWR | O_EXCL)
    let status: stat
    do {
      file = try FileDescriptor.open(path, flags)
      status = try file.status()
    } catch { throw error.errno == .busy ? .inUse(path, readOnly: readOnly) : .system(path, error) }
    isRegular = clinux_s_isreg(status.st_mode)
    var count = UInt64(max(0, status.st_size))
    if clinux_s_isblk(status.st_mode) {
      // unsafe: BLKGETSIZE64 writes the eight bytes of `count`.
      guard unsafe clinux_ioctl_pointer(file.rawValue, clinux_blkgetsize64(), &count) == 0 else {
        throw .system(path, SystemError("read the size", "", .current))
      }
    } else if !isRegular {
      throw .notADisk(path)
    }
    // Off_t is signed: beyond its range no offset could be given to the kernel.
    guard count > 0, count % DiskImage.sectorSize == 0, count <= UInt64(Int64.max) else { throw .size(path, count) }
    sectors = count / DiskImage.sectorSize
    self.readOnly = readOnly
    let block = UInt32(clamping: status.st_blksize)
    preferredSize = block & (block &- 1) == 0 ? min(max(block, 512), 64 << 10) : 4096

    // A lock of the open file description: it also keeps one process from opening an image twice, and ends with it.
    var lock = flock()
    lock.l_type = Int16(readOnly ? F_RDLCK : F_WRLCK)
    lock.l_whence = Int16(SEEK_SET)
    // unsafe: fcntl reads the struct during the call.
    let locked = unsafe withUnsafeMutablePointer(to: &lock) { pointer in
      clinux_fcntl(file.rawValue, F_OFD_SETLK, Int(bitPattern: pointer))
    }
    if locked != 0 {
      let errno = Errno.current
      if errno == .again || errno == .accessDenied { throw .inUse(path, readOnly: readOnly) }
      throw .system(path, SystemError("lock", "", errno))
    }
  }

  /// Whether `sectors` sectors from `first` on are on the disk.
  func contains(_ first: UInt64, sectors count: UInt64) -> Bool { first <= sectors && count <= sectors - first }

  /// Whether `bytes` bytes from sector `first` on are whole sectors of the disk.
  func contains(_ first: UInt64, bytes: UInt64) -> Bool {
    bytes % DiskImage.sectorSize == 0 && contains(first, sectors: bytes / DiskImage.sectorSize)
  }

  // MARK: Data. These and the following return whether they succeeded; the guest learns no more than that. Ranges are
  // those that `contains` approved of.

  /// Fills all of `vectors` from sector `first` on. Uses the array up.
  func read(_ vectors: inout [iovec], _ first: UInt64) -> Bool {
    unsafe transfer(&vectors, first) { (file, vectors, count, offset) in unsafe preadv(file, vectors, count, offset) }
  }

  /// Writes all of `vectors` from sector `first` on. Uses the array up.
  func write(_ vectors: inout [iovec], _ first: UInt64) -> Bool {
    guard isWhole else { return false }
    return unsafe transfer(&vectors, first) { (file, vectors, count, offset) in
      unsafe pwritev(file, vectors, count, offset)
    }
  }

  private func transfer(
    _ vectors: inout [iovec], _ first: UInt64, _ call: (Int32, UnsafePointer<iovec>?, Int32, off_t) -> Int
  ) -> Bool {
    var offset = off_t(first * DiskImage.sectorSize)
    var next = 0
    while unsafe next < vectors.count {
      // unsafe: next lies inside the array, and no more than its rest is passed; IOV_MAX is what one call takes.
      let moved = unsafe vectors.withUnsafeBufferPointer { all in
        unsafe call(
          file.rawValue, all.baseAddress?.advanced(by: next), Int32(min(all.count - next, Int(IOV_MAX))), offset)
      }
      if moved < 0, Errno.current == .interrupted { continue }
      // 0 is the end of a file that was cut off behind our back.
      guard moved > 0 else { return false }
      offset += moved
      var left = moved
      // unsafe: the lengths are read from the array; the advanced range lies inside the old one, since left < iov_len.
      while unsafe next < vectors.count, unsafe left >= vectors[next].iov_len {
        unsafe left -= vectors[next].iov_len
        next += 1
      }
      if left > 0 {
        unsafe vectors[next].iov_base += left
        unsafe vectors[next].iov_len -= left
      }
    }
    return true
  }

  /// False when a regular file was cut off behind our back: writing would let it grow again, with zeros where data was.
  private var isWhole: Bool {
    guard isRegular else { return true }
    do { return try file.status().st_size >= Int64(sectors * DiskImage.sectorSize) } catch { return false }
  }

  /// Returns when all completed writes are on the disk (fdatasync(2)).
  func flush() -> Bool {
    while fdatasync(file.rawValue) != 0 {
      if Errno.current != .interrupted { return false }
    }
    return true
  }

  // MARK: Ranges without data

  /// Gives the space of `count` sectors from `first` back to the host where it can take it.
  func discard(_ first: UInt64, _ count: UInt64) -> Bool {
    guard isWhole else { return false }
    var errno: Errno?
    if isRegular {
      errno = allocate(FALLOC_FL_PUNCH_HOLE, first, count)
    } else {
      var range: InlineArray<2, UInt64> = [first * DiskImage.sectorSize, count * DiskImage.sectorSize]
      // unsafe: BLKDISCARD reads the two numbers.
      let result = unsafe withUnsafeMutablePointer(to: &range) {
        unsafe clinux_ioctl_pointer(file.rawValue, clinux_blkdiscard(), $0)
      }
      if result != 0 { errno = .current }
    }
    // Section 5.2.6.2 leaves it to the device: a host that cannot take the space, or not at this alignment, need not.
    return errno == nil || errno == .notSupported || errno == .invalid
  }

  /// Makes `count` sectors from `first` on read as zero; the host may take their space if `mayUnmap`.
  func writeZeroes(_ first: UInt64, _ count: UInt64, mayUnmap: Bool) -> Bool {
    guard isWhole else { return false }
    if mayUnmap, allocate(FALLOC_FL_PUNCH_HOLE, first, count) == nil { return true }
    guard let errno = allocate(FALLOC_FL_ZERO_RANGE, first, count) else { return true }
    return (errno == .notSupported || errno == .invalid) && writeZeroBytes(first, count)
  }

  /// Zeros as data, for a host that knows no ranges of zeros.
  func writeZeroBytes(_ first: UInt64, _ count: UInt64) -> Bool {
    let zeros = [UInt8](repeating: 0, count: 64 << 10)
    var offset = first * DiskImage.sectorSize
    let end = offset + count * DiskImage.sectorSize
    while offset < end {
      // unsafe: no more than the array's own bytes are read.
      let moved = unsafe zeros.withUnsafeBufferPointer {
        unsafe pwrite(file.rawValue, $0.baseAddress, min($0.count, Int(end - offset)), off_t(offset))
      }
      if moved < 0, Errno.current == .interrupted { continue }
      guard moved > 0 else { return false }
      offset += UInt64(moved)
    }
    return true
  }

  /// fallocate(2), the size kept; block devices know it too. Returns why it failed, if it did.
  private func allocate(_ mode: Int32, _ first: UInt64, _ count: UInt64) -> Errno? {
    let offset = off_t(first * DiskImage.sectorSize)
    let length = off_t(count * DiskImage.sectorSize)
    while fallocate(file.rawValue, mode | FALLOC_FL_KEEP_SIZE, offset, length) != 0 {
      let errno = Errno.current
      if errno != .interrupted { return errno }
    }
    return nil
  }
}
