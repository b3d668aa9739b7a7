import System

/// What the guest's init told over the payload channel.
public enum PayloadEvent: Equatable, Sendable {
  /// Init runs and speaks the protocol.
  case hello
  /// The command was executed.
  case started
  /// The command ended by exit(2) with `code` (0...255).
  case exited(code: UInt8)
  /// The command was killed by `signal` (1...64).
  case killed(signal: UInt8)
  /// The command could not be started: exit code 125, 126 or 127, and why; the text is safe to print.
  case failed(code: UInt8, message: String)
  /// The guest broke the protocol and nothing that it writes counts any more: the VM must be ended. The text says how, for
  /// example "unknown frame type 9".
  case violated(String)
}

/// Who is told of the payload's life. Called on vCPU threads with no lock held.
public protocol PayloadClient: AnyObject, Sendable {
  /// Output that came before the event is in the sinks already.
  func payload(_ event: PayloadEvent)
  /// The guest takes standard input again, after `inputRoom` was 0.
  func payloadTakesInput()
}

/// The host's end of the payload channel: sixteen ports that carry a command's standard streams without any driver in
/// the guest's kernel.
///
/// | port | width | direction | meaning |
/// |---|---|---|---|
/// | 0x610 | byte string | out | stream guest -> host |
/// | 0x612 | byte string | in | stream host -> guest, zeros when nothing is available |
/// | 0x614 | 4 | in | bytes available in the stream host -> guest |
/// | 0x618 | 4 | in | credit: bytes that the host accepts now on 0x610 |
/// | 0x61C | 4 | in | magic |
///
/// Credit is the room in the fuller of the two sinks, so a vCPU thread never waits here: what the guest may write always
/// fits. A guest that writes more than its last look at the credit allowed breaks the protocol, and so does a malformed frame.
///
/// The doorbell rings when the stream to the guest stops being empty, and when the credit, which was low at the guest's
/// last look, is high again. Both are decided under the lock under which the guest looks, so a guest that looks, finds nothing and then
/// waits for the bell cannot miss it.
///
/// Lock order: channel, then sink. The doorbell and the client are called with neither.
public final class PayloadChannel: InputConsumer, @unchecked Sendable {
  /// The first port.
  public static let portBase: UInt16 = 0x610
  /// Ports occupied from the base.
  public static let portCount: UInt16 = 16
  /// What port 0x61C reads: "vrn1".
  public static let magic: UInt32 = 0x316E_7276
  /// Credit under which a guest is taken to wait, in bytes.
  public static let lowCredit = 64 << 10

  private enum Port {
    static let write: UInt16 = 0x0
    static let read: UInt16 = 0x2
    static let available: UInt16 = 0x4
    static let credit: UInt16 = 0x8
    static let magic: UInt16 = 0xC
  }

  /// Standard input that waits for the guest at most, in bytes.
  private static let inputCapacity = 64 << 10
  /// Control frames are refused when this much waits: the guest has stopped reading.
  private static let inboundLimit = 128 << 10
  /// No grant makes the window larger than this; more could never be used.
  private static let windowLimit = 1 << 40

  private let output: any CreditedSink
  private let errors: any CreditedSink
  private let doorbell: any Doorbell
  private let client: any PayloadClient
  private let bellThreshold: Int

  private let lock = Lock()
  private var parser = PayloadParser()
  /// Bytes that the guest may still write, as of its last look.
  private var allowance = 0
  /// The credit at the guest's last look was low, and no bell has rung for it since.
  private var creditAwaited = false
  private var inbound = ByteQueue()
  /// Bytes of standard input that the guest has granted and not been sent.
  private var window = 0
  private var inputEnded = false
  private var inputRefused = false

  /// What is done when the lock has been given back.
  private struct Effects {
    var ring = false
    var inputRoom = false
    var events: [PayloadEvent] = []
  }

  /// A channel that hands STDOUT to `output` and STDERR to `errors`, which may be the same sink; nobody else may fill them.
  public init(
    output: any CreditedSink, errors: any CreditedSink, doorbell: any Doorbell, client: any PayloadClient
  ) {
    self.output = output
    self.errors = errors
    self.doorbell = doorbell
    self.client = client
    bellThreshold = max(1, min(Self.lowCredit, min(output.room, errors.room) / 2))
    // The sinks keep the channel alive: both live as long as the VM.
    output.onRoom { self.roomGrew() }
    if errors !== output { errors.onRoom { self.roomGrew() } }
  }

  /// A string read of port `portBase + offset`.
  public func read(offset: UInt16, into bytes: inout MutableSpan<UInt8>) {
    switch offset {
    case Port.read: readStream(into: &bytes)
    case Port.available: bytes.fill(littleEndian: lock.withLock { UInt32(clamping: inbound.count) })
    case Port.credit: bytes.fill(littleEndian: lookAtCredit())
    case Port.magic: bytes.fill(littleEndian: Self.magic)
    default: bytes.fill(repeating: 0xFF)
    }
  }

