import CLinux
import GuestProtocol
import System

/// Init's end of what a command writes to.
struct OutputStream: ~Copyable {
  private var descriptor: FileDescriptor?
  private let kind: FrameKind
  /// Bytes that still count.
  private var left = Int.max

  /// Takes over a non-blocking descriptor; nil for a stream that is closed from the start.
  init(_ descriptor: consuming FileDescriptor?, _ kind: FrameKind) {
    self.descriptor = descriptor
    self.kind = kind
  }

  var isOpen: Bool { rawValue >= 0 }

  /// The descriptor's number; -1 when closed.
  var rawValue: Int32 {
    switch descriptor {
    case .some(let open): open.rawValue
    case .none: -1
    }
  }

  /// Sends what is there, at most one frame.
  mutating func forward(to channel: Channel) {
    var isAtEnd = false
    switch descriptor {
    case .some(let open):
      switch channel.forward(open, as: kind, limit: left) {
      case .bytes(let count):
        left -= count
        isAtEnd = left == 0
      case .nothingYet: break
      case .end: isAtEnd = true
      }
    case .none: break
    }
    if isAtEnd { descriptor = nil }
  }

  /// Lets only what is in the pipe now count: the command has ended, and all that it wrote is in there. Those whom it left
  /// behind with the pipe may keep it open, or full, for ever.
  mutating func limitToPresent() {
    var present: Int32 = 0
    // unsafe: FIONREAD writes one int.
    let result = unsafe clinux_ioctl_pointer(rawValue, UInt(FIONREAD), &present)
    if result == 0 && present > 0 {
      left = Int(present)
    } else {
      descriptor = nil
    }
  }

  mutating func close() { descriptor = nil }
}
