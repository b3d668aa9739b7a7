import CLinux

/// The sole owner of an open file descriptor; closes it when it goes out of scope.
public struct FileDescriptor: ~Copyable, @unchecked Sendable {
  /// The descriptor's number, for system calls made elsewhere in the house's system-call rooms. The owner keeps it.
  public let rawValue: Int32

  /// Takes over an open descriptor that nobody else closes.
  public init(owning rawValue: Int32) { self.rawValue = rawValue }

  deinit { _ = close(rawValue) }

  /// Opens `path` with open(2) `flags` (O_CLOEXEC is added) and, when creating, `mode`.
  public static func open(_ path: String, _ flags: Int32, mode: UInt32 = 0o600) throws(SystemError) -> FileDescriptor {
    guard let raw = retryingInterrupts({ unsafe clinux_open(path, flags | O_CLOEXEC, mode) }) else {
      throw SystemError("open", path, .current)
    }
    return FileDescriptor(owning: raw)
  }

  /// A duplicate of descriptor `number` with close-on-exec set (fcntl(2) F_DUPFD_CLOEXEC).
  public static func duplicate(of number: Int32) throws(SystemError) -> FileDescriptor {
    guard let raw = retryingInterrupts({ clinux_fcntl(number, F_DUPFD_CLOEXEC, 3) }) else {
      throw SystemError("duplicate", "descriptor \(number)", .current)
    }
    return FileDescriptor(owning: raw)
  }

  /// A duplicate of a descriptor that this process was started with, or nil when it was started without.
  public static func inherited(_ number: Int32) throws(SystemError) -> FileDescriptor? {
    do throws(SystemError) {
      return try duplicate(of: number)
    } catch {
      if error.errno != Errno(rawValue: EBADF) { throw error }
      return nil
    }
  }

  /// A file for output at `path`, made or emptied, with the user's umask.
  public static func create(_ path: String) throws(SystemError) -> FileDescriptor {
    try open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o666)
  }

  /// Two ends of a close-on-exec pipe (pipe2(2)).
  public static func pipe() throws(SystemError) -> PipeEnds {
    var ends: [Int32] = [-1, -1]
    // unsafe: pipe2 writes exactly two descriptors to an array of two.
    let result = unsafe ends.withUnsafeMutableBufferPointer { unsafe pipe2($0.baseAddress, O_CLOEXEC) }
    guard result == 0 else { throw SystemError("pipe", "", .current) }
    return PipeEnds(read: FileDescriptor(owning: ends[0]), write: FileDescriptor(owning: ends[1]))
  }

  /// Reads at most `buffer.count` bytes; 0 is end of file.
  /// - Throws: `SystemError`, with `.again` on a non-blocking descriptor that has nothing.
  public borrowing func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
    let raw = rawValue
    // unsafe: the caller's buffer is valid for its count.
    guard let count = retryingInterrupts({ unsafe CLinux.read(raw, buffer.baseAddress, buffer.count) }) else {
      throw SystemError("read", "descriptor \(raw)", .current)
    }
    return count
  }

  /// What there is to read until the end, at most `limit` bytes.
  public borrowing func rest(limit: Int) throws(SystemError) -> [UInt8] {
    var all: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    while all.count < limit {
      var count = 0
      var failure: SystemError?
      // unsafe: the array's own bytes.
      unsafe chunk.withUnsafeMutableBytes { bytes in
        do throws(SystemError) { count = try unsafe read(into: bytes) } catch { failure = error }
      }
      if let failure { throw failure }
      if count == 0 { break }
      all += chunk[..<min(count, limit - all.count)]
    }
    return all
  }

  /// Writes at most `buffer.count` bytes; returns how many were taken.
  public borrowing func write(_ buffer: UnsafeRawBufferPointer) throws(SystemError) -> Int {
    let raw = rawValue
    // unsafe: the caller's buffer is valid for its count.
    guard let count = retryingInterrupts({ unsafe CLinux.write(raw, buffer.baseAddress, buffer.count) }) else {
      throw SystemError("write", "descriptor \(raw)", .current)
    }
    return count
  }

  /// Reads `buffer.count` bytes at `offset`; returns fewer only at the end of the file.
  /// - Throws: `.invalid` when the range is none that a file can have.
  public borrowing func readFully(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(SystemError)
    -> Int
  {
    let raw = rawValue
    guard offset >= 0, Int64(buffer.count) <= Int64.max - offset else {
      throw SystemError("read", "descriptor \(raw)", .invalid)
    }
    var done = 0
    while done < buffer.count {
      // unsafe: done < buffer.count, so the rest lies inside the caller's buffer.
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      // unsafe: as above.
      guard let count = retryingInterrupts({ unsafe pread(raw, rest.baseAddress, rest.count, off_t(offset) + done) })
      else {
        throw SystemError("read", "descriptor \(raw)", .current)
      }
      if count == 0 { break }
      done += count
    }
    return done
  }

  /// Writes the whole buffer, however many calls that takes.
  public borrowing func writeFully(_ buffer: UnsafeRawBufferPointer) throws(SystemError) {
    var done = 0
    while done < buffer.count {
      // unsafe: done < buffer.count, so the rest lies inside the caller's buffer.
      done += try unsafe write(UnsafeRawBufferPointer(rebasing: buffer[done...]))
    }
  }

  /// Writes all bytes of `bytes`.
  public borrowing func writeFully(_ bytes: [UInt8]) throws(SystemError) {
    let raw = rawValue
    var done = 0
    while done < bytes.count {
      // unsafe: done < bytes.count, so the rest lies inside the array, which outlives the call.
      let count = retryingInterrupts {
        unsafe bytes.withUnsafeBytes {
          unsafe CLinux.write(raw, $0.baseAddress?.advanced(by: done), bytes.count - done)
        }
      }
      guard let count else { throw SystemError("write", "descriptor \(raw)", .current) }
      done += count
    }
  }

  /// The file's metadata (fstat(2)).
  public borrowing func status() throws(SystemError) -> stat {
    var status = stat()
    // unsafe: fstat fills the one struct it is given.
    guard unsafe fstat(rawValue, &status) == 0 else { throw SystemError("fstat", "descriptor \(rawValue)", .current) }
    return status
  }

  /// Makes reads and writes return `.again` instead of waiting. The flag belongs to the open file description, which
  /// other processes may share: set it only on files that vmrun opened itself.
  public borrowing func setNonBlocking() throws(SystemError) {
    let flags = clinux_fcntl(rawValue, F_GETFL, 0)
    guard flags >= 0, clinux_fcntl(rawValue, F_SETFL, Int(flags | O_NONBLOCK)) == 0 else {
      throw SystemError("fcntl", "descriptor \(rawValue)", .current)
    }
  }
}

/// The two ends of a pipe.
public struct PipeEnds: ~Copyable {
  public let read: FileDescriptor
  public let write: FileDescriptor

  init(read: consuming FileDescriptor, write: consuming FileDescriptor) {
    self.read = read
    self.write = write
  }
}

/// A file that several objects use: closed when the last of them lets go.
public final class SharedFile: Sendable {
  public let descriptor: FileDescriptor

  /// Takes `descriptor` over.
  public init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
}
