import System

/// A 16550A UART (National Semiconductor PC16550D data sheet) whose wire is a queue of bytes on the host's side.
///
/// **Transmitting.** A byte written to THR goes to the sink at once, so THR is always empty. A sink that is full blocks the vCPU that
/// writes, without the device's lock held.
///
/// **Receiving.** Bytes wait on the host's side and are *presented* to the guest in batches: LSR's Data Ready and RBR only
/// see the current batch. A batch is presented when the guest can take it: its receive interrupt is enabled, or it polls
/// (four reads of LSR in a row); it is taken back when the interrupt is disabled. So a driver that resets the FIFO, or reads RBR "for
/// luck" while it opens the port, as Linux's does, loses nothing that was typed ahead.
///
/// The end of a batch is visible to the guest before the next one begins: a driver that drains the port and loops until
/// IIR says "no interrupt" leaves its handler and is interrupted again, instead of being fed for ever by a fast host. The
/// next batch is *owed* once the guest has seen Data Ready clear, and comes with its next look at LSR or IIR; an edge is sent
/// for the debt, so no driver needs to look by itself.
///
/// **Interrupts** are edges. One is sent whenever a condition arises or is enabled while it holds; one too many is a handler that
/// reads "no interrupt" from IIR, one too few would be a port that hangs.
///
/// RTS held low with DTR high, after it was high, is the guest's receiver asking the line to wait (CRTSCTS).
/// OUT2 does not gate the interrupt, which a PC's board does, so that drivers which forget it work too.
public final class Serial16550: InputConsumer, @unchecked Sendable {
  /// Ports occupied from the base.
  public static let portCount: UInt16 = 8
  /// Bytes that wait for the guest at most.
  public static let receiveCapacity = 4096

  /// Bytes in a batch while the FIFO is enabled. Linux's driver reads at most 256 for one interrupt.
  private static let batchSize = 256
  /// The hardware FIFO, which only loopback mode shows.
  private static let fifoSize = 16
  /// Reads of LSR in a row, with receive interrupts off, that make a guest one that polls. Linux never does more than two.
  private static let pollingReads = 4

  private let lock = Lock()
  private let interrupt: any InterruptLine
  private let output: any ByteSink
  private var spaceBody: (@Sendable () -> Void)?

  private var interruptEnable: UInt8 = 0
  private var lineControl: UInt8 = 0
  private var modemControl: UInt8 = 0
  private var modemDelta: UInt8 = 0
  private var scratch: UInt8 = 0
  private var divisor: UInt16 = 1
  private var fifoControl: UInt8 = 0
  /// THR has become empty and IIR has not told yet.
  private var transmitterEmptied = false
  private var overrun = false
  /// What loopback mode has received.
  private var looped = ByteQueue()

  private var queue = ByteQueue(capacity: receiveCapacity)
  /// How many of the queue's first bytes the guest sees.
  private var presented = 0
  private var owed = false
  private var statusReads = 0
  private var polling = false
  private var throttled = false
  /// The host was refused, and wants to be told of room.
  private var refused = false

  /// What is done when the lock has been given back.
  private struct Effects {
    var raise = false
    var space = false
  }

  /// A port that transmits into `output` and interrupts by `interrupt`.
  public init(interrupt: any InterruptLine, output: any ByteSink) {
    self.interrupt = interrupt
    self.output = output
  }

  /// One-byte reads of the register at `offset` (0..<8), one for each byte of `bytes` (`rep insb`).
  public func read(offset: UInt16, into bytes: inout MutableSpan<UInt8>) {
    var effects = Effects()
    lock.lock()
    for index in 0..<bytes.count { bytes[index] = readRegister(offset, &effects) }
    lock.unlock()
    apply(effects)
  }

  /// One-byte writes to the register at `offset` (0..<8), one for each byte of `bytes` (`rep outsb`). Blocks as long as the
  /// output does.
  public func write(offset: UInt16, _ bytes: Span<UInt8>) {
    var effects = Effects()
    lock.lock()
    if offset == 0 && lineControl & LCR.divisorAccess == 0 {
      if modemControl & MCR.loopback == 0 {
        lock.unlock()
        // Not under the lock: the event loop must be able to hand in input while the output waits for it to drain.
        output.write(bytes)
        lock.lock()
      } else {
        for index in 0..<bytes.count { loopBack(bytes[index], &effects) }
      }
      statusReads = 0
      transmitterEmptied = true
      if interruptEnable & IER.transmitterEmpty != 0 { effects.raise = true }
    } else {
      for index in 0..<bytes.count { writeRegister(offset, bytes[index], &effects) }
    }
    lock.unlock()
    apply(effects)
  }

  /// Bytes that the host side takes for the guest now.
  public var inputRoom: Int {
    lock.withLock {
      if queue.count >= Self.receiveCapacity { refused = true }
      return max(0, Self.receiveCapacity - queue.count)
    }
  }

