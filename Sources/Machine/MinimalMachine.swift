import Boot
import CLinux
import Devices
import GuestMemory
import Hypervise
import MinimalGuest
import MinimalGuestABI
import System

/// The machine of the built-in guest: one vCPU, run on the calling thread, no interrupt controller, and no thread, loop or
/// file that it does not need.
final class MinimalMachine {
  private let configuration: Configuration
  private let timeline: Timeline
  private let outputFile: SharedFile?
  private let output: Int32
  private let deadline: UInt64?
  private var outcome: Outcome?
  private var input: [UInt8] = []
  private var inputEnded = false

  /// End of transmission: what the guest takes as the end of its input.
  private static let endOfInput: UInt8 = 4
  /// Line status of a 16550: data ready; transmitter empty.
  private static let dataReady: UInt8 = 1
  private static let transmitterEmpty: UInt8 = 0x60

  private init(_ configuration: Configuration, timeline: Timeline) throws(SystemError) {
    self.configuration = configuration
    self.timeline = timeline
    deadline = configuration.timeout.map { timeline.start &+ $0 }
    outputFile = try Self.openOutput(configuration.console ?? .stdio)
    switch configuration.console ?? .stdio {
    case .stdio: output = 1
    case .standardError: output = 2
    case .none: output = -1
    case .file: output = outputFile?.descriptor.rawValue ?? -1
    }
  }

  private static func openOutput(_ console: Configuration.Console) throws(SystemError) -> SharedFile? {
    guard case .file(let path) = console else { return nil }
    return SharedFile(try FileDescriptor.create(path))
  }

  /// Boots the built-in guest and waits for its end.
  static func run(_ configuration: Configuration, timeline: Timeline) -> Outcome {
    // Otherwise /dev/kvm would get the number of a closed stream, and the guest's output.
    StandardStreams.hold()
    let machine: MinimalMachine
    do { machine = try MinimalMachine(configuration, timeline: timeline) } catch {
      return .failure("--console: \(error.description)")
    }
    do { return try machine.run() } catch { return .failure(error.description) }
  }

  private func run() throws(KVMError) -> Outcome {
    let size = configuration.memory ?? Configuration.minimalMemory
    guard size >= MinimalLayout.leastMemory else { return .failure("--memory: the built-in guest needs at least 2M") }
    let kvm = try KVM()
    timeline.end(.openKVM)
    let vm = try kvm.createVM()
    timeline.end(.createVM)
    let ram: GuestRAM
    do { ram = try GuestRAM(count: size, holeStart: Layout.holeStart, holeEnd: Layout.holeEnd, hugePages: false) } catch
    {
      return .failure("cannot get \(size >> 20) MiB for the guest: \(error.errno); ask for less (--memory)")
    }
    do { try vm.setMemory(ram) } catch {
      return .failure("cannot get \(size >> 20) MiB for the guest: \(error.description); ask for less (--memory)")
    }
    timeline.end(.memory)
    do { try load(into: ram) } catch { die("the built-in guest does not fit its memory: \(error)") }
    timeline.end(.kernelLoad)
    let vcpu = try vm.createVCPU(id: 0)
    try vcpu.set(CPUIDPolicy.minimal())
    try vcpu.set(MinimalLayout.specialRegisters(vcpu.specialRegisters()))
    try vcpu.set(MinimalLayout.registers())
    timeline.end(.vcpu)
    armTimeout()
    return try loop(vcpu)
  }

  private func load(into ram: GuestRAM) throws(GuestMemoryError) {
    var info = minimal_boot_info()
    info.magic = UInt32(MINIMAL_BOOT_MAGIC)
    info.version = UInt32(MINIMAL_BOOT_VERSION)
    info.flags = UInt32(MINIMAL_BOOT_MARK_ENTRY)
    info.cpu_count = 1
    info.memory_bytes = ram.count
    let mapped = min(ram.regions[0].count, MinimalLayout.mostMapped)
    info.last_page = mapped - 4096
    info.command_line = Layout.commandLine
    let text = Array(configuration.append.utf8.prefix(Layout.commandLineCapacity))
    info.command_line_length = UInt32(text.count)
    try ram.write(GuestAddress(Layout.commandLine), text)
    // unsafe: the image is constant data, read during the call only.
    try unsafe MinimalGuest.withImage { image throws(GuestMemoryError) in
      try unsafe ram.write(GuestAddress(MinimalGuest.loadAddress), image)
    }
    // unsafe: the struct is plain data, read during the call only.
    try unsafe withUnsafeBytes(of: &info) { bytes throws(GuestMemoryError) in
      try unsafe ram.write(GuestAddress(MinimalLayout.bootInfo), bytes)
    }
    try MinimalLayout.writePageTables(to: ram, mapping: mapped)
  }

  /// A timer signal takes the vCPU out of KVM_RUN; it repeats, since one that comes just before KVM_RUN is lost.
  private func armTimeout() {
    guard let timeout = configuration.timeout else { return }
    _ = clinux_install_interrupting_handler(SIGALRM)
    var timer = itimerval()
    timer.it_value = timeval(tv_sec: Int(timeout / 1_000_000_000), tv_usec: Int(timeout % 1_000_000_000 / 1000) | 1)
    timer.it_interval = timeval(tv_sec: 0, tv_usec: 10_000)
    // unsafe: setitimer reads the one struct it is given.
    _ = unsafe setitimer(ITIMER_REAL, &timer, nil)
  }

