import CLinux
import GuestMemory
import System

/// A virtual machine: memory slots, interrupt controllers, eventfds (api.rst, VM ioctls). Closing it ends the guest.
public struct VM: ~Copyable, @unchecked Sendable {
  private let descriptor: FileDescriptor
  private let runMappingSize: Int

  init(descriptor: consuming FileDescriptor, runMappingSize: Int) {
    self.descriptor = descriptor
    self.runMappingSize = runMappingSize
  }

  private borrowing func request(_ name: String, _ number: UInt, _ argument: UInt = 0) throws(KVMError) {
    guard clinux_ioctl(descriptor.rawValue, number, argument) >= 0 else { throw .last(name) }
  }

  @inline(__always)
  private borrowing func request<Argument>(
    _ name: String, _ number: UInt, with argument: inout Argument
  ) throws(KVMError) {
    let raw = descriptor.rawValue
    // unsafe: the request's struct outlives the call, and its type is the one the request is defined for.
    let result = unsafe withUnsafeMutablePointer(to: &argument) { unsafe clinux_ioctl_pointer(raw, number, $0) }
    guard result >= 0 else { throw .last(name) }
  }

  /// The value of `capability` for this VM; 0 when it is missing.
  public borrowing func value(of capability: Capability) -> Int {
    let value = clinux_ioctl(
      descriptor.rawValue, kvm_check_extension_request, UInt(bitPattern: Int(capability.number)))
    return value > 0 ? Int(value) : 0
  }

  // MARK: Memory

  /// Makes `count` bytes of this process from `hostAddress` the guest's memory from `guestAddress`
  /// (KVM_SET_USER_MEMORY_REGION, section 4.35). All page aligned. The memory must outlive the VM; `count` 0 removes the slot.
  public borrowing func setMemory(
    slot: UInt32, guestAddress: UInt64, count: UInt64, hostAddress: UInt64, readOnly: Bool = false
  ) throws(KVMError) {
    var region = kvm_userspace_memory_region(
      slot: slot, flags: readOnly ? UInt32(KVM_MEM_READONLY) : 0, guest_phys_addr: guestAddress, memory_size: count,
      userspace_addr: hostAddress)
    try request("KVM_SET_USER_MEMORY_REGION", kvm_set_user_memory_region, with: &region)
  }

  /// Makes the regions of `ram` the guest's memory, in the slots from 0 on. `ram` must outlive the VM.
  public borrowing func setMemory(_ ram: GuestRAM) throws(KVMError) {
    for (slot, region) in ram.regions.enumerated() {
      try setMemory(
        slot: UInt32(slot), guestAddress: region.start.value, count: region.count,
        hostAddress: ram.hostAddress(of: region))
    }
  }

  /// Puts the three pages that Intel CPUs need for real mode at `address` (KVM_SET_TSS_ADDR, section 4.36).
  public borrowing func setTSSAddress(_ address: UInt64) throws(KVMError) {
    try request("KVM_SET_TSS_ADDR", kvm_set_tss_addr_request, UInt(address))
  }

  /// Puts the one-page identity map that Intel CPUs without unrestricted guest need at `address`
  /// (KVM_SET_IDENTITY_MAP_ADDR, section 4.41).
  public borrowing func setIdentityMapAddress(_ address: UInt64) throws(KVMError) {
    var address = address
    try request("KVM_SET_IDENTITY_MAP_ADDR", kvm_set_identity_map_addr, with: &address)
  }

  // MARK: Interrupt controllers

  /// Local APICs in the kernel, everything else in user space (KVM_CAP_SPLIT_IRQCHIP, section 7.5). `pins` are reserved
  /// for a user-space IOAPIC. Call before the first vCPU.
  public borrowing func createSplitIRQChip(pins: UInt64) throws(KVMError) {
    var capability = kvm_enable_cap()
    capability.cap = UInt32(KVM_CAP_SPLIT_IRQCHIP)
    capability.args.0 = pins
    try request("KVM_ENABLE_CAP(KVM_CAP_SPLIT_IRQCHIP)", kvm_enable_cap_request, with: &capability)
  }

  /// Local APICs, IOAPIC and both PICs in the kernel (KVM_CREATE_IRQCHIP, section 4.24). Call before the first vCPU.
  public borrowing func createIRQChip() throws(KVMError) {
    try request("KVM_CREATE_IRQCHIP", kvm_create_irqchip_request)
  }

  /// The 8254 timer in the kernel (KVM_CREATE_PIT2, section 4.71); needs `createIRQChip`.
  public borrowing func createPIT() throws(KVMError) {
    var configuration = kvm_pit_config()
    // Port 0x61 is answered by the kernel's dummy, so that guests that calibrate by it do not exit for each read.
    configuration.flags = UInt32(KVM_PIT_SPEAKER_DUMMY)
    try request("KVM_CREATE_PIT2", kvm_create_pit2, with: &configuration)
  }

  /// Sets the level of interrupt line `gsi` of the in-kernel chip (KVM_IRQ_LINE, section 4.25).
  public borrowing func setLine(_ gsi: UInt32, high: Bool) throws(KVMError) {
    var line = kvm_irq_level()
    line.irq = gsi
    line.level = high ? 1 : 0
    try request("KVM_IRQ_LINE", kvm_irq_line, with: &line)
  }

