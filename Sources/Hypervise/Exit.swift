/// Why KVM_RUN came back to user space (api.rst, section 5, `exit_reason`). `VCPU.withPortOutput` and
/// `withPortInput` give the data of port exits.
public enum Exit: Equatable, Sendable {
  /// The guest wrote `count` units of `width` bytes to a port; see `withPortOutput`.
  case portOut(port: UInt16, width: Int, count: Int)
  /// The guest reads `count` units of `width` bytes from a port; see `withPortInput`.
  case portIn(port: UInt16, width: Int, count: Int)
  /// The guest wrote `width` bytes to memory that is nobody's.
  case mmioWrite(address: UInt64, width: Int, value: UInt64)
  /// The guest reads memory that is nobody's; answer by `completeRead` before the next run.
  case mmioRead(address: UInt64, width: Int)
  /// HLT, when the interrupt controller is in user space.
  case halt
  /// Triple fault.
  case shutdown
  /// An event that a paravirtual guest asked for (KVM_SYSTEM_EVENT_*).
  case systemEvent(type: UInt32)
  /// The end of a level-triggered interrupt, for a user-space IOAPIC.
  case endOfInterrupt(vector: UInt8)
  /// A signal or a kick came first; nothing happened in the guest.
  case interrupted
  /// Something else, by its KVM_EXIT_* number.
  case other(UInt32)
}