  /// A string write to port `portBase + offset`. Never waits.
  public func write(offset: UInt16, _ bytes: Span<UInt8>) {
    guard offset == Port.write else { return }
    var effects = Effects()
    lock.lock()
    if bytes.count > allowance {
      parser.fail("wrote \(bytes.count) bytes with \(allowance) bytes of credit", &effects.events)
    } else {
      allowance -= bytes.count
      parse(bytes, &effects)
    }
    lock.unlock()
    apply(effects)
  }

  /// Asks init to send signal `number` to the command; false when the guest has stopped reading its stream.
  @discardableResult
  public func send(signal number: Int32) -> Bool {
    sendFrame(PayloadFrame.signal, UInt32(bitPattern: number).littleEndianBytes)
  }

  /// Tells init the terminal's new size; false when the guest has stopped reading its stream.
  @discardableResult
  public func send(windowSize size: WindowSize) -> Bool {
    sendFrame(
      PayloadFrame.windowSize,
      (UInt32(size.rows) | UInt32(size.columns) << 16).littleEndianBytes
        + (UInt32(size.widthPixels) | UInt32(size.heightPixels) << 16).littleEndianBytes)
  }

  /// Bytes of standard input that the guest has granted and that do not have to wait long.
  public var inputRoom: Int {
    lock.withLock {
      let room = currentInputRoom
      if room == 0 { inputRefused = true }
      return room
    }
  }

  /// Queues standard input for the guest: at most `inputRoom` bytes.
  public func takeInput(_ bytes: Span<UInt8>) {
    let ring = lock.withLock {
      let wasEmpty = inbound.isEmpty
      var done = 0
      while done < bytes.count {
        let length = min(bytes.count - done, PayloadFrame.maximumLength)
        appendHeader(PayloadFrame.standardInput, length: length)
        inbound.append(bytes.extracting(done..<done + length))
        done += length
      }
      window = max(0, window - bytes.count)
      return wasEmpty && !inbound.isEmpty
    }
    if ring { doorbell.ring() }
  }

  /// Tells the guest that standard input has ended; once.
  public func endInput() {
    let ring = lock.withLock {
      if inputEnded { return false }
      inputEnded = true
      let wasEmpty = inbound.isEmpty
      appendHeader(PayloadFrame.endOfInput, length: 0)
      return wasEmpty
    }
    if ring { doorbell.ring() }
  }

  private func sendFrame(_ type: UInt8, _ payload: [UInt8]) -> Bool {
    var ring = false
    let sent = lock.withLock {
      if inbound.count > Self.inboundLimit { return false }
      ring = inbound.isEmpty
      appendHeader(type, length: payload.count)
      inbound.append(payload.span)
      return true
    }
    if ring { doorbell.ring() }
    return sent
  }

  private func readStream(into bytes: inout MutableSpan<UInt8>) {
    var count = 0
    let notify = lock.withLock {
      count = inbound.copyPrefix(into: &bytes)
      inbound.drop(count)
      return takeInputRefusal()
    }
    for index in count..<bytes.count { bytes[index] = 0 }
    if notify { client.payloadTakesInput() }
  }

  private func lookAtCredit() -> UInt32 {
    lock.withLock {
      allowance = currentCredit
      creditAwaited = allowance < bellThreshold
      return UInt32(allowance)
    }
  }

  private func roomGrew() {
    let ring = lock.withLock {
      guard creditAwaited, currentCredit >= bellThreshold else { return false }
      creditAwaited = false
      return true
    }
    if ring { doorbell.ring() }
  }

  private func apply(_ effects: Effects) {
    for event in effects.events { client.payload(event) }
    if effects.inputRoom { client.payloadTakesInput() }
  }
}

// The lock is held in all of these.
extension PayloadChannel {
  private var currentCredit: Int { max(0, min(min(output.room, errors.room), Int(Int32.max))) }

  private var currentInputRoom: Int {
    inputEnded ? 0 : max(0, min(window, Self.inputCapacity - inbound.count))
  }

  /// True once when the host was refused and has room again. Half a buffer at a time, so that a guest that reads in small
  /// pieces does not wake the event loop for each.
  private func takeInputRefusal() -> Bool {
    guard inputRefused, currentInputRoom > 0, inbound.count <= Self.inputCapacity / 2 else { return false }
    inputRefused = false
    return true
  }

  private func appendHeader(_ type: UInt8, length: Int) {
    inbound.append(([type, 0, 0, 0] + UInt32(length).littleEndianBytes).span)
  }

  private func parse(_ bytes: Span<UInt8>, _ effects: inout Effects) {
    var position = 0
    while position < bytes.count {
      let step = parser.step(bytes.extracting(position..<bytes.count), &effects.events)
      switch step {
      case .consumed(let count): position += count
      case .output(let count):
        output.append(bytes.extracting(position..<position + count))
        position += count
      case .errors(let count):
        errors.append(bytes.extracting(position..<position + count))
        position += count
      case .window(let count, let granted):
        position += count
        window = min(window + Int(granted), Self.windowLimit)
        if takeInputRefusal() { effects.inputRoom = true }
      case .ended: return
      }
    }
  }
}

extension UInt32 {
  /// Four bytes, least significant first.
  var littleEndianBytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: self >> UInt32(8 * $0)) } }
}
