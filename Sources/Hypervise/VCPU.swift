import CLinux
import System

/// The page that a vCPU shares with the kernel (struct kvm_run). It outlives the vCPU's owner as long as somebody may kick.
@safe public final class RunPage: @unchecked Sendable {
  private let mapping: Mapping
  let run: UnsafeMutablePointer<kvm_run>

  init(mapping: consuming Mapping) {
    // unsafe: the mapping is at least two pages, page aligned, and holds a struct kvm_run at its start.
    unsafe run = mapping.base.assumingMemoryBound(to: kvm_run.self)
    self.mapping = mapping
  }

  var count: Int { mapping.count }

  /// Makes the next or current KVM_RUN return at once, when a signal also interrupts the thread that is in it
  /// (KVM_CAP_IMMEDIATE_EXIT). Callable from any thread.
  public func requestExit() { unsafe kvm_run_set_immediate_exit(run, 1) }

  /// Takes `requestExit` back.
  public func clearExitRequest() { unsafe kvm_run_set_immediate_exit(run, 0) }
}

/// A virtual CPU. Only the thread that runs it may use it, except for its `page`.
public struct VCPU: ~Copyable, @unchecked Sendable {
  /// The shared page, through which other threads can ask for an exit.
  public let page: RunPage
  private let descriptor: FileDescriptor

