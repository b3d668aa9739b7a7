import Boot
import CLinux
import GuestMemory
import KernelCache
import System

/// Makes a kernel file ready and puts it in guest memory.
enum KernelLoader {
  /// Prepares the file at `path` as `mode` says. A kernel that is new to the cache is published later, beside the guest's boot.
  static func prepare(path: String, mode: Boot.BootMode) throws(MachineError) -> PreparedKernel {
    let cache = KernelCache(folder: KernelCache.defaultFolder())
    return try naming("--kernel") { () throws(KernelError) in try cache.prepare(path, mode: mode, publishLater: true) }
  }

  /// Puts `kernel` in guest memory, a kernel of the cache as `pages` says.
  static func load(
    _ kernel: borrowing PreparedKernel, pages: Configuration.KernelPages, into ram: GuestRAM
  ) throws(MachineError) {
    try naming("--memory") { () throws(KernelImageError) in try kernel.plan.check(ramSize: ram.count) }
    let shares = kernel.isMappable && sharing(pages)
    for segment in kernel.plan.segments where segment.fileSize > 0 {
      try naming("cannot load the kernel") { () throws(GuestFileError) in
        if shares, segment.isPageCongruent, segment.address & 4095 == 0 {
          let count = Int(segment.fileSize + 4095) & ~4095
          try ram.mapFile(
            kernel.file, offset: Int64(segment.fileOffset), to: GuestAddress(segment.address), count: count)
        } else {
          try ram.fill(
            from: kernel.file, offset: Int64(segment.fileOffset), to: GuestAddress(segment.address),
            count: Int(segment.fileSize))
        }
      }
    }
  }

  /// A mapped kernel costs a fault for every small page that the guest touches, some thousands of them; a copy in huge pages
  /// costs a dozen. Bare metal takes such a fault in a microsecond, so that sharing is as fast as copying; a host that is a
  /// virtual machine itself takes tens of microseconds, and then copying is much faster.
  private static func sharing(_ pages: Configuration.KernelPages) -> Bool {
    switch pages {
    case .shared: return true
    case .copied: return false
    // CPUID.1:ECX[31], which hypervisors set for their guests.
    case .automatic: return clinux_cpuid(1, 0).ecx >> 31 == 0
    }
  }
}
