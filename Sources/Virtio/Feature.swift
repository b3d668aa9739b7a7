import CLinux

/// Sets of feature bits (virtio 1.2, section 2.2) as the 64-bit number that a driver and a device exchange.
enum Feature {
  /// VIRTIO_F_INDIRECT_DESC: a descriptor may refer to a table of descriptors.
  static let indirect = bit(VIRTIO_RING_F_INDIRECT_DESC)
  /// VIRTIO_F_EVENT_IDX: each side says at which index it wants to be notified next.
  static let eventIndex = bit(VIRTIO_RING_F_EVENT_IDX)
  /// VIRTIO_F_VERSION_1: the driver speaks the standard, not its draft; vmrun offers nothing else.
  static let version1 = bit(VIRTIO_F_VERSION_1)
  /// What the transport offers for every device (section 6).
  static let transport = indirect | eventIndex | version1

  /// The set of one bit, given by its number in the kernel's headers.
  static func bit(_ number: Int32) -> UInt64 { 1 << UInt64(number) }
}
