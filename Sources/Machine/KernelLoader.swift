import Boot
import CLinux
import GuestMemory
import KernelCache
import System

/// A kernel that is ready to be put in guest memory: where its bytes are, where they go, and what it wants to be told.
struct PreparedKernel: ~Copyable {
  let file: FileDescriptor
  let plan: LoadPlan
  let header: SetupHeader
  /// Whether `file` never changes under a mapping, as an entry of the cache does not.
  let isStable: Bool
}

/// Finds out what a kernel file is and makes it ready.
enum KernelLoader {
  /// Opens `path` and prepares it as `mode` says.
  static func prepare(path: String, mode: Configuration.BootMode) throws(MachineError) -> PreparedKernel {
    let file = try open(path)
    let status = try naming("--kernel \(path)") { () throws(SystemError) in try file.status() }
    if clinux_s_isdir(status.st_mode) { throw MachineError("--kernel \(path) is a directory; name the kernel file in it") }
    let size = Int(status.st_size)
    guard size > 0 else { throw MachineError("--kernel \(path): the file is empty") }
    let mapping = try naming("--kernel \(path)") { () throws(SystemError) in try Mapping.readOnly(file, count: size) }
    let image = try naming("--kernel \(path)") { () throws(KernelImageError) in
      // unsafe: the mapping outlives the span.
      try unsafe KernelImage.identify(mapping.bytes.bytes)
    }
    switch image {
    case .elf(let kernel): return PreparedKernel(file: file, plan: kernel.plan, header: SetupHeader(), isStable: false)
    case .bzImage(let image):
      let plan = try naming("--kernel \(path)") { () throws(KernelImageError) in try image.loadPlan() }
      return PreparedKernel(file: file, plan: plan, header: image.header, isStable: false)
    }
  }

  private static func open(_ path: String) throws(MachineError) -> FileDescriptor {
    do { return try FileDescriptor.open(path, O_RDONLY) } catch {
      switch error.errno.rawValue {
      case ENOENT: throw MachineError("--kernel \(path): no such file (ls /boot/vmlinuz-* shows this machine's kernels)")
      case EACCES: throw MachineError("--kernel \(path): permission denied (kernels in /boot may be readable by root only)")
      default: throw MachineError("--kernel \(path): \(error.errno)")
      }
    }
  }

  /// Puts `kernel` in guest memory.
  static func load(_ kernel: borrowing PreparedKernel, into ram: GuestRAM) throws(MachineError) {
    for segment in kernel.plan.segments {
      let count = try naming("cannot load the kernel") { () throws(GuestFileError) in
        try ram.readFile(
          kernel.file, offset: Int64(segment.fileOffset), to: GuestAddress(segment.address), count: Int(segment.fileSize))
      }
      guard count == Int(segment.fileSize) else { throw MachineError("the kernel file became shorter while it was read") }
    }
  }
}
