import Boot
import CLinux
import Devices
import GuestProtocol
import Hypervise
import System

/// The payload channel's fast way: memory that the guest maps, whose halves carry bytes to and from the host at one exit for
/// as many as fit (`ChannelPort`). Without it KVM would leave the guest for every single byte.
final class ChannelWindow: @unchecked Sendable {
  private let mapping: Mapping
  private let channel: PayloadChannel
  private let lock = Lock()
  /// The host's own copy of what the guest sent: a running guest may change the window while it is read.
  private var copy: [UInt8]

  private static var half: Int { Int(Layout.channelWindowSize) / 2 }

  /// A window in memory slot `slot` of `vm` that moves the bytes of `channel`.
  init(channel: PayloadChannel, vm: SharedVM, slot: UInt32) throws(MachineError) {
    let mapping = try naming { () throws(SystemError) in try Mapping.anonymous(count: Int(Layout.channelWindowSize)) }
    // unsafe: only the address's number is used.
    let hostAddress = unsafe UInt64(UInt(bitPattern: mapping.base))
    try naming { () throws(KVMError) in
      try vm.vm.setMemory(
        slot: slot, guestAddress: Layout.channelWindow, count: Layout.channelWindowSize, hostAddress: hostAddress)
    }
    self.mapping = mapping
    self.channel = channel
    copy = [UInt8](repeating: 0, count: Self.half)
  }

  /// Whether `port` belongs to the window.
  func claims(_ port: UInt16) -> Bool {
    port == ChannelPort.windowPage || port == ChannelPort.windowSize || port == ChannelPort.windowTransfer
  }

  /// The guest has put bytes into the first half.
  func write(port: UInt16, _ bytes: Span<UInt8>) {
    guard port == ChannelPort.windowTransfer, bytes.count == 4 else { return }
    var count = 0
    for index in 0..<4 { count |= Int(bytes[index]) << (index * 8) }
    // More than fits is no transfer at all: the guest's own stream breaks by it.
    guard count > 0, count <= Self.half else { return }
    lock.withLock {
      // unsafe: both ranges hold half a window, and count is at most that.
      unsafe copy.withUnsafeMutableBufferPointer { copy in
        guard let start = copy.baseAddress else { return }
        unsafe UnsafeMutableRawPointer(start).copyMemory(from: mapping.base, byteCount: count)
        channel.write(offset: 0, unsafe UnsafeBufferPointer(start: start, count: count).span)
      }
    }
  }

  /// Answers where the window is; on the transfer port fills the second half.
  func read(port: UInt16, into bytes: inout MutableSpan<UInt8>) {
    let value: UInt32
    switch port {
    case ChannelPort.windowPage: value = UInt32(Layout.channelWindow >> 12)
    case ChannelPort.windowSize: value = UInt32(Layout.channelWindowSize)
    default: value = fill()
    }
    for index in bytes.indices {
      bytes[index] = index < 4 ? UInt8(truncatingIfNeeded: value >> (UInt32(index) * 8)) : 0
    }
  }

  private func fill() -> UInt32 {
    var available = InlineArray<4, UInt8>(repeating: 0)
    var span = available.mutableSpan
    channel.read(offset: ChannelPort.available - ChannelPort.toHost, into: &span)
    var count = 0
    for index in 0..<4 { count |= Int(available[index]) << (index * 8) }
    count = min(count, Self.half)
    guard count > 0 else { return 0 }
    // unsafe: the second half of the mapping holds `half` bytes, and count is at most that. Nothing is read back from it.
    let target = unsafe UnsafeMutableBufferPointer(
      start: (mapping.base + Self.half).assumingMemoryBound(to: UInt8.self), count: count)
    var bytes = unsafe target.mutableSpan
    channel.read(offset: ChannelPort.fromHost - ChannelPort.toHost, into: &bytes)
    return UInt32(count)
  }
}
