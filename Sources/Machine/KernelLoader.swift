import Boot
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

  /// Puts `kernel` in guest memory. A kernel of the cache is mapped, so that virtual machines share its pages.
  static func load(_ kernel: borrowing PreparedKernel, into ram: GuestRAM) throws(MachineError) {
    try naming("--memory") { () throws(KernelImageError) in try kernel.plan.check(ramSize: ram.count) }
    for segment in kernel.plan.segments where segment.fileSize > 0 {
      try naming("cannot load the kernel") { () throws(GuestFileError) in
        if kernel.isMappable, segment.isPageCongruent, segment.address & 4095 == 0 {
          let count = Int(segment.fileSize + 4095) & ~4095
          try ram.mapFile(kernel.file, offset: Int64(segment.fileOffset), to: GuestAddress(segment.address), count: count)
        } else {
          try ram.fill(from: kernel.file, offset: Int64(segment.fileOffset), to: GuestAddress(segment.address), count: Int(segment.fileSize))
        }
      }
    }
  }
}
