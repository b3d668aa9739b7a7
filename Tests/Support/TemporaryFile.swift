import CLinux
import System

/// A file in the temporary folder that goes with this object.
public final class TemporaryFile: Sendable {
  public let path: String

  /// A file with these bytes.
  public init(_ bytes: [UInt8]) throws {
    let folder = getenv("TMPDIR").map { String(cString: $0) } ?? P_tmpdir
    path = "\(folder)/vmrun-test-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    let file = try FileDescriptor.open(path, O_CREAT | O_EXCL | O_WRONLY)
    try file.writeFully(bytes)
  }

  /// A file of `count` bytes that look random.
  public convenience init(randomBytes count: Int, seed: UInt64 = 7) throws {
    var random = SeededRandom(seed: seed)
    var bytes = [UInt8]()
    bytes.reserveCapacity(count)
    for _ in 0..<count { bytes.append(UInt8(truncatingIfNeeded: random.next())) }
    try self.init(bytes)
  }

  deinit { unlink(path) }

  /// What is in the file now.
  public func bytes() throws -> [UInt8] {
    let file = try FileDescriptor.open(path, O_RDONLY)
    var bytes = [UInt8](repeating: 0, count: Int(try file.status().st_size))
    let count = bytes.count
    let got = try bytes.withUnsafeMutableBytes { try file.readFully(into: $0, at: 0) }
    guard got == count else { throw SystemError("read", path, .ioError) }
    return bytes
  }

  /// Bytes of disk space that the file takes.
  public func allocated() throws -> Int {
    try Int(FileDescriptor.open(path, O_RDONLY).status().st_blocks) * 512
  }

  /// Changes the file's length.
  public func resize(to count: Int) throws {
    guard truncate(path, count) == 0 else { throw SystemError("truncate", path, .current) }
  }
}

/// A file of zeros in memory whose bytes nobody can change, so that every write fails.
public final class SealedFile: Sendable {
  private let descriptor: Int32
  public var path: String { "/proc/self/fd/\(descriptor)" }

  public init(count: Int) throws {
    descriptor = memfd_create("vmrun-test", UInt32(MFD_CLOEXEC | MFD_ALLOW_SEALING))
    guard descriptor >= 0, ftruncate(descriptor, count) == 0,
      clinux_fcntl(descriptor, F_ADD_SEALS, Int(F_SEAL_WRITE)) == 0
    else { throw SystemError("memfd_create", "", .current) }
  }

  deinit { close(descriptor) }
}

/// A file of zeros in memory, where no range can be zeroed but by writing zeros.
public final class MemoryFile: Sendable {
  private let descriptor: Int32
  public var path: String { "/proc/self/fd/\(descriptor)" }

  public init(count: Int) throws {
    descriptor = memfd_create("vmrun-test", UInt32(MFD_CLOEXEC))
    guard descriptor >= 0, ftruncate(descriptor, count) == 0 else { throw SystemError("memfd_create", "", .current) }
  }

  /// Bytes in the file now.
  public func count() throws -> Int { Int(try status().st_size) }

  /// Bytes that were ever written, in whole pages.
  public func written() throws -> Int { Int(try status().st_blocks) * 512 }

  private func status() throws -> stat {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw SystemError("fstat", "", .current) }
    return status
  }

  deinit { close(descriptor) }
}

/// A FIFO that goes with this object, and that nobody has open.
public final class TemporaryFIFO: Sendable {
  public let path: String

  public init() throws {
    let folder = getenv("TMPDIR").map { String(cString: $0) } ?? P_tmpdir
    path = "\(folder)/vmrun-test-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    guard mkfifo(path, 0o600) == 0 else { throw SystemError("mkfifo", path, .current) }
  }

  deinit { unlink(path) }
}
