import CLinux
import GuestInit
import GuestProtocol
import System

/// Two streams over a socket whose other end is a test.
final class SocketTransport: ChannelTransport {
  private let socket: FileDescriptor

  init(_ socket: consuming FileDescriptor) { self.socket = socket }

  var doorbell: Int32 { socket.rawValue }

  func silenceDoorbell() {}

  func credit() -> Int { 65536 }

  func send(_ bytes: UnsafeRawBufferPointer) {
    var done = 0
    while done < bytes.count {
      // unsafe: done < bytes.count.
      let count = unsafe CLinux.send(
        socket.rawValue, bytes.baseAddress?.advanced(by: done), bytes.count - done, Int32(MSG_NOSIGNAL))
      if count < 0 { _exit(99) }
      done += count
    }
  }

  func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    // unsafe: the caller's buffer is valid for its count.
    let count = unsafe recv(socket.rawValue, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
    // A test that has gone needs no command any more.
    if count == 0 { _exit(98) }
    return max(0, count)
  }

  var wantsOutput: Bool { false }
  func settle() {}
  let inputWindow = 128 << 10

  func mark(_ phase: Phase) {}
}
