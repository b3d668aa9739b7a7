import Boot
import CLinux
import Devices
import GuestMemory
import Hypervise
import KernelCache
import System
import Virtio

/// The machine of a Linux kernel, put together device by device, and then run.
final class LinuxMachine {
  let configuration: Configuration
  let timeline: Timeline
  let control: RunControl
  let loop: EventLoop
  let vm: SharedVM
  let ram: GuestRAM
  let ioapic: IOAPIC
  private(set) var transports: [MMIOTransport] = []

  private let cpuid: CPUIDTable

  /// Opens KVM and creates a VM with memory and interrupt controllers, but no devices.
  init(_ configuration: Configuration, memory: UInt64, timeline: Timeline) throws(MachineError) {
    self.configuration = configuration
    self.timeline = timeline
    let kvm = try naming { () throws(KVMError) in try KVM() }
    try naming { () throws(KVMError) in try Self.requireCapabilities(of: kvm) }
    let most = kvm.value(of: .maximumVCPUs)
    guard Int(configuration.cpus) <= most else {
      throw MachineError("--cpus \(configuration.cpus): this host's KVM allows at most \(most)")
    }
    timeline.end(.openKVM)
    let vm = SharedVM(try naming { () throws(KVMError) in try kvm.createVM() })
    cpuid = try naming { () throws(KVMError) in try kvm.supportedCPUID() }
    timeline.end(.createVM)
    let ram = try naming("cannot get \(memory >> 20) MiB for the guest (ask for less: --memory)") {
      () throws(SystemError) in
      try GuestRAM(count: memory, holeStart: Layout.holeStart, holeEnd: Layout.holeEnd)
    }
    ram.markPrivate()
    control = try naming { () throws(SystemError) in try RunControl() }
    loop = try naming { () throws(SystemError) in try EventLoop() }
    // One device more than there are disks: the entropy device.
    ioapic = IOAPIC(pins: Int(Layout.virtioGSI(configuration.disks.count + 1)), sink: vm)
    self.vm = vm
    self.ram = ram
    try naming("cannot get \(memory >> 20) MiB for the guest (ask for less: --memory)") { () throws(KVMError) in
      try vm.vm.setMemory(ram)
    }
    try naming { () throws(KVMError) in
      try Self.reserveIntelPages(of: vm.vm)
      try vm.vm.createSplitIRQChip(pins: UInt64(Layout.ioapicPins))
    }
    timeline.end(.memory)
  }

  /// Checks that `kvm` has what the machine is made of.
  static func requireCapabilities(of kvm: borrowing KVM) throws(KVMError) {
    try kvm.require(
      .userMemory, .extendedCPUID, .immediateExit, .splitIRQChip, .signalMSI, .tscDeadlineTimer, .multiprocessorState,
      .ioeventfd)
  }

  /// Intel CPUs keep four pages for real mode inside the guest's address space (api.rst, sections 4.36 and 4.41).
  static func reserveIntelPages(of vm: borrowing VM) throws(KVMError) {
    guard clinux_cpuid(0, 0).ebx == 0x756E_6547 else { return }
    try vm.setIdentityMapAddress(Layout.ioapic - 0x4000)
    try vm.setTSSAddress(Layout.ioapic - 0x3000)
  }

  /// The next virtio-mmio window gets `device`.
  func attach(_ device: any VirtioDevice) throws(MachineError) {
    let index = transports.count
    guard index < Layout.virtioDeviceLimit else { throw MachineError("too many devices for this machine") }
    let interrupt = WiredInterrupt(ioapic.line(pin: Int(Layout.virtioGSI(index))))
    let transport = try naming("cannot attach a device") { () throws(SystemError) in
      let transport = try MMIOTransport(device: device, memory: ram, interrupt: interrupt)
      let server = DoorbellServer(transport)
      try loop.add(transport.doorbell.descriptor.rawValue, events: EPOLLIN.rawValue, token: 0, handler: server)
      return transport
    }
    transports.append(transport)
  }

  /// Writes what the kernel finds in low memory, and creates the vCPUs.
  func makeProcessors(
    kernel: borrowing PreparedKernel, initrd: Range<UInt64>, commandLine: KernelCommandLine, serialPorts: Int,
    ports: PortBus
  ) throws(MachineError) -> Processors {
    let tables = ACPITables(
      cpuCount: Int(configuration.cpus),
      serialPorts: Array(
        [
          ACPITables.SerialPort(port: Layout.com1, gsi: Layout.com1GSI),
          ACPITables.SerialPort(port: Layout.com2, gsi: Layout.com2GSI),
        ].prefix(serialPorts)),
      virtioDevices: transports.indices.map {
        ACPITables.VirtioDevice(address: Layout.virtioWindow($0), gsi: Layout.virtioGSI($0))
      })
    let acpi = try naming { () throws(ACPIError) in try tables.bytes() }
    let text = try naming("--append") { () throws(CommandLineError) in
      try commandLine.bytes(limit: kernel.header.commandLineSize)
    }
    let parameters = BootParams(header: kernel.header, ramSize: ram.count, initrd: initrd, hasRandomSeed: true)
    do {
      try ram.write(GuestAddress(Layout.acpi), acpi)
      try ram.write(GuestAddress(Layout.commandLine), text)
      try ram.write(GuestAddress(Layout.gdt), GDT.bytes())
      try ram.write(GuestAddress(Layout.pageTables), PageTables.identity(gigabytePages: false))
      try ram.write(GuestAddress(Layout.setupData), BootParams.randomSeed(Self.seed()))
      try ram.write(GuestAddress(Layout.zeroPage), parameters.bytes())
    } catch { die("the boot data does not fit low memory: \(error.description)") }
    timeline.end(.kernelLoad)
    let entry = EntryState(entry: kernel.plan.entry)
    let memory = MemoryBus(ioapic: ioapic, transports: transports)
    let processors = try naming { () throws(KVMError) in
      try Processors(
        count: configuration.cpus, vm: vm, cpuid: cpuid, entry: entry, ports: ports, memory: memory, control: control,
        timeline: timeline)
    }
    timeline.end(.vcpu)
    return processors
  }

  /// 32 bytes from the host's random generator.
  private static func seed() -> [UInt8] {
    var seed = [UInt8](repeating: 0, count: 32)
    // unsafe: getrandom writes at most the array's count; up to 256 bytes it never returns fewer (getrandom(2)).
    _ = unsafe seed.withUnsafeMutableBytes { unsafe getrandom($0.baseAddress, $0.count, 0) }
    return seed
  }

  /// Ends all use of guest memory by devices.
  func resetDevices() {
    for transport in transports { transport.reset() }
  }
}
