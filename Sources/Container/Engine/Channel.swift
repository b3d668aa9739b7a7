import CContainer
import CLinux
import System

/// What the parent and the child that becomes the container tell each other while it is set up.
///
///     parent                                   child (clone3, same program)
///       |  write uid_map, gid_map   <--- mapping     after unshare(CLONE_NEWUSER)
///       |  ---------------------> proceed
///       |  systemd scope, RDT       <--- joined       before anything that needs its cgroup
///       |  ---------------------> proceed
///       |  prestart, createRuntime  <--- mounted      before pivot_root
///       |  ---------------------> proceed
///       |  keeps the master         <--- terminal     (only when the parent relays it)
///       |  sends the listener on    <--- listener     its descriptor's number in the child
///       |  ---------------------> proceed
///       |  pid file, state          <--- ready        the program was found
///       |  ---------------------> proceed             (run, exec: execute now; create: await start)
///
/// A step that nobody needs is left out by both sides. Each side takes the other's end of file for its death. In place of any
/// message the child may send `failed`.
enum ChannelMessage {
  case mapping(pid: Int32)
  case joined
  case mounted
  case terminal
  case listener(number: Int32)
  case ready
  case failed(ContainerError)
  case proceed

  fileprivate var code: UInt8 {
    switch self {
    case .mapping: return 1
    case .joined: return 2
    case .mounted: return 3
    case .terminal: return 4
    case .listener: return 5
    case .ready: return 6
    case .failed: return 7
    case .proceed: return 8
    }
  }
}

/// One end of the connection between parent and child: whole packets, at most one descriptor beside each.
final class Channel {
  private let socket: FileDescriptor

  init(owning socket: consuming FileDescriptor) { self.socket = socket }

  var descriptor: Int32 { socket.rawValue }

  /// Both ends.
  static func pair() throws(ContainerError) -> ChannelEnds {
    var ends: (Int32, Int32) = (-1, -1)
    // unsafe: the pair has room for the two descriptors that are written.
    let result = unsafe withUnsafeMutablePointer(to: &ends) {
      unsafe $0.withMemoryRebound(to: Int32.self, capacity: 2) { unsafe ccontainer_packet_pair($0) }
    }
    guard result == 0 else { throw ContainerError("", SystemError("socketpair", "", .current)) }
    return ChannelEnds(
      parent: Channel(owning: FileDescriptor(owning: ends.0)), child: Channel(owning: FileDescriptor(owning: ends.1)))
  }

  /// Longest text of a failure, in bytes.
  static let textLimit = 8192

  /// Sends one message; false when the other side is gone.
  @discardableResult
  func send(_ message: ChannelMessage, beside descriptor: Int32 = -1) -> Bool {
    var bytes: [UInt8] = [message.code]
    switch message {
    case .mapping(let number), .listener(let number):
      for shift in stride(from: 0, to: 32, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: UInt32(bitPattern: number) >> UInt32(shift)))
      }
    case .failed(let error):
      bytes.append(error.kind.rawValue)
      bytes += Array(error.description.utf8.prefix(Self.textLimit))
    default: break
    }
    return unsafe bytes.withUnsafeBytes {
      // After a filter that notifies, write(2) is the one call that the profile may not ask about.
      // unsafe: the array holds count bytes for the length of the call.
      message.code == ChannelMessage.listener(number: 0).code
        ? unsafe ccontainer_write_packet(socket.rawValue, $0.baseAddress, $0.count) == $0.count
        : unsafe ccontainer_send(socket.rawValue, $0.baseAddress, $0.count, descriptor) == $0.count
    }
  }

  /// The next message and the descriptor beside it; nil when the other side has closed its end or died.
  func receive() throws(ContainerError) -> (message: ChannelMessage, descriptor: Int32)? {
    var beside: Int32 = -1
    let raw = socket.rawValue
    var failure: Errno?
    // unsafe: the closure fills the part that it counts.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Self.textLimit + 8) { buffer, count in
      // unsafe: the buffer has room for its count of bytes.
      let got = unsafe ccontainer_receive(raw, buffer.baseAddress, buffer.count, &beside)
      if got < 0 { failure = .current }
      count = max(0, got)
    }
    if let failure, failure != Errno(rawValue: ECONNRESET) {
      throw ContainerError("", SystemError("recvmsg", "channel", failure))
    }
    guard let code = bytes.first else { return nil }
    switch (code, bytes.count) {
    case (1, 5): return (.mapping(pid: Self.number(bytes)), beside)
    case (2, 1): return (.joined, beside)
    case (3, 1): return (.mounted, beside)
    case (4, 1): return (.terminal, beside)
    case (5, 5): return (.listener(number: Self.number(bytes)), beside)
    case (6, 1): return (.ready, beside)
    case (8, 1): return (.proceed, beside)
    case (7, 2...):
      let text = String(decoding: bytes[2...], as: UTF8.self)
      return (.failed(ContainerError(ContainerError.Kind(rawValue: bytes[1]) ?? .system, text)), beside)
    default: throw ContainerError(.system, "the container's set-up sent a message that is none (\(code))")
    }
  }

  private static func number(_ bytes: [UInt8]) -> Int32 {
    Int32(
      bitPattern: UInt32(bytes[1]) | UInt32(bytes[2]) << 8 | UInt32(bytes[3]) << 16 | UInt32(bytes[4]) << 24)
  }

  /// Tells the parent `message` and waits until it answers `proceed`.
  /// - Throws: when the parent has gone.
  func ask(_ message: ChannelMessage, beside descriptor: Int32 = -1) throws(ContainerError) {
    guard send(message, beside: descriptor), case .proceed? = try receive()?.message else {
      throw ContainerError(.system, "the runtime ended while the container was set up")
    }
  }
}

/// The two ends of a channel.
struct ChannelEnds {
  let parent: Channel
  let child: Channel
}