  /// Takes bytes for the guest, as many as there is room for; returns how many. The caller keeps the rest.
  public func receive(_ bytes: Span<UInt8>) -> Int {
    var effects = Effects()
    let accepted = lock.withLock {
      let accepted = min(bytes.count, max(0, Self.receiveCapacity - queue.count))
      if accepted < bytes.count { refused = true }
      queue.append(bytes, count: accepted)
      if accepted > 0 { offer(&effects) }
      return accepted
    }
    apply(effects)
    return accepted
  }

  /// Registers what is called (on a vCPU thread, no lock held) when the guest made room after `receive` refused bytes or
  /// `inputRoom` said 0. Call before the first vCPU runs.
  public func onReceiveSpace(_ body: @escaping @Sendable () -> Void) { spaceBody = body }

  /// `receive`, for a caller that has asked `inputRoom`.
  public func takeInput(_ bytes: Span<UInt8>) { _ = receive(bytes) }

  /// Nothing: a serial line has no end of file.
  public func endInput() {}

  /// Queues `byte` unless one is waiting already, which the guest is yet to be woken by.
  func knock(_ byte: UInt8) {
    var effects = Effects()
    lock.lock()
    if queue.isEmpty { queue.append(byte) }
    offer(&effects)
    lock.unlock()
    apply(effects)
  }

  private func apply(_ effects: Effects) {
    if effects.raise { interrupt.raise() }
    if effects.space, let spaceBody { spaceBody() }
  }
}

// Register accesses; the lock is held.
extension Serial16550 {
  private func readRegister(_ offset: UInt16, _ effects: inout Effects) -> UInt8 {
    let divisorAccess = lineControl & LCR.divisorAccess != 0
    switch offset {
    case 0: return divisorAccess ? UInt8(truncatingIfNeeded: divisor) : readReceiver(&effects)
    case 1: return divisorAccess ? UInt8(truncatingIfNeeded: divisor >> 8) : interruptEnable
    case 2:
      stopPolling()
      return readInterruptIdentification(&effects)
    case 3: return lineControl
    case 4: return modemControl
    case 5: return readLineStatus(&effects)
    case 6:
      stopPolling()
      defer { modemDelta = 0 }
      return modemLines | modemDelta
    case 7: return scratch
    default: return 0xFF
    }
  }

  private func writeRegister(_ offset: UInt16, _ value: UInt8, _ effects: inout Effects) {
    if offset != 7 { stopPolling() }
    let divisorAccess = lineControl & LCR.divisorAccess != 0
    switch offset {
    // Here the divisor latch is open: `write` sees to THR itself.
    case 0: divisor = divisor & 0xFF00 | UInt16(value)
    case 1:
      guard divisorAccess else { return writeInterruptEnable(value, &effects) }
      divisor = divisor & 0x00FF | UInt16(value) << 8
    case 2: writeFIFOControl(value, &effects)
    case 3: lineControl = value
    case 4: writeModemControl(value, &effects)
    // LSR and MSR are read-only ("writing is for factory testing").
    case 5, 6: break
    case 7: scratch = value
    default: break
    }
  }

  private func readReceiver(_ effects: inout Effects) -> UInt8 {
    if let byte = looped.popFirst() { return byte }
    guard presented > 0, let byte = queue.popFirst() else { return 0 }
    presented -= 1
    if refused && queue.count <= Self.receiveCapacity / 2 {
      refused = false
      effects.space = true
    }
    // Without a FIFO each byte is a batch, and its successor arrives as the next byte on the wire would.
    if presented == 0 && fifoControl & FCR.enable == 0 { offer(&effects) }
    return byte
  }

  private func readLineStatus(_ effects: inout Effects) -> UInt8 {
    statusReads += 1
    if statusReads >= Self.pollingReads && interruptEnable & IER.received == 0 { polling = true }
    if owed || polling { present() }
    if !dataReady && receiverOpen && !queue.isEmpty {
      owed = true
      effects.raise = true
    }
    defer { overrun = false }
    return LSR.transmitterEmpty | LSR.transmitterIdle | (dataReady ? LSR.dataReady : 0) | (overrun ? LSR.overrun : 0)
  }

  private func readInterruptIdentification(_ effects: inout Effects) -> UInt8 {
    let fifoBits: UInt8 = fifoControl & FCR.enable != 0 ? 0xC0 : 0
    let cause = pendingCause
    if cause == IIR.transmitterEmpty { transmitterEmptied = false }
    if !dataReady && receiverOpen && !queue.isEmpty {
      if cause == IIR.none { present() }
      // Also for another cause: a driver that reads IIR once for each interrupt must be brought back.
      effects.raise = true
    }
    return fifoBits | cause
  }

