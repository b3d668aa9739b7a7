import CLibvirt
import CLinux
import System

/// Whom a serial stream tells. The event loop's thread.
protocol SerialStreamClient: AnyObject {
  /// How many bytes it takes now; while it is 0 the stream is not read.
  func serialRoom() -> Int
  /// At most as many bytes as it had room for.
  func serial(received bytes: Span<UInt8>)
  /// What waited for the line has gone out.
  func serialDrained()
  /// The line has hung up: QEMU is gone, or was never the one at its other end.
  func serialClosed()
}

/// One serial port of QEMU's: a socket that QEMU connects to. QEMU reads no more than the guest takes, and waits with what is not read, so
/// that no byte is lost in either direction.
final class SerialStream: EventHandler, @unchecked Sendable {
  private enum Source: UInt32 { case listener, line, wake }

  private static let chunkSize = 64 << 10

  /// Who is at the other end, once somebody is.
  private(set) var peer: (process: pid_t, user: UInt32)?
  /// Whether the line was connected, and has hung up.
  private(set) var isClosed = false
  unowned(unsafe) var client: any SerialStreamClient

  private let loop: EventLoop
  private let wake: EventFD
  private var listener: FileDescriptor?
  private var line: FileDescriptor?
  private var isAllowed: (UInt32) -> Bool
  private var outgoing: [UInt8] = []
  private var sent = 0
  private var watched: UInt32 = 0
  private var chunk = [UInt8](repeating: 0, count: chunkSize)

  /// Listens at `path`, for the one connection of a user that `isAllowed`. The client, which lives as long, is told of what comes.
  init(
    path: String, isShared: Bool, loop: EventLoop, client: any SerialStreamClient,
    isAllowed: @escaping (UInt32) -> Bool
  ) throws(LibvirtError) {
    // unsafe: the string lives during the call.
    let raw = unsafe clibvirt_listen(path, isShared ? 0o666 : 0o600)
    guard raw >= 0 else { throw LibvirtError("cannot listen at \(path): \(Errno.current)") }
    self.loop = loop
    // unsafe: the client owns the stream, and outlives it.
    unsafe self.client = client
    self.isAllowed = isAllowed
    wake = try naming { () throws(SystemError) in try EventFD() }
    listener = FileDescriptor(owning: raw)
    try naming { () throws(SystemError) in
      try loop.add(raw, events: EPOLLIN.rawValue, token: Source.listener.rawValue, handler: self)
      try loop.add(wake.descriptor.rawValue, events: EPOLLIN.rawValue, token: Source.wake.rawValue, handler: self)
    }
  }

  /// A stream over `descriptor`, which is connected and non-blocking. For tests.
  init(descriptor: consuming FileDescriptor, loop: EventLoop, client: any SerialStreamClient) throws(LibvirtError) {
    self.loop = loop
    // unsafe: the client owns the stream, and outlives it.
    unsafe self.client = client
    isAllowed = { _ in true }
    wake = try naming { () throws(SystemError) in try EventFD() }
    line = consume descriptor
    peer = (0, 0)
    try naming { () throws(SystemError) in
      try loop.add(wake.descriptor.rawValue, events: EPOLLIN.rawValue, token: Source.wake.rawValue, handler: self)
    }
    rewatch()
  }

  var isConnected: Bool { peer != nil }

  /// The client has room again, or something to send. Any thread.
  func resume() { wake.signal() }

  /// How many bytes its client takes now.
  // unsafe: the client outlives the stream.
  var room: Int { unsafe client.serialRoom() }

  /// Bytes that wait for the line.
  var waiting: Int { outgoing.count - sent }

  /// Sends `bytes` behind what waits already.
  func send(_ bytes: Span<UInt8>) {
    for index in bytes.indices { outgoing.append(bytes[index]) }
    flush()
    rewatch()
  }

