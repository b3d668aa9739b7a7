import Boot
import CLinux
import KernelCache
import Machine
import System

/// What QEMU reads: where it lies, under names that QEMU's user can reach.
struct GuestFiles: Sendable {
  let kernel: String
  let initrd: String?
  let disks: [DomainXML.Disk]

  /// Bytes that `stage` will write.
  static func stagedSize(_ configuration: Configuration, _ archive: CommandArchive?) throws(LibvirtError) -> UInt64 {
    var size = archive?.size ?? 0
    guard copies else { return size }
    for path in [configuration.kernel, configuration.initrd] {
      if let path { size += UInt64(try status(path, "the guest's file").st_size) }
    }
    return size
  }

  /// libvirt makes QEMU's user the owner of a kernel that root names, and root's own session has not root's right to read everything: both
  /// get copies.
  private static var copies: Bool { geteuid() == 0 }

  /// Puts the files of `configuration` where QEMU can read them. The archive, whose size is settled, becomes the initial RAM disk.
  static func stage(
    _ configuration: Configuration, _ archive: CommandArchive?, in staging: Staging, isShared: Bool
  ) throws(LibvirtError) -> GuestFiles {
    let kernel = try check(kernel: configuration)
    var initrd: String?
    if let archive {
      let file = try staging.create("initrd", isShared: isShared)
      try naming { () throws(MachineError) in try archive.write(to: file) }
      initrd = staging.path(of: "initrd")
    } else if let path = configuration.initrd {
      guard clinux_s_isreg(try status(path, "--initrd").st_mode) else {
        throw LibvirtError("--initrd \(path): expected a file with an initramfs in it")
      }
      initrd = try copies ? copy(path, "--initrd", to: "initrd", staging, isShared) : absolute(path, "--initrd")
    }
    var disks: [DomainXML.Disk] = []
    for (index, disk) in configuration.disks.enumerated() { disks.append(try Self.disk(disk, index)) }
    return GuestFiles(
      kernel: try copies ? copy(kernel, "--kernel", to: "kernel", staging, isShared) : absolute(kernel, "--kernel"),
      initrd: initrd, disks: disks)
  }

  /// Says of a file that is no kernel what vmrun itself would say.
  private static func check(kernel configuration: Configuration) throws(LibvirtError) -> String {
    let path = configuration.kernel ?? ""
    let cache = KernelCache(folder: nil)
    try naming("--kernel") { () throws(KernelError) in _ = try cache.prepare(path, mode: .decompress) }
    return path
  }

  private static func disk(_ disk: Configuration.Disk, _ index: Int) throws(LibvirtError) -> DomainXML.Disk {
    let mode = try status(disk.path, "--disk").st_mode
    guard clinux_s_isreg(mode) || clinux_s_isblk(mode) else {
      throw LibvirtError("--disk \(disk.path): expected a raw disk image or a block device")
    }
    guard can(disk.path, disk.readOnly ? R_OK : R_OK | W_OK) else {
      throw LibvirtError("--disk \(disk.path): \(Errno.current)")
    }
    return DomainXML.Disk(
      path: try absolute(disk.path, "--disk"), readOnly: disk.readOnly, isDevice: clinux_s_isblk(mode),
      serial: "vmrun-disk-\(index)")
  }

  private static func status(_ path: String, _ option: String) throws(LibvirtError) -> stat {
    var status = stat()
    // unsafe: stat fills the one struct it is given.
    guard unsafe stat(path, &status) == 0 else { throw LibvirtError("\(option) \(path): \(Errno.current)") }
    return status
  }

  /// The path from the root on, which is what a daemon needs that runs in another folder.
  private static func absolute(_ path: String, _ option: String) throws(LibvirtError) -> String {
    // unsafe: realpath's string is freed once.
    guard let raw = unsafe realpath(path, nil) else { throw LibvirtError("\(option) \(path): \(Errno.current)") }
    defer { unsafe free(raw) }
    return unsafe String(cString: raw)
  }

  private static func copy(
    _ path: String, _ option: String, to name: String, _ staging: Staging, _ isShared: Bool
  ) throws(LibvirtError) -> String {
    let source = try naming(option) { () throws(SystemError) in try FileDescriptor.open(path, O_RDONLY) }
    let target = try staging.create(name, isShared: isShared)
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      // unsafe: the array's own bytes, valid for the calls.
      let result: Result<Int, SystemError> = unsafe chunk.withUnsafeMutableBytes { buffer in
        do throws(SystemError) {
          let count = try unsafe source.read(into: buffer)
          try unsafe target.descriptor.writeFully(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
          return .success(count)
        } catch {
          return .failure(error)
        }
      }
      if try naming("\(option) \(path)", { () throws(SystemError) in try result.get() }) == 0 { break }
    }
    return staging.path(of: name)
  }
}