  /// The highest of the enabled conditions that hold (data sheet, table IV).
  private var pendingCause: UInt8 {
    if interruptEnable & IER.lineStatus != 0 && overrun { return IIR.lineStatus }
    if interruptEnable & IER.received != 0 && dataReady {
      let enough = fifoControl & FCR.enable == 0 || looped.count + presented >= triggerLevel
      return enough ? IIR.received : IIR.receiveTimeout
    }
    if interruptEnable & IER.transmitterEmpty != 0 && transmitterEmptied { return IIR.transmitterEmpty }
    if interruptEnable & IER.modemStatus != 0 && modemDelta != 0 { return IIR.modemStatus }
    return IIR.none
  }

  private func writeInterruptEnable(_ value: UInt8, _ effects: inout Effects) {
    let enabled = value & 0x0F & ~interruptEnable
    let disabled = ~value & interruptEnable
    interruptEnable = value & 0x0F
    if enabled & IER.transmitterEmpty != 0 { transmitterEmptied = true }
    if disabled & IER.received != 0 { takeBack() }
    if enabled & IER.received != 0 { present() }
    if enabled != 0 && pendingCause != IIR.none { effects.raise = true }
  }

  private func writeFIFOControl(_ value: UInt8, _ effects: inout Effects) {
    if (value & FCR.enable != fifoControl & FCR.enable) || value & FCR.clearReceiver != 0 {
      looped.removeAll()
      queue.drop(presented)
      presented = 0
      owed = false
    }
    // With FCR.enable clear the other bits are not programmed.
    fifoControl = value & FCR.enable != 0 ? value & (FCR.enable | FCR.trigger) : 0
    offer(&effects)
  }

  private func writeModemControl(_ value: UInt8, _ effects: inout Effects) {
    let before = modemLines
    let old = modemControl
    modemControl = value & 0x1F
    let changed = before ^ modemLines
    // CTS, DSR and DCD tell any change; RI only its trailing edge.
    modemDelta |= changed >> 4 & 0b1011 | (before & ~modemLines & MSR.ring) >> 4
    if modemDelta != 0 && interruptEnable & IER.modemStatus != 0 { effects.raise = true }
    if modemControl & MCR.loopback != 0 {
      takeBack()
      return
    }
    if old & MCR.requestToSend != 0 && modemControl & MCR.requestToSend == 0 { throttled = true }
    if modemControl & MCR.requestToSend != 0 || modemControl & MCR.terminalReady == 0 || old & MCR.loopback != 0 {
      throttled = false
    }
    offer(&effects)
  }

  private func loopBack(_ byte: UInt8, _ effects: inout Effects) {
    if looped.count < (fifoControl & FCR.enable != 0 ? Self.fifoSize : 1) {
      looped.append(byte)
      if interruptEnable & IER.received != 0 { effects.raise = true }
    } else {
      overrun = true
      if interruptEnable & IER.lineStatus != 0 { effects.raise = true }
    }
  }

  /// The other side is always there (CTS, DSR, DCD); in loopback mode the modem inputs are MCR's outputs.
  private var modemLines: UInt8 {
    guard modemControl & MCR.loopback != 0 else { return MSR.clearToSend | MSR.dataSetReady | MSR.carrier }
    return (modemControl & MCR.requestToSend != 0 ? MSR.clearToSend : 0)
      | (modemControl & MCR.terminalReady != 0 ? MSR.dataSetReady : 0) | (modemControl & MCR.out1 != 0 ? MSR.ring : 0)
      | (modemControl & MCR.out2 != 0 ? MSR.carrier : 0)
  }

  private var dataReady: Bool { presented > 0 || !looped.isEmpty }

  private var triggerLevel: Int {
    switch fifoControl >> 6 {
    case 0: 1
    case 1: 4
    case 2: 8
    default: 14
    }
  }

  private var receiverOpen: Bool {
    (interruptEnable & IER.received != 0 || polling) && !throttled && modemControl & MCR.loopback == 0
  }

  /// Shows the guest the next batch if it sees none and can take one.
  private func present() {
    owed = false
    guard receiverOpen, presented == 0 else { return }
    presented = min(queue.count, fifoControl & FCR.enable != 0 ? Self.batchSize : 1)
  }

  /// `present`, and an edge for what the guest sees then.
  private func offer(_ effects: inout Effects) {
    // A debt is paid when the guest looks: bytes that keep coming must not prolong the batch that it has seen the end of.
    if !owed { present() }
    if interruptEnable & IER.received != 0 && (presented > 0 || owed) { effects.raise = true }
  }

  private func takeBack() {
    presented = 0
    owed = false
  }

  private func stopPolling() {
    statusReads = 0
    if polling {
      polling = false
      if interruptEnable & IER.received == 0 { takeBack() }
    }
  }
}