  func handle(events: UInt32, token: UInt32) {
    switch Source(rawValue: token) {
    case .listener: accept()
    case .wake:
      wake.drain()
      // unsafe: the client outlives the stream.
      if waiting == 0 { unsafe client.serialDrained() }
      rewatch()
    case .line:
      if events & EPOLLOUT.rawValue != 0 { flush() }
      if events & (EPOLLIN.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { read() }
      // unsafe: as above.
      if waiting == 0, !isClosed { unsafe client.serialDrained() }
      rewatch()
    case nil: break
    }
  }

  /// Reads what is there now, as far as the client takes it; false when nothing came.
  func poll() -> Bool {
    guard lineNumber >= 0 else { return false }
    let came = read()
    rewatch()
    return came
  }

  private var lineNumber: Int32 {
    switch line {
    case .some(let open): open.rawValue
    case .none: -1
    }
  }

  private var listenerNumber: Int32 {
    switch listener {
    case .some(let open): open.rawValue
    case .none: -1
    }
  }

  private func accept() {
    var process: pid_t = 0
    var user: uid_t = 0
    // unsafe: the call writes the two numbers.
    let raw = unsafe clibvirt_accept(listenerNumber, &process, &user)
    guard raw >= 0 else { return }
    let accepted = FileDescriptor(owning: raw)
    // Somebody else's connection is dropped, and QEMU's waited for.
    guard isAllowed(user) else { return }
    peer = (process, user)
    loop.remove(listenerNumber)
    listener = nil
    line = consume accepted
    rewatch()
  }

  /// Watches the line for what can be done with it now. An empty set is no watch at all: epoll reports a hang-up whatever is asked
  /// for, and would spin.
  private func rewatch() {
    let number = lineNumber
    guard number >= 0 else { return }
    var wanted: UInt32 = 0
    // unsafe: the client outlives the stream.
    if unsafe client.serialRoom() > 0 { wanted |= EPOLLIN.rawValue }
    if waiting > 0 { wanted |= EPOLLOUT.rawValue }
    guard wanted != watched else { return }
    do throws(SystemError) {
      if wanted == 0 {
        loop.remove(number)
      } else if watched == 0 {
        try loop.add(number, events: wanted, token: Source.line.rawValue, handler: self)
      } else {
        try loop.modify(number, events: wanted)
      }
      watched = wanted
    } catch {
      // Only an epoll that is out of memory or watches: the line is lost.
      close()
    }
  }

  @discardableResult
  private func read() -> Bool {
    // unsafe: the client outlives the stream.
    let room = min(unsafe client.serialRoom(), Self.chunkSize)
    guard room > 0, lineNumber >= 0 else { return false }
    let number = lineNumber
    // Taken out meanwhile, since what is read into must be this function's alone.
    var buffer: [UInt8] = []
    swap(&buffer, &chunk)
    defer { swap(&buffer, &chunk) }
    // unsafe: room is at most the buffer's count.
    let count = retryingInterrupts {
      unsafe buffer.withUnsafeMutableBytes { unsafe CLinux.read(number, $0.baseAddress, room) }
    }
    guard let count else {
      if Errno.current != .again { close() }
      return false
    }
    if count == 0 {
      close()
      return false
    }
    // unsafe: as above.
    unsafe client.serial(received: buffer.span.extracting(0..<count))
    return true
  }

  private func flush() {
    let number = lineNumber
    guard number >= 0 else { return }
    while waiting > 0 {
      let first = sent
      let count = retryingInterrupts {
        // unsafe: first < outgoing.count; without a signal when the other side has gone.
        unsafe outgoing.withUnsafeBytes {
          unsafe CLinux.send(number, $0.baseAddress?.advanced(by: first), $0.count - first, Int32(MSG_NOSIGNAL))
        }
      }
      guard let count else {
        if Errno.current != .again { forget() }
        return
      }
      sent += count
    }
    forget()
  }

  private func forget() {
    outgoing.removeAll(keepingCapacity: true)
    sent = 0
  }

  private func close() {
    guard lineNumber >= 0 else { return }
    if watched != 0 { loop.remove(lineNumber) }
    watched = 0
    line = nil
    isClosed = true
    forget()
    // unsafe: the client outlives the stream.
    unsafe client.serialClosed()
  }
}
