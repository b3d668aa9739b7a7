import CGuestInit
import CLinux
import GuestProtocol
import System

/// The channel over vmrun's I/O ports (`ChannelPort`), used from user space.
///
/// /dev/port would be no substitute where iopl(2) is not to be had: it splits 32-bit accesses into bytes.
final class PortTransport: ChannelTransport {
  private var bell: FileDescriptor?
  private var window: Window?

  /// Gains access to the ports and checks that vmrun is behind them.
  init() throws(Failure) {
    guard iopl(3) == 0 else { throw Failure(SystemError("iopl", "", .current)) }
    guard clinux_inl(ChannelPort.identity) == ChannelPort.magic else {
      throw Failure("guest init: this virtual machine has no command channel")
    }
  }

  /// Finds the doorbell and the window, which need /dev. Without a doorbell the ports are asked now and then, and without
  /// a window bytes travel singly.
  func attachDevices() {
    attachBell()
    window = Window()
  }

  private func attachBell() {
    let flags = O_RDWR | O_NOCTTY | O_NONBLOCK
    guard let port = try? FileDescriptor.open("/dev/ttyS1", flags) else { return }
    // The kernel lists ports that are not there; those refuse to be set up.
    if make_raw(port.rawValue) == 0 { bell = consume port }
  }

  var doorbell: Int32 {
    switch bell {
    case .some(let open): open.rawValue
    case .none: -1
    }
  }

  func silenceDoorbell() {
    guard doorbell >= 0 else { return }
    var rings = InlineArray<64, UInt8>(repeating: 0)
    var span = rings.mutableSpan
    unsafe span.withUnsafeMutableBytes { buffer in
      // unsafe: the buffer covers the array.
      while unsafe CLinux.read(doorbell, buffer.baseAddress, buffer.count) == buffer.count {}
    }
  }

  func credit() -> Int { Int(clinux_inl(ChannelPort.credit)) }

  func send(_ bytes: UnsafeRawBufferPointer) {
    if window != nil {
      // unsafe: the caller's buffer is valid during the call.
      unsafe window?.send(bytes)
      return
    }
    var done = 0
    while done < bytes.count {
      let count = min(bytes.count - done, ChannelPort.stringLimit)
      // unsafe: done + count <= bytes.count.
      unsafe clinux_outsb(ChannelPort.toHost, bytes.baseAddress?.advanced(by: done), count)
      done += count
    }
  }

  func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    // unsafe: the caller's buffer is valid during the call.
    if let count = unsafe window?.receive(into: buffer) { return count }
    let available = Int(clinux_inl(ChannelPort.available))
    let total = min(available, buffer.count)
    var done = 0
    while done < total {
      let count = min(total - done, ChannelPort.stringLimit)
      // unsafe: done + count <= buffer.count.
      unsafe clinux_insb(ChannelPort.fromHost, buffer.baseAddress?.advanced(by: done), count)
      done += count
    }
    return total
  }

  // The ports take every byte at once.
  var wantsOutput: Bool { false }
  func settle() {}
  let inputWindow = 128 << 10

  func mark(_ phase: Phase) { clinux_outb(ChannelPort.phase, phase.rawValue) }
}

/// Guest memory that the host reads and writes at one exit's cost, whatever the number of bytes.
@safe private struct Window: ~Copyable {
  private let base: UnsafeMutableRawPointer
  /// Bytes in one direction.
  private let half: Int

  /// Maps the window; nil when the host has none or the kernel does not let it be mapped.
  init?() {
    let page = clinux_inl(ChannelPort.windowPage)
    let size = Int(clinux_inl(ChannelPort.windowSize))
    guard page != 0, page != .max, size >= 8192, size <= ChannelPort.windowLimit, size & 8191 == 0 else { return nil }
    guard let memory = try? FileDescriptor.open("/dev/mem", O_RDWR) else { return nil }
    // unsafe: a fresh shared mapping; the mapping outlives the descriptor.
    let mapping = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.rawValue, off_t(page) << 12)
    guard unsafe !clinux_map_failed(mapping), let start = unsafe mapping else { return nil }
    unsafe base = start
    half = size / 2
  }

  borrowing func send(_ bytes: UnsafeRawBufferPointer) {
    var done = 0
    while done < bytes.count {
      let count = min(bytes.count - done, half)
      // unsafe: done + count <= bytes.count, and count <= half; the port write orders the copy before the host's look.
      unsafe base.copyMemory(from: bytes.baseAddress.unsafelyUnwrapped + done, byteCount: count)
      clinux_fence()
      clinux_outl(ChannelPort.windowTransfer, UInt32(truncatingIfNeeded: count))
      done += count
    }
  }

  borrowing func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    // The host fills up to half a window; a smaller buffer would lose the rest.
    guard buffer.count >= half else { return 0 }
    let count = min(Int(clinux_inl(ChannelPort.windowTransfer)), half)
    clinux_fence()
    // unsafe: count <= half <= buffer.count, and the second half of the mapping has half bytes.
    if count > 0 { unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(start: base + half, count: count)) }
    return count
  }
}
