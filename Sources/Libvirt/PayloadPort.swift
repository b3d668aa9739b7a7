import Devices
import GuestProtocol
import System

/// The guest's second serial port, joined to the payload channel: plays the guest's side of the channel's ports (`PayloadChannel`) for
/// the bytes that come over the line.
///
/// Credit decides how much is read, so that output waits in the guest when nobody takes it here; the channel's doorbell wakes the
/// loop. Nothing is sent before the guest has said something: a driver that opens its port empties it.
final class PayloadPort: SerialStreamClient, Doorbell, @unchecked Sendable {
  /// Bytes that wait for the line at most.
  private static let mostWaiting = 32 << 10

  private var channel: PayloadChannel?
  private var stream: SerialStream?
  private let timeline: @Sendable () -> Void
  private var hasSpoken = false

  /// `greeted` is called once, with the first byte.
  init(greeted: @escaping @Sendable () -> Void) { timeline = greeted }

  /// Joins both sides.
  func join(_ channel: PayloadChannel, _ stream: SerialStream) {
    self.channel = channel
    self.stream = stream
  }

  /// Any thread.
  func ring() { stream?.resume() }

  func serialRoom() -> Int {
    guard let channel else { return 0 }
    return Int(Self.number(channel, ChannelPort.credit))
  }

  func serial(received bytes: Span<UInt8>) {
    if !hasSpoken {
      hasSpoken = true
      timeline()
    }
    // The channel counts what is written against the last look at its credit, which was the stream's before it read.
    channel?.write(offset: 0, bytes)
    serialDrained()
  }

  func serialDrained() {
    guard hasSpoken, let channel, let stream else { return }
    while stream.waiting < Self.mostWaiting {
      let available = min(Int(Self.number(channel, ChannelPort.available)), Self.mostWaiting)
      guard available > 0 else { return }
      var bytes = [UInt8](repeating: 0, count: available)
      var span = bytes.mutableSpan
      channel.read(offset: ChannelPort.fromHost - ChannelPort.toHost, into: &span)
      stream.send(bytes.span)
    }
  }

  func serialClosed() {}

  /// What a port of 32 bits answers.
  private static func number(_ channel: PayloadChannel, _ port: UInt16) -> UInt32 {
    var bytes = InlineArray<4, UInt8>(repeating: 0)
    var span = bytes.mutableSpan
    channel.read(offset: port - ChannelPort.toHost, into: &span)
    var value: UInt32 = 0
    for index in 0..<4 { value |= UInt32(bytes[index]) << UInt32(8 * index) }
    return value
  }
}
