import CLinux
import GuestMemory
import System

/// A virtio-mmio device, register layout version 2 (virtio 1.2, section 4.2).
///
/// `read` and `write` come from any vCPU's thread. An access that the standard forbids the driver does nothing and reads
/// zero; a virtqueue that breaks the rules ends in DEVICE_NEEDS_RESET. Lock order: the transport's, the device's, the
/// signal's. The registers that every request touches (QueueNotify, InterruptStatus, InterruptACK) leave the transport's
/// lock alone, so that nothing but configuration waits for a reset to finish.
public final class MMIOTransport: @unchecked Sendable {
  /// Bytes of address space that the registers take.
  public static let windowSize: UInt64 = 0x1000
  /// Where a write of any value is a queue notification: the offset for an ioeventfd of 4 bytes without data match.
  public static let notifyOffset = UInt64(VIRTIO_MMIO_QUEUE_NOTIFY)

  /// Becomes readable when queues wait to be served. An ioeventfd at `notifyOffset` may signal it. To be watched even
  /// without one, since the transport signals it for work that was left over; then call `serveDoorbell`.
  public let doorbell: EventFD

  private struct QueueRegisters {
    var size: UInt32 = 0
    var descriptors: UInt64 = 0
    var available: UInt64 = 0
    var used: UInt64 = 0
    /// Not nil while QueueReady is 1.
    var queue: Queue?
  }

  private let device: any VirtioDevice
  private let identity: DeviceIdentity
  private let memory: GuestRAM
  private let signal: DriverSignal

  private let lock = Lock()
  private var status: UInt32 = 0
  private var deviceFeaturesSelect: UInt32 = 0
  private var driverFeaturesSelect: UInt32 = 0
  private var driverFeatures: UInt64 = 0
  private var queueSelect: UInt32 = 0
  private var queues: [QueueRegisters]
  private var paused = false

  /// The registers of `device`, whose queues lie in `memory`. Takes the device over: nobody else activates or resets it.
  /// - Throws: `SystemError` when there is no descriptor left for the doorbell.
  public init(device: any VirtioDevice, memory: GuestRAM, interrupt: any Interrupt) throws(SystemError) {
    doorbell = try EventFD()
    self.device = device
    identity = device.identity
    self.memory = memory
    signal = DriverSignal(interrupt: interrupt)
    queues = [QueueRegisters](repeating: QueueRegisters(), count: identity.queueSizes.count)
  }

  deinit { device.reset() }

  /// Why the device needs a reset, if it does.
  public var failure: QueueError? { signal.failure }

  /// Drains the doorbell and serves every queue; for the thread that watches the doorbell.
  public func serveDoorbell() {
    doorbell.drain()
    for index in 0..<queues.count { serve(index) }
  }

  /// True: returns when no request is in flight, and none is started any more. False: goes on. For a machine whose vCPUs
  /// are stopped.
  public func setPaused(_ paused: Bool) {
    lock.withLock {
      self.paused = paused
      device.setPaused(paused)
    }
    if !paused { doorbell.signal() }
  }

  /// Does what the driver's write of 0 to Status does; for the end of the machine.
  public func reset() { lock.withLock { resetDevice() } }

  private func serve(_ queue: Int) {
    // What is left is done when the doorbell's thread comes round again, so that no guest can keep this thread busy.
    if device.serve(queue: queue) { doorbell.signal() }
  }

  // MARK: Registers

  /// A guest's load of `width` bytes at `offset` in the window.
  public func read(offset: UInt64, width: Int) -> UInt64 {
    guard offset < MMIOTransport.windowSize, width == 1 || width == 2 || width == 4 || width == 8 else { return 0 }
    if offset >= UInt64(VIRTIO_MMIO_CONFIG) {
      return device.readConfig(offset: offset - UInt64(VIRTIO_MMIO_CONFIG), width: width)
    }
    // Section 4.2.2.2: registers are accessed by aligned 32-bit words only.
    guard width == 4, offset & 3 == 0, let register = MMIORegister(offset: Int32(offset)) else { return 0 }
    if register == .interruptStatus { return UInt64(signal.pending) }
    return UInt64(lock.withLock { read(register) })
  }

  private func read(_ register: MMIORegister) -> UInt32 {
    switch register {
    case .magicValue: return 0x7472_6976  // "virt"
    case .version: return 2
    case .deviceID: return identity.deviceID
    case .vendorID: return 0x6E72_6D76  // "vmrn"
    case .deviceFeatures:
      guard deviceFeaturesSelect < 2 else { return 0 }
      return UInt32(truncatingIfNeeded: (identity.features | Feature.transport) >> (32 * UInt64(deviceFeaturesSelect)))
    case .queueSizeMaximum: return selected.map { UInt32(identity.queueSizes[$0]) } ?? 0
    case .queueReady: return selected.map { queues[$0].queue == nil ? 0 : 1 } ?? 0
    case .status: return status | (signal.failure == nil ? 0 : DeviceStatus.needsReset)
    // No device has shared memory: its length and its base are -1.
    case .sharedMemory: return UInt32.max
    // Never changes, since no device changes its configuration space while it runs.
    case .configGeneration: return 0
    default: return 0
    }
  }