  /// Delivers one message-signalled interrupt (KVM_SIGNAL_MSI, section 4.70). Callable from any thread.
  /// - Returns: false when the guest blocked it.
  @discardableResult
  public borrowing func signalMSI(address: UInt64, data: UInt32) throws(KVMError) -> Bool {
    var message = kvm_msi()
    message.address_lo = UInt32(truncatingIfNeeded: address)
    message.address_hi = UInt32(truncatingIfNeeded: address >> 32)
    message.data = data
    // unsafe: the struct outlives the call.
    let result = unsafe clinux_ioctl_pointer(descriptor.rawValue, kvm_signal_msi, &message)
    guard result >= 0 else { throw .last("KVM_SIGNAL_MSI") }
    return result > 0
  }

  /// One entry of the interrupt routing table.
  public struct MSIRoute: Equatable, Sendable {
    public let gsi: UInt32
    public let address: UInt64
    public let data: UInt32

    /// Interrupt `gsi` becomes the message `data` to `address`.
    public init(gsi: UInt32, address: UInt64, data: UInt32) {
      self.gsi = gsi
      self.address = address
      self.data = data
    }
  }

  /// Replaces the routing table (KVM_SET_GSI_ROUTING, section 4.52) by at most 64 message routes.
  public borrowing func setRoutes(_ routes: [MSIRoute]) throws(KVMError) {
    guard routes.count <= 64 else { throw .call("KVM_SET_GSI_ROUTING", .invalid) }
    var table = kvm_irq_routes()
    table.nr = UInt32(routes.count)
    for (index, route) in routes.enumerated() {
      var entry = kvm_irq_routing_entry()
      entry.gsi = route.gsi
      entry.type = UInt32(KVM_IRQ_ROUTING_MSI)
      // unsafe: `msi` is the union's member for KVM_IRQ_ROUTING_MSI.
      unsafe entry.u.msi.address_lo = UInt32(truncatingIfNeeded: route.address)
      unsafe entry.u.msi.address_hi = UInt32(truncatingIfNeeded: route.address >> 32)
      unsafe entry.u.msi.data = route.data
      // unsafe: the index is below 64, as checked.
      unsafe kvm_irq_routes_set(&table, UInt32(index), entry)
    }
    try request("KVM_SET_GSI_ROUTING", kvm_set_gsi_routing, with: &table)
  }

  /// Raises interrupt `gsi` whenever `event` is signalled (KVM_IRQFD, section 4.75), until `assigned` is false for the pair.
  public borrowing func setIRQFD(_ event: borrowing EventFD, gsi: UInt32, assigned: Bool = true) throws(KVMError) {
    var irqfd = kvm_irqfd()
    irqfd.fd = UInt32(bitPattern: event.descriptor.rawValue)
    irqfd.gsi = gsi
    irqfd.flags = assigned ? 0 : UInt32(KVM_IRQFD_FLAG_DEASSIGN)
    try request("KVM_IRQFD", kvm_irqfd_request, with: &irqfd)
  }

  /// Where an ioeventfd listens.
  public enum Doorbell: Equatable, Sendable {
    /// A write of 4 bytes to this guest-physical address, with this value or, when it is nil, with any.
    case memory(address: UInt64, value: UInt32?)
    /// A write of `width` bytes to this port, whatever the value.
    case port(UInt16, width: UInt32)
  }

  /// Signals `event` when the guest writes to `doorbell`, without an exit to user space (KVM_IOEVENTFD, section 4.59).
  public borrowing func setIOEventFD(
    _ event: borrowing EventFD, at doorbell: Doorbell, assigned: Bool = true
  ) throws(KVMError) {
    var registration = kvm_ioeventfd()
    registration.fd = event.descriptor.rawValue
    var flags: UInt32 = assigned ? 0 : 1 << UInt32(kvm_ioeventfd_flag_nr_deassign)
    switch doorbell {
    case .memory(let address, let value):
      registration.addr = address
      registration.len = 4
      if let value {
        registration.datamatch = UInt64(value)
        flags |= 1 << UInt32(kvm_ioeventfd_flag_nr_datamatch)
      }
    case .port(let port, let width):
      registration.addr = UInt64(port)
      registration.len = width
      flags |= 1 << UInt32(kvm_ioeventfd_flag_nr_pio)
    }
    registration.flags = flags
    try request("KVM_IOEVENTFD", kvm_ioeventfd_request, with: &registration)
  }

  // MARK: vCPUs

  /// Creates vCPU `id` (KVM_CREATE_VCPU, section 4.7) and maps its run page.
  public borrowing func createVCPU(id: UInt32) throws(KVMError) -> VCPU {
    let raw = clinux_ioctl(descriptor.rawValue, kvm_create_vcpu_request, UInt(id))
    guard raw >= 0 else { throw .last("KVM_CREATE_VCPU") }
    return try VCPU(descriptor: FileDescriptor(owning: raw), runMappingSize: runMappingSize)
  }
}
