import Devices
import Hypervise
import System
import Virtio

/// The VM as its devices see it: something that takes messages.
final class SharedVM: MSISink, @unchecked Sendable {
  let vm: VM

  init(_ vm: consuming VM) { self.vm = vm }

  /// A message that KVM refuses is one that the guest misprogrammed: it is lost, as on hardware.
  func deliver(address: UInt64, data: UInt32) { _ = try? vm.signalMSI(address: address, data: data) }
}

/// A virtio device's interrupt on a wire to the I/O APIC.
final class WiredInterrupt: Interrupt {
  private let line: any InterruptLine

  init(_ line: any InterruptLine) { self.line = line }

  func raise() { line.raise() }
}

/// Serves the queues of one virtio device on the main loop, where its doorbell rings.
final class DoorbellServer: EventHandler {
  private let transport: MMIOTransport

  init(_ transport: MMIOTransport) { self.transport = transport }

  func handle(events: UInt32, token: UInt32) { transport.serveDoorbell() }
}