  /// A guest's store of `width` bytes at `offset` in the window.
  public func write(offset: UInt64, width: Int, value: UInt64) {
    guard offset < MMIOTransport.windowSize, width == 1 || width == 2 || width == 4 || width == 8 else { return }
    if offset >= UInt64(VIRTIO_MMIO_CONFIG) {
      device.writeConfig(offset: offset - UInt64(VIRTIO_MMIO_CONFIG), width: width, value: value)
      return
    }
    guard width == 4, offset & 3 == 0, let register = MMIORegister(offset: Int32(offset)) else { return }
    let value = UInt32(truncatingIfNeeded: value)
    switch register {
    case .queueNotify: if value < UInt32(identity.queueSizes.count) { serve(Int(value)) }
    case .interruptAcknowledge: signal.acknowledge(value)
    default: lock.withLock { write(register, value) }
    }
  }

  private func write(_ register: MMIORegister, _ value: UInt32) {
    switch register {
    case .deviceFeaturesSelect: deviceFeaturesSelect = value
    case .driverFeaturesSelect: driverFeaturesSelect = value
    case .driverFeatures:
      // Section 2.2: after FEATURES_OK they are settled.
      guard status & DeviceStatus.driver != 0, status & DeviceStatus.featuresOK == 0, driverFeaturesSelect < 2 else {
        return
      }
      let shift = 32 * UInt64(driverFeaturesSelect)
      driverFeatures = driverFeatures & ~(0xFFFF_FFFF << shift) | UInt64(value) << shift
    case .queueSelect: queueSelect = value
    case .queueSize: configureQueue { $0.size = value }
    case .descriptorsLow: configureQueue { $0.descriptors.setLow(value) }
    case .descriptorsHigh: configureQueue { $0.descriptors.setHigh(value) }
    case .availableLow: configureQueue { $0.available.setLow(value) }
    case .availableHigh: configureQueue { $0.available.setHigh(value) }
    case .usedLow: configureQueue { $0.used.setLow(value) }
    case .usedHigh: configureQueue { $0.used.setHigh(value) }
    case .queueReady: if value & 1 != 0 { enableQueue() } else { disableQueue() }
    case .status: setStatus(value)
    default: break
    }
  }

  // MARK: Queues

  /// The queue that QueueSel names, if there is one.
  private var selected: Int? { queueSelect < UInt32(queues.count) ? Int(queueSelect) : nil }

  /// Section 3.1.1: queues are set up between FEATURES_OK and DRIVER_OK.
  private var settingUp: Bool {
    status & DeviceStatus.featuresOK != 0 && status & DeviceStatus.driverOK == 0 && signal.failure == nil
  }

  private func configureQueue(_ change: (inout QueueRegisters) -> Void) {
    // Section 4.2.2.2: these registers are not accessed while the queue is ready.
    guard settingUp, let selected, queues[selected].queue == nil else { return }
    change(&queues[selected])
  }

  private func enableQueue() {
    guard settingUp, let selected, queues[selected].queue == nil else { return }
    let registers = queues[selected]
    do {
      queues[selected].queue = try Queue(
        memory: memory, size: registers.size, maximum: identity.queueSizes[selected],
        descriptors: GuestAddress(registers.descriptors), available: GuestAddress(registers.available),
        used: GuestAddress(registers.used), features: driverFeatures)
    } catch { signal.needsReset(error) }
  }

  private func disableQueue() {
    guard let selected, let queue = queues[selected].queue else { return }
    // A paused device uses no queue, so that none is used when the driver reads back the zero.
    device.setPaused(true)
    queue.disable()
    device.setPaused(paused)
    queues[selected].queue = nil
  }

  // MARK: Status

  private func setStatus(_ value: UInt32) {
    guard value != 0 else { return resetDevice() }
    // Section 2.1.1: bits are only added. A driver writes back what it read, DEVICE_NEEDS_RESET too.
    let value = value & ~DeviceStatus.needsReset
    guard status & ~value == 0, signal.failure == nil else { return }
    let added = value & ~status
    if added & DeviceStatus.failed != 0 { status |= DeviceStatus.failed }
    // The order of section 3.1.1: a step counts only when those before it were taken.
    if added & DeviceStatus.acknowledge != 0 { status |= DeviceStatus.acknowledge }
    if added & DeviceStatus.driver != 0, status & DeviceStatus.acknowledge != 0 { status |= DeviceStatus.driver }
    if added & DeviceStatus.featuresOK != 0, status & DeviceStatus.driver != 0, acceptsFeatures {
      status |= DeviceStatus.featuresOK
    }
    if added & DeviceStatus.driverOK != 0, status & DeviceStatus.featuresOK != 0 {
      status |= DeviceStatus.driverOK
      activate()
    }
  }

  /// Section 2.2.2: only what was offered; section 6.1: always VIRTIO_F_VERSION_1.
  private var acceptsFeatures: Bool {
    driverFeatures & ~(identity.features | Feature.transport) == 0 && driverFeatures & Feature.version1 != 0
  }

  private func activate() {
    signal.start()
    var ready: [Queue?] = []
    for registers in queues { ready.append(registers.queue) }
    do { try device.activate(queues: ready, features: driverFeatures, driver: signal) } catch {
      signal.needsReset(.host(error))
    }
    // The driver may have filled its queues already.
    doorbell.signal()
  }

  private func resetDevice() {
    device.reset()
    signal.clear()
    paused = false
    status = 0
    deviceFeaturesSelect = 0
    driverFeaturesSelect = 0
    driverFeatures = 0
    queueSelect = 0
    for index in 0..<queues.count { queues[index] = QueueRegisters() }
  }
}

extension UInt64 {
  fileprivate mutating func setLow(_ word: UInt32) { self = self & ~0xFFFF_FFFF | UInt64(word) }
  fileprivate mutating func setHigh(_ word: UInt32) { self = self & 0xFFFF_FFFF | UInt64(word) << 32 }
}
