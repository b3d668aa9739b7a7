import CLinux
import GuestProtocol
import System

/// Frames over a transport. What the host does not take yet is kept, and then nobody is asked for more output.
@safe public final class Channel {
  private let transport: any ChannelTransport
  private var outgoing: [UInt8] = []
  private var sent = 0
  /// What is left of the credit that the host last told. Asking costs an exit, so it is used up first.
  private var knownCredit = 0
  private var parser = FrameParser()
  private let buffer: UnsafeMutableRawBufferPointer

  public init(_ transport: any ChannelTransport) {
    self.transport = transport
    // unsafe: freed by deinit, used by nobody else.
    unsafe buffer = .allocate(byteCount: FrameHeader.size + FrameHeader.dataLimit, alignment: 16)
  }

  deinit { unsafe buffer.deallocate() }

  /// Whether the host has taken everything.
  public var isDrained: Bool { sent == outgoing.count }
  /// See `ChannelTransport.doorbell`.
  public var doorbell: Int32 { transport.doorbell }

  /// See `ChannelTransport.wantsOutput`.
  var wantsOutput: Bool { transport.wantsOutput }
  /// See `ChannelTransport.inputWindow`.
  var inputWindow: Int { transport.inputWindow }
  /// See `ChannelTransport.settle`. Only while drained.
  func settle() { transport.settle() }

  /// Sends a message, behind what waits already.
  public func send(_ message: GuestMessage) {
    message.encode(into: &outgoing)
    flush()
  }

  /// Tells the host how far the start has come.
  public func mark(_ phase: Phase) { transport.mark(phase) }

  /// What `forward` found.
  enum Source {
    case bytes(Int)
    case nothingYet
    case end
  }

  /// Reads at most `limit` bytes from a non-blocking descriptor and sends them as one frame. Only while drained.
  func forward(_ descriptor: borrowing FileDescriptor, as kind: FrameKind, limit: Int) -> Source {
    let limit = min(limit, FrameHeader.dataLimit)
    // unsafe: the buffer has room for a header and the longest payload.
    let payload = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[FrameHeader.size..<FrameHeader.size + limit])
    let count: Int
    do throws(SystemError) {
      count = try unsafe descriptor.read(into: payload)
    } catch {
      // A terminal whose other end is closed reports an I/O error.
      return error.errno == .again ? .nothingYet : .end
    }
    guard count > 0 else { return .end }
    let header = FrameHeader(kind: kind, length: count).encoded
    // unsafe: count <= limit, so that header and payload lie in the buffer.
    unsafe buffer.storeBytes(of: header, as: UInt64.self)
    unsafe transmit(UnsafeRawBufferPointer(rebasing: buffer[..<(FrameHeader.size + count)]))
    return .bytes(count)
  }

  /// Sends as much of what waits as the host takes.
  public func flush() {
    while !isDrained {
      let count = allowance(outgoing.count - sent)
      if count == 0 { return }
      unsafe outgoing.withUnsafeBytes { bytes in
        // unsafe: sent + count <= outgoing.count by allowance.
        unsafe transport.send(UnsafeRawBufferPointer(rebasing: bytes[sent..<sent + count]))
      }
      sent += count
    }
    outgoing.removeAll(keepingCapacity: true)
    sent = 0
  }

  /// Hands everything that the host has sent on to `receiver`.
  /// - Throws: when it makes no sense; the channel is of no use any more.
  public func receive(_ receiver: any FrameReceiver) throws(ProtocolError) {
    transport.silenceDoorbell()
    while true {
      let count = unsafe transport.receive(into: buffer)
      if count == 0 { return }
      // unsafe: the transport filled count bytes of the buffer.
      try unsafe parser.parse(UnsafeRawBufferPointer(rebasing: buffer[..<count]), into: receiver)
    }
  }

  /// Sends bytes without copying them, as far as the host takes them now; the rest is kept.
  private func transmit(_ bytes: UnsafeRawBufferPointer) {
    var done = 0
    while done < bytes.count {
      let count = allowance(bytes.count - done)
      if count == 0 {
        // unsafe: done < bytes.count.
        unsafe outgoing.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[done...]))
        return
      }
      // unsafe: done + count <= bytes.count by allowance.
      unsafe transport.send(UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]))
      done += count
    }
  }

  /// How many of `wanted` bytes may be sent now. The host is asked once more before the answer is 0, so that it knows that
  /// its doorbell is waited for.
  private func allowance(_ wanted: Int) -> Int {
    if knownCredit == 0 { knownCredit = transport.credit() }
    let count = min(wanted, knownCredit)
    knownCredit -= count
    return count
  }
}
