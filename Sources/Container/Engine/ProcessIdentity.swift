import CContainer
import CLinux
import System

/// A process that cannot be confused with a later one of the same number: its PID, and when it started.
struct ProcessIdentity: Equatable {
  let pid: Int32
  /// Clock ticks since the host's boot (proc(5), stat, field 22).
  let startTicks: UInt64

  /// A remembered process.
  init(pid: Int32, startTicks: UInt64) {
    self.pid = pid
    self.startTicks = startTicks
  }

  /// Process `pid` as it is now; nil when there is none, or it has ended and waits to be reaped.
  init?(of pid: Int32) {
    guard pid > 0, let line = Self.read("/proc/\(pid)/stat"), let fields = Self.fields(line),
      fields.state != UInt8(ascii: "Z"), fields.state != UInt8(ascii: "X")
    else { return nil }
    self.init(pid: pid, startTicks: fields.startTicks)
  }

  /// A child of this process that was not waited for: its number is taken even when it has ended.
  init?(ofChild pid: Int32) {
    guard let line = Self.read("/proc/\(pid)/stat"), let fields = Self.fields(line) else { return nil }
    self.init(pid: pid, startTicks: fields.startTicks)
  }

  /// Whether that very process still runs.
  var isAlive: Bool { ProcessIdentity(of: pid) == self }

  /// A pidfd of that very process.
  /// - Throws: `.wrongState` when it has ended.
  func open() throws(ContainerError) -> FileDescriptor {
    let raw = ccontainer_pidfd_open(pid)
    guard raw >= 0 else { throw ContainerError(.wrongState, "container not running") }
    let descriptor = FileDescriptor(owning: raw)
    // The descriptor holds the number: a process that is the remembered one now stays the one behind it.
    guard isAlive else { throw ContainerError(.wrongState, "container not running") }
    return descriptor
  }

  /// The state letter and the start time out of a line of /proc/PID/stat, whose second field may hold anything in parentheses.
  static func fields(_ line: [UInt8]) -> (state: UInt8, startTicks: UInt64)? {
    guard let close = line.lastIndex(of: UInt8(ascii: ")")), close + 2 < line.count else { return nil }
    let rest = line[(close + 2)...].split(separator: UInt8(ascii: " "))
    guard rest.count > 19, let state = rest[0].first, let ticks = UInt64(String(decoding: rest[19], as: UTF8.self))
    else { return nil }
    return (state, ticks)
  }

  /// A small file whole; nil when it cannot be read.
  static func read(_ path: String) -> [UInt8]? {
    guard let file = try? FileDescriptor.open(path, O_RDONLY) else { return nil }
    return try? file.readAll(limit: 4096)
  }
}

extension FileDescriptor {
  /// Of a pidfd: waits until the process has ended (2 s at most), and then until its parent has taken note (0.2 s at most).
  borrowing func awaitReaping() {
    var ended = pollfd(fd: rawValue, events: Int16(POLLIN), revents: 0)
    // unsafe: one descriptor is polled.
    guard unsafe poll(&ended, 1, 2000) == 1 else { return }
    // A process that waits to be reaped can be sent signals, one that is gone cannot.
    for _ in 0..<200 where ccontainer_pidfd_send_signal(rawValue, 0) == 0 {
      _ = poll(nil, 0, 1)
    }
  }

  /// The rest of the file, at most `limit` bytes of it.
  borrowing func readAll(limit: Int) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    var failure: SystemError?
    while bytes.count < limit, failure == nil {
      let room = Swift.min(limit - bytes.count, Swift.max(4096, bytes.count))
      var ended = false
      // unsafe: the closure fills the part that it counts.
      bytes += unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
        count = 0
        do throws(SystemError) {
          count = try unsafe read(into: UnsafeMutableRawBufferPointer(buffer))
          ended = count == 0
        } catch { failure = error }
      }
      if ended { break }
    }
    if let failure { throw failure }
    return bytes
  }
}
