import CLinux
import GuestProtocol
import System

/// Init's end of what a command reads from.
struct InputStream: ~Copyable {
  /// Bytes that the host may send ahead of the command.
  private let limit: Int
  private var descriptor: FileDescriptor?
  private let isTerminal: Bool
  private var pending: [UInt8] = []
  private var written = 0
  /// Bytes that the host may still send.
  private var granted: Int
  /// Bytes that the command has taken and the host does not know of.
  private var ungranted = 0
  private var ends = false
  private var saidEnd = false
  private var lastByte = UInt8(ascii: "\n")

  /// Takes over a non-blocking descriptor, for `limit` bytes at a time.
  init(_ descriptor: consuming FileDescriptor?, isTerminal: Bool, limit: Int) {
    self.descriptor = descriptor
    self.isTerminal = isTerminal
    self.limit = limit
    granted = limit
  }

  /// Whether bytes wait for the command to take others.
  var hasPending: Bool { written < pending.count }

  /// The descriptor's number; -1 when closed.
  var rawValue: Int32 {
    switch descriptor {
    case .some(let open): open.rawValue
    case .none: -1
    }
  }

  /// Passes bytes from the host on, or keeps them; false when there are more than were granted.
  mutating func accept(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count <= granted, !ends else { return false }
    granted -= bytes.count
    let direct = hasPending ? 0 : unsafe put(bytes)
    // unsafe: put takes at most all of them.
    if direct < bytes.count { unsafe pending.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[direct...])) }
    return true
  }

  /// Nothing follows what came so far.
  mutating func end() {
    guard !ends else { return }
    ends = true
    if !hasPending { finish() }
  }

  /// Writes what waits, as far as the command takes it.
  mutating func write() {
    let (rest, first) = (pending, written)
    // unsafe: first <= rest.count.
    written += unsafe rest.withUnsafeBytes { unsafe put(UnsafeRawBufferPointer(rebasing: $0[first...])) }
    guard !hasPending else { return }
    pending.removeAll(keepingCapacity: true)
    written = 0
    if ends { finish() }
  }

  /// How many more bytes the host may send, when that is worth a message.
  mutating func takeGrant() -> UInt32? {
    guard ungranted >= limit / 2, !ends else { return nil }
    defer { ungranted = 0 }
    granted += ungranted
    return UInt32(truncatingIfNeeded: ungranted)
  }

  mutating func close() {
    descriptor = nil
    ungranted += pending.count - written
    pending = []
    written = 0
  }

  /// Writes once; returns how many bytes are done with. Where nobody reads any more, all are.
  private mutating func put(_ bytes: UnsafeRawBufferPointer) -> Int {
    var count = 0
    var isBroken = false
    switch descriptor {
    case .some(let open):
      do throws(SystemError) {
        count = try unsafe open.write(bytes)
        // unsafe: count <= bytes.count.
        if count > 0 { lastByte = unsafe bytes[count - 1] }
      } catch {
        isBroken = error.errno != .again
      }
    case .none: isBroken = true
    }
    if isBroken {
      descriptor = nil
      count = bytes.count
    }
    ungranted += count
    return count
  }

  /// Tells the command that nothing follows. A terminal is told by its end-of-file character, which ends a line that is not
  /// empty, and the input only at the beginning of a line.
  private mutating func finish() {
    guard isTerminal else {
      descriptor = nil
      return
    }
    guard !saidEnd else { return }
    saidEnd = true
    let endOfFile: UInt8 = 4
    let atLineStart = lastByte == UInt8(ascii: "\n") || lastByte == UInt8(ascii: "\r")
    for _ in 0..<(atLineStart ? 1 : 2) { pending.append(endOfFile) }
  }
}
