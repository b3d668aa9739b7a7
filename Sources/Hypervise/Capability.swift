import CLinux

/// A capability of KVM (api.rst, section 4.4), by the name that its documentation uses.
public struct Capability: Equatable, Sendable {
  /// The name, for messages.
  public let name: String
  /// KVM_CAP_*.
  public let number: Int32

  init(_ name: String, _ number: Int32) {
    self.name = name
    self.number = number
  }

  public static let userMemory = Capability("KVM_CAP_USER_MEMORY", KVM_CAP_USER_MEMORY)
  public static let extendedCPUID = Capability("KVM_CAP_EXT_CPUID", KVM_CAP_EXT_CPUID)
  public static let immediateExit = Capability("KVM_CAP_IMMEDIATE_EXIT", KVM_CAP_IMMEDIATE_EXIT)
  public static let irqchip = Capability("KVM_CAP_IRQCHIP", KVM_CAP_IRQCHIP)
  public static let splitIRQChip = Capability("KVM_CAP_SPLIT_IRQCHIP", KVM_CAP_SPLIT_IRQCHIP)
  public static let signalMSI = Capability("KVM_CAP_SIGNAL_MSI", KVM_CAP_SIGNAL_MSI)
  public static let irqfd = Capability("KVM_CAP_IRQFD", KVM_CAP_IRQFD)
  public static let ioeventfd = Capability("KVM_CAP_IOEVENTFD", KVM_CAP_IOEVENTFD)
  public static let anyLengthIOEventFD = Capability("KVM_CAP_IOEVENTFD_ANY_LENGTH", KVM_CAP_IOEVENTFD_ANY_LENGTH)
  public static let pit2 = Capability("KVM_CAP_PIT2", KVM_CAP_PIT2)
  public static let tscDeadlineTimer = Capability("KVM_CAP_TSC_DEADLINE_TIMER", KVM_CAP_TSC_DEADLINE_TIMER)
  public static let multiprocessorState = Capability("KVM_CAP_MP_STATE", KVM_CAP_MP_STATE)
  public static let setTSSAddress = Capability("KVM_CAP_SET_TSS_ADDR", KVM_CAP_SET_TSS_ADDR)
  public static let maximumVCPUs = Capability("KVM_CAP_MAX_VCPUS", KVM_CAP_MAX_VCPUS)
  public static let recommendedVCPUs = Capability("KVM_CAP_NR_VCPUS", KVM_CAP_NR_VCPUS)
  public static let maximumMemorySlots = Capability("KVM_CAP_NR_MEMSLOTS", KVM_CAP_NR_MEMSLOTS)
}
