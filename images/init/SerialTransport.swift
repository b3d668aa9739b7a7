import CGuestInit
import CLinux
import GuestProtocol
import System

/// The channel over a serial line, for virtual machines that are not vmrun's own.
///
/// The line is a terminal device in raw mode. Nothing is asked of the host: the kernel's own buffer takes what fits, what does not waits
/// here, and credit is the room that is left here.
@safe public final class SerialTransport: ChannelTransport {
  /// Bytes that wait for the line at most: a frame of the largest kind and some messages.
  private static let capacity = 68 << 10

  private let line: FileDescriptor
  private var pending: [UInt8] = []
  private var written = 0

  /// Opens the serial line at `path`.
  public convenience init(path: String) throws(Failure) {
    do throws(SystemError) {
      self.init(line: try FileDescriptor.open(path, O_RDWR | O_NOCTTY | O_NONBLOCK))
    } catch {
      throw Failure(error)
    }
    // A port that the kernel lists and the machine has not refuses to be set up.
    let error = make_raw(doorbell)
    guard error == 0 else { throw Failure(SystemError("tcsetattr", path, Errno(rawValue: error))) }
  }

  /// Talks over `line`, which is non-blocking and carries every byte as it is.
  public init(line: consuming FileDescriptor) { self.line = line }

  public var doorbell: Int32 { line.rawValue }
  public var wantsOutput: Bool { written < pending.count }

  /// Little, since the kernel keeps 64 KiB for a line at most and drops what comes beyond; the host's messages need room, too.
  public let inputWindow = 16 << 10

  public func silenceDoorbell() { flush() }

  public func credit() -> Int {
    flush()
    return Self.capacity - (pending.count - written)
  }

  public func send(_ bytes: UnsafeRawBufferPointer) {
    var done = 0
    if !wantsOutput { done = unsafe put(bytes) }
    // unsafe: put takes at most all of them.
    if done < bytes.count { unsafe pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[done...])) }
  }

  public func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    // unsafe: the caller's buffer is valid during the call. Nothing there, and a line that has hung up, are both no bytes.
    (try? unsafe line.read(into: buffer)) ?? 0
  }

  public func settle() {
    while wantsOutput {
      var entry = pollfd(fd: doorbell, events: Int16(POLLOUT), revents: 0)
      // unsafe: poll(2) is given one entry.
      _ = unsafe poll(&entry, 1, 100)
      flush()
    }
    _ = tcdrain(doorbell)
  }

  // The line has no place for marks: HELLO and STARTED are what the host sees.
  public func mark(_ phase: Phase) {}

  private func flush() {
    guard wantsOutput else { return }
    let (rest, first) = (pending, written)
    // unsafe: first < rest.count.
    written += unsafe rest.withUnsafeBytes { unsafe put(UnsafeRawBufferPointer(rebasing: $0[first...])) }
    if wantsOutput { return }
    pending.removeAll(keepingCapacity: true)
    written = 0
  }

  /// Writes as much as the line takes now. A line that is broken takes everything: there is nobody to tell.
  private func put(_ bytes: UnsafeRawBufferPointer) -> Int {
    var done = 0
    while done < bytes.count {
      do throws(SystemError) {
        // unsafe: done < bytes.count.
        let count = try unsafe line.write(UnsafeRawBufferPointer(rebasing: bytes[done...]))
        if count == 0 { return done }
        done += count
      } catch {
        return error.errno == .again ? done : bytes.count
      }
    }
    return done
  }
}
