import Devices
import System

/// The guest's first serial port: what it writes is kept for when the guest fails, and goes where the user wants it.
final class ConsolePort: SerialStreamClient, InputConsumer, @unchecked Sendable {
  /// Bytes of input that wait for QEMU at most.
  private static let inputCapacity = 4096
  /// What the kernel says when it has opened the console for its first process: what is typed earlier is lost when the driver
  /// opens the port.
  private static let opened = Array(" as init process".utf8)
  /// A console that is silent for this long after its first byte, in nanoseconds, has a kernel that says nothing of the kind.
  private static let silence: UInt64 = 1_500_000_000

  let capture = ConsoleCapture()
  let output: OutputPump?

  private var stream: SerialStream?
  private var input: InputPump?
  private var takesInput = false
  private var matched = 0
  private var lastByte: UInt64 = 0
  private var inputRefused = false

  /// A console that goes to `output`, or nowhere.
  init(output: OutputPump?) { self.output = output }

  /// Joins the line.
  func join(_ stream: SerialStream) {
    self.stream = stream
    output?.onRoom { stream.resume() }
  }

  /// Standard input goes to the guest through `pump`.
  func join(_ pump: InputPump) { input = pump }

  /// Now and then: lets the input in when the console has become silent.
  func look() {
    guard !takesInput, lastByte != 0, Clock.now() &- lastByte > Self.silence else { return }
    open()
  }

  func serialRoom() -> Int { output?.room ?? 65536 }

  func serial(received bytes: Span<UInt8>) {
    capture.write(bytes)
    output?.append(bytes)
    if takesInput { return }
    lastByte = Clock.now()
    for index in bytes.indices {
      // A mismatch begins anew: no end of what matched is a longer beginning of the text than one blank.
      matched = bytes[index] == Self.opened[matched] ? matched + 1 : bytes[index] == Self.opened[0] ? 1 : 0
      if matched == Self.opened.count { return open() }
    }
  }

  func serialDrained() {
    guard takesInput, inputRefused else { return }
    inputRefused = false
    input?.resume()
  }

  func serialClosed() {}

  // MARK: InputConsumer, the loop's thread

  var inputRoom: Int {
    let room = takesInput ? max(0, Self.inputCapacity - (stream?.waiting ?? 0)) : 0
    if room == 0 { inputRefused = true }
    return room
  }

  func takeInput(_ bytes: Span<UInt8>) { stream?.send(bytes) }

  /// Nothing: a serial line has no end of file.
  func endInput() {}

  private func open() {
    takesInput = true
    if inputRefused {
      inputRefused = false
      input?.resume()
    }
  }
}