  init(descriptor: consuming FileDescriptor, runMappingSize: Int) throws(KVMError) {
    do {
      page = RunPage(
        mapping: try Mapping.file(
          descriptor, count: runMappingSize, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED))
    } catch { throw .call("mmap of the vCPU's run page", error.errno) }
    self.descriptor = descriptor
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

  // MARK: State

  /// The general registers (KVM_GET_REGS, section 4.11).
  public borrowing func registers() throws(KVMError) -> kvm_regs {
    var registers = kvm_regs()
    try request("KVM_GET_REGS", kvm_get_regs, with: &registers)
    return registers
  }

  /// Sets the general registers (KVM_SET_REGS, section 4.12).
  public borrowing func set(_ registers: kvm_regs) throws(KVMError) {
    var registers = registers
    try request("KVM_SET_REGS", kvm_set_regs, with: &registers)
  }

  /// Segments, control registers, EFER (KVM_GET_SREGS, section 4.13).
  public borrowing func specialRegisters() throws(KVMError) -> kvm_sregs {
    var registers = kvm_sregs()
    try request("KVM_GET_SREGS", kvm_get_sregs, with: &registers)
    return registers
  }

  /// Sets segments, control registers, EFER (KVM_SET_SREGS, section 4.14).
  public borrowing func set(_ registers: kvm_sregs) throws(KVMError) {
    var registers = registers
    try request("KVM_SET_SREGS", kvm_set_sregs, with: &registers)
  }

  /// What CPUID shows (KVM_SET_CPUID2, section 4.71). Before the first run.
  public borrowing func set(_ cpuid: CPUIDTable) throws(KVMError) {
    let raw = descriptor.rawValue
    // unsafe: the table's nent entries are initialised.
    guard unsafe cpuid.withTable({ unsafe clinux_ioctl_pointer(raw, kvm_set_cpuid2, $0) }) == 0 else {
      throw .last("KVM_SET_CPUID2")
    }
  }

  /// Sets model-specific registers (KVM_SET_MSRS, section 4.19), at most 64.
  /// - Returns: how many were set; the first that KVM refused is the one with that index.
  public borrowing func set(_ registers: [ModelSpecificRegister]) throws(KVMError) -> Int {
    guard registers.count <= Int(KVM_MSR_SLOTS) else { throw .call("KVM_SET_MSRS", .invalid) }
    var table = kvm_msr_table()
    table.nmsrs = UInt32(registers.count)
    for (index, register) in registers.enumerated() {
      // unsafe: the index is below the count that was checked.
      unsafe kvm_msr_table_set(
        &table, UInt32(index), kvm_msr_entry(index: register.index, reserved: 0, data: register.value))
    }
    // unsafe: nmsrs entries are initialised.
    let count = unsafe clinux_ioctl_pointer(descriptor.rawValue, kvm_set_msrs, &table)
    guard count >= 0 else { throw .last("KVM_SET_MSRS") }
    return Int(count)
  }

  /// Reads model-specific registers (KVM_GET_MSRS, section 4.18), at most 64; as many as KVM knew, in order.
  public borrowing func modelSpecificRegisters(_ indices: [UInt32]) throws(KVMError) -> [ModelSpecificRegister] {
    guard indices.count <= Int(KVM_MSR_SLOTS) else { throw .call("KVM_GET_MSRS", .invalid) }
    var table = kvm_msr_table()
    table.nmsrs = UInt32(indices.count)
    for (position, index) in indices.enumerated() {
      // unsafe: the index is below the count that was checked.
      unsafe kvm_msr_table_set(&table, UInt32(position), kvm_msr_entry(index: index, reserved: 0, data: 0))
    }
    // unsafe: nmsrs entries are initialised.
    let count = unsafe clinux_ioctl_pointer(descriptor.rawValue, kvm_get_msrs, &table)
    guard count >= 0 else { throw .last("KVM_GET_MSRS") }
    return (0..<UInt32(min(Int(count), indices.count))).map { position in
      // unsafe: the position is below what was asked for.
      let entry = unsafe kvm_msr_table_get(&table, position)
      return ModelSpecificRegister(entry.index, entry.data)
    }
  }

  /// The local APIC's register page (KVM_GET_LAPIC, section 4.57).
  public borrowing func localAPIC() throws(KVMError) -> kvm_lapic_state {
    var state = kvm_lapic_state()
    try request("KVM_GET_LAPIC", kvm_get_lapic, with: &state)
    return state
  }

  /// Sets the local APIC's register page (KVM_SET_LAPIC, section 4.58).
  public borrowing func set(_ state: kvm_lapic_state) throws(KVMError) {
    var state = state
    try request("KVM_SET_LAPIC", kvm_set_lapic, with: &state)
  }

  /// Whether the vCPU runs, halts or waits for a start-up message (KVM_GET_MP_STATE, section 4.38).
  public borrowing func multiprocessorState() throws(KVMError) -> UInt32 {
    var state = kvm_mp_state()
    try request("KVM_GET_MP_STATE", kvm_get_mp_state, with: &state)
    return state.mp_state
  }

  // MARK: Running

  /// Runs the guest until it needs user space (KVM_RUN, section 4.10).
  ///
  /// EAGAIN (a waiting processor was woken) and ENOMEM (seen for moments on some cloud hosts) are tried again, with a
  /// bound (`RunRetry`); EINTR is `.interrupted`.
  public borrowing func run() throws(KVMError) -> Exit {
    var retry = RunRetry()
    while clinux_ioctl(descriptor.rawValue, kvm_run_request, 0) < 0 {
      switch retry.step(after: .current) {
      case .interrupted: return .interrupted
      case .again(let microseconds): if microseconds > 0 { usleep(microseconds) }
      case .fail(let error): throw error
      }
    }
    return try decode()
  }

  private borrowing func decode() throws(KVMError) -> Exit {
    // unsafe: the run page lives as long as self, and each union member is read only for its own exit reason.
    let run = unsafe page.run
    let reason = unsafe kvm_run_exit_reason(run)
    switch Int32(bitPattern: reason) {
    case KVM_EXIT_IO:
      let io = unsafe run.pointee.io
      let (port, width, count) = (io.port, Int(io.size), Int(io.count))
      // A kernel that broke this would have us read past the page.
      guard io.data_offset <= UInt64(page.count), UInt64(width * count) <= UInt64(page.count) - io.data_offset else {
        die("KVM_EXIT_IO: data outside of the run page")
      }
      return io.direction == UInt8(KVM_EXIT_IO_OUT)
        ? .portOut(port: port, width: width, count: count) : .portIn(port: port, width: width, count: count)
    case KVM_EXIT_MMIO:
      let mmio = unsafe run.pointee.mmio
      let width = Int(min(mmio.len, 8))
      if mmio.is_write == 0 { return .mmioRead(address: mmio.phys_addr, width: width) }
      return .mmioWrite(address: mmio.phys_addr, width: width, value: unsafe kvm_run_mmio_value(run))
    case KVM_EXIT_HLT: return .halt
    case KVM_EXIT_SHUTDOWN: return .shutdown
    case KVM_EXIT_INTR: return .interrupted
    case KVM_EXIT_SYSTEM_EVENT: return .systemEvent(type: unsafe run.pointee.system_event.type)
    case KVM_EXIT_IOAPIC_EOI: return .endOfInterrupt(vector: unsafe run.pointee.eoi.vector)
    case KVM_EXIT_FAIL_ENTRY:
      throw .entryRefused(reason: unsafe run.pointee.fail_entry.hardware_entry_failure_reason)
    case KVM_EXIT_INTERNAL_ERROR:
      let suberror = unsafe run.pointee.internal.suberror
      let pointer = (try? registers())?.rip ?? 0
      throw .cannotRunGuest(suberror: suberror, instructionPointer: pointer, code: emulationBytes(suberror))
    default: return .other(reason)
    }
  }

  /// The bytes of the instruction that KVM could not emulate, in hexadecimal, where the kernel tells them.
  private borrowing func emulationBytes(_ suberror: UInt32) -> String {
    guard suberror == UInt32(KVM_INTERNAL_ERROR_EMULATION) else { return "" }
    var bytes = InlineArray<15, UInt8>(repeating: 0)
    var span = bytes.mutableSpan
    // unsafe: the accessor copies at most 15 bytes and returns how many.
    let count = unsafe span.withUnsafeMutableBufferPointer {
      unsafe kvm_run_failed_instruction(page.run, $0.baseAddress)
    }
    var text = ""
    for index in 0..<Int(min(count, 15)) {
      if index > 0 { text += " " }
      if bytes[index] < 16 { text += "0" }
      text += String(bytes[index], radix: 16)
    }
    return text
  }

  /// What the guest wrote in the `portOut` exit that `run` just returned: `width * count` bytes.
  @inline(__always)
  public borrowing func withPortOutput<Value>(_ body: (Span<UInt8>) -> Value) -> Value {
    body(unsafe UnsafeBufferPointer(portData).span)
  }

  /// Where the answer to the `portIn` exit that `run` just returned goes: `width * count` bytes.
  @inline(__always)
  public borrowing func withPortInput<Value>(_ body: (inout MutableSpan<UInt8>) -> Value) -> Value {
    var span = unsafe portData.mutableSpan
    return body(&span)
  }

  /// The data of a port exit. decode() checked that it lies inside the run page, which nobody else writes between runs.
  private var portData: UnsafeMutableBufferPointer<UInt8> {
    // unsafe: as said above; the page lives as long as self.
    let run = unsafe page.run
    let count = unsafe Int(run.pointee.io.size) * Int(run.pointee.io.count)
    return unsafe UnsafeMutableBufferPointer(
      start: kvm_run_io_data(run).assumingMemoryBound(to: UInt8.self), count: count)
  }

  /// Answers an `mmioRead` exit with the low bytes of `value`.
  public borrowing func completeRead(_ value: UInt64) { unsafe kvm_run_set_mmio_value(page.run, value) }
}

/// A model-specific register and its value.
public struct ModelSpecificRegister: Equatable, Sendable {
  public let index: UInt32
  public let value: UInt64

  /// Register `index` with `value`.
  public init(_ index: UInt32, _ value: UInt64) {
    self.index = index
    self.value = value
  }

  /// IA32_MISC_ENABLE with fast string operations, as firmware leaves it (Intel SDM volume 4).
  public static let miscEnableFastStrings = ModelSpecificRegister(0x1A0, 1)
  /// IA32_MTRR_DEF_TYPE: enabled, write-back by default, as firmware leaves RAM (Intel SDM volume 3, 12.11.2.1).
  public static let memoryTypeWriteBack = ModelSpecificRegister(0x2FF, 0x806)
}
