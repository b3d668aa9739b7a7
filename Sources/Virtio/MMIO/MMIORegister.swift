import CLinux

/// The registers of a virtio-mmio device of version 2 by their offsets (virtio 1.2, section 4.2.2).
enum MMIORegister {
  case magicValue, version, deviceID, vendorID
  case deviceFeatures, deviceFeaturesSelect, driverFeatures, driverFeaturesSelect
  case queueSelect, queueSizeMaximum, queueSize, queueReady, queueNotify
  case interruptStatus, interruptAcknowledge, status
  case descriptorsLow, descriptorsHigh, availableLow, availableHigh, usedLow, usedHigh
  case sharedMemorySelect, sharedMemory, configGeneration

  /// The register at `offset`, nil where there is none.
  init?(offset: Int32) {
    switch offset {
    case VIRTIO_MMIO_MAGIC_VALUE: self = .magicValue
    case VIRTIO_MMIO_VERSION: self = .version
    case VIRTIO_MMIO_DEVICE_ID: self = .deviceID
    case VIRTIO_MMIO_VENDOR_ID: self = .vendorID
    case VIRTIO_MMIO_DEVICE_FEATURES: self = .deviceFeatures
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL: self = .deviceFeaturesSelect
    case VIRTIO_MMIO_DRIVER_FEATURES: self = .driverFeatures
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL: self = .driverFeaturesSelect
    case VIRTIO_MMIO_QUEUE_SEL: self = .queueSelect
    case VIRTIO_MMIO_QUEUE_NUM_MAX: self = .queueSizeMaximum
    case VIRTIO_MMIO_QUEUE_NUM: self = .queueSize
    case VIRTIO_MMIO_QUEUE_READY: self = .queueReady
    case VIRTIO_MMIO_QUEUE_NOTIFY: self = .queueNotify
    case VIRTIO_MMIO_INTERRUPT_STATUS: self = .interruptStatus
    case VIRTIO_MMIO_INTERRUPT_ACK: self = .interruptAcknowledge
    case VIRTIO_MMIO_STATUS: self = .status
    case VIRTIO_MMIO_QUEUE_DESC_LOW: self = .descriptorsLow
    case VIRTIO_MMIO_QUEUE_DESC_HIGH: self = .descriptorsHigh
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW: self = .availableLow
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH: self = .availableHigh
    case VIRTIO_MMIO_QUEUE_USED_LOW: self = .usedLow
    case VIRTIO_MMIO_QUEUE_USED_HIGH: self = .usedHigh
    case VIRTIO_MMIO_SHM_SEL: self = .sharedMemorySelect
    case VIRTIO_MMIO_SHM_LEN_LOW, VIRTIO_MMIO_SHM_LEN_HIGH, VIRTIO_MMIO_SHM_BASE_LOW, VIRTIO_MMIO_SHM_BASE_HIGH:
      self = .sharedMemory
    case VIRTIO_MMIO_CONFIG_GENERATION: self = .configGeneration
    default: return nil
    }
  }
}

/// The bits of the Status register (virtio 1.2, section 2.1).
enum DeviceStatus {
  static let acknowledge = UInt32(VIRTIO_CONFIG_S_ACKNOWLEDGE)
  static let driver = UInt32(VIRTIO_CONFIG_S_DRIVER)
  static let driverOK = UInt32(VIRTIO_CONFIG_S_DRIVER_OK)
  static let featuresOK = UInt32(VIRTIO_CONFIG_S_FEATURES_OK)
  static let needsReset = UInt32(VIRTIO_CONFIG_S_NEEDS_RESET)
  static let failed = UInt32(VIRTIO_CONFIG_S_FAILED)
}
