import Boot
import CLinux
import GuestMemory
import KernelCache
import System

/// Puts an initial RAM disk into guest memory.
enum Initrd {
  /// Loads the file at `path`; an empty range for nil.
  static func load(
    _ path: String?, into ram: GuestRAM, kernel: borrowing PreparedKernel
  ) throws(MachineError) -> Range<UInt64> {
    guard let path else { return 0..<0 }
    let file = try naming("--initrd") { () throws(SystemError) in try FileDescriptor.open(path, O_RDONLY) }
    let status = try naming("--initrd \(path)") { () throws(SystemError) in try file.status() }
    guard clinux_s_isreg(status.st_mode), status.st_size > 0 else {
      throw MachineError("--initrd \(path): expected a file with an initramfs in it")
    }
    let size = UInt64(status.st_size)
    let address = try place(size: size, ram: ram, kernel: kernel, what: "--initrd \(path)")
    try naming("--initrd \(path)") { () throws(GuestFileError) in
      try ram.fill(from: file, offset: 0, to: GuestAddress(address), count: Int(size))
    }
    return address..<address + size
  }

  /// Where `size` bytes go.
  static func place(
    size: UInt64, ram: GuestRAM, kernel: borrowing PreparedKernel, what: String
  ) throws(MachineError) -> UInt64 {
    guard
      let address = Layout.initrdAddress(
        size: size, ramSize: ram.count, kernelEnd: kernel.plan.end, limit: kernel.header.initrdLimit)
    else {
      throw MachineError(
        "\(what) (\(size >> 20) MiB) does not fit beside the kernel in \(ram.count >> 20) MiB: give more --memory")
    }
    return address
  }
}