  private var isLate: Bool { deadline.map { Clock.now() >= $0 } ?? false }

  private func loop(_ vcpu: borrowing VCPU) throws(KVMError) -> Outcome {
    timeline.end(.firstEntry)
    while outcome == nil {
      switch try vcpu.run() {
      case .portOut(let port, _, _): vcpu.withPortOutput { write(port, $0) }
      case .portIn(let port, _, _): vcpu.withPortInput { read(port, &$0) }
      case .interrupted: if isLate { outcome = .timeout(nanoseconds: configuration.timeout ?? 0) }
      case .halt: outcome = .hung(message: "it halted with interrupts off")
      case .shutdown: outcome = .tripleFault
      case .mmioRead(let address, _), .mmioWrite(let address, _, _):
        outcome = .failure("the built-in guest touched address 0x\(String(address, radix: 16)), which is not RAM")
      case let other: outcome = .failure("KVM_RUN returned \(other.name), which the built-in guest never asks for")
      }
    }
    timeline.end(.exit)
    return outcome ?? .powerOff
  }

  private func write(_ port: UInt16, _ bytes: Span<UInt8>) {
    guard bytes.count > 0 else { return }
    switch Int(port) {
    case Int(MINIMAL_PORT_SERIAL): transmit(bytes)
    case Int(MINIMAL_PORT_EXIT): outcome = .exit(code: bytes[0])
    case Int(MINIMAL_PORT_PHASE): timeline.end(.kernel)
    case Int(MINIMAL_PORT_SLEEP): if bytes[0] == Layout.sleepControlPowerOff { outcome = .powerOff }
    case Int(MINIMAL_PORT_RESET): if bytes[0] == Layout.resetValue { outcome = .reboot }
    default: break
    }
  }

  /// Waits for as long as the reader does: the guest has nothing else to do.
  private func transmit(_ bytes: Span<UInt8>) {
    timeline.end(.firstByte)
    guard output >= 0 else { return }
    var done = 0
    while done < bytes.count {
      // unsafe: done < bytes.count, so the rest lies inside the span.
      let count = unsafe bytes.withUnsafeBytes {
        unsafe CLinux.write(output, $0.baseAddress?.advanced(by: done), $0.count - done)
      }
      if count > 0 {
        done += count
      } else if Errno.current == .interrupted {
        if isLate { return outcome = .timeout(nanoseconds: configuration.timeout ?? 0) }
      } else if Errno.current == .again {
        Self.wait(for: output, POLLOUT)
      } else if Errno.current == .brokenPipe {
        return outcome = .outputClosed
      } else {
        return outcome = .failure("cannot write the guest's output: \(Errno.current)")
      }
    }
  }

  /// Waits for a descriptor that somebody else made non-blocking; a signal ends the wait.
  private static func wait(for number: Int32, _ events: Int32) {
    var source = pollfd(fd: number, events: Int16(events), revents: 0)
    // unsafe: poll is given one entry.
    _ = unsafe poll(&source, 1, -1)
  }

  private func read(_ port: UInt16, _ bytes: inout MutableSpan<UInt8>) {
    for index in bytes.indices { bytes[index] = 0xFF }
    guard bytes.count > 0 else { return }
    switch Int(port) {
    case Int(MINIMAL_PORT_SERIAL): bytes[0] = input.isEmpty ? 0 : input.removeFirst()
    case Int(MINIMAL_PORT_SERIAL_STATUS):
      receive()
      bytes[0] = Self.transmitterEmpty | (input.isEmpty ? 0 : Self.dataReady)
    default: break
    }
  }

  /// Waits for standard input: a guest that looks at its receiver has nothing else to do. The end is told once.
  private func receive() {
    guard input.isEmpty, !inputEnded else { return }
    input = [UInt8](repeating: 0, count: 4096)
    // unsafe: read(2) writes at most the array's count.
    let count = unsafe input.withUnsafeMutableBytes { unsafe CLinux.read(0, $0.baseAddress, $0.count) }
    input.removeLast(4096 - max(0, count))
    if count < 0, Errno.current == .interrupted {
      if isLate { outcome = .timeout(nanoseconds: configuration.timeout ?? 0) }
    } else if count < 0, Errno.current == .again {
      // The guest looks again.
      Self.wait(for: 0, POLLIN)
    } else if count <= 0 {
      inputEnded = true
      input = [Self.endOfInput]
    }
  }
}

extension Exit {
  /// The name of the exit, for messages.
  var name: String {
    switch self {
    case .portOut: return "a port write"
    case .portIn: return "a port read"
    case .mmioWrite: return "a memory write"
    case .mmioRead: return "a memory read"
    case .halt: return "HLT"
    case .shutdown: return "a shutdown"
    case .systemEvent(let type): return "system event \(type)"
    case .endOfInterrupt: return "an end of interrupt"
    case .interrupted: return "an interruption"
    case .other(let number): return "exit reason \(number)"
    }
  }
}
