import Boot
import CLinux
import GuestMemory
import GuestProtocol
import System

/// The initramfs of a command: vmrun itself as init, the command's configuration, and a copy of its root.
final class CommandArchive {
  private enum Content {
    case none
    case bytes([UInt8])
    case program
    case file(Int)
  }

  private struct Member {
    let header: CpioEntry
    let content: Content
  }

  /// Bytes of the whole archive.
  private(set) var size: UInt64 = 0

  private let tree: RootfsTree
  private let program: SharedFile
  private var members: [Member] = []
  private var links = CpioLinks()

  /// Reads what lies in the command's root, and plans the archive.
  init(_ command: Configuration.Command) throws(MachineError) {
    tree = try RootfsTree(path: command.rootfs)
    program = SharedFile(
      try naming("cannot read vmrun's own program") { () throws(SystemError) in
        try FileDescriptor.open("/proc/self/exe", O_RDONLY)
      })
    let programStatus = try naming("vmrun's own program") { () throws(SystemError) in try program.descriptor.status() }
    try add(Self.directory("dev"), .none)
    var console = Self.entry("dev/console", mode: UInt32(S_IFCHR) | 0o600)
    (console.deviceMajor, console.deviceMinor) = (5, 1)
    try add(console, .none)
    try add(Self.directory("vmrun"), .none)
    var initProgram = Self.entry("vmrun/init", mode: UInt32(S_IFREG) | 0o755)
    initProgram.size = UInt64(programStatus.st_size)
    try add(initProgram, .program)
    var root = Self.directory("vmrun/root")
    let rootStatus = try tree.rootStatus()
    (root.mode, root.uid, root.gid) = (rootStatus.st_mode, rootStatus.st_uid, rootStatus.st_gid)
    try add(root, .none)
    for (index, entry) in tree.entries.enumerated() { try add(entry, index) }
  }

  private static func entry(_ path: String, mode: UInt32) -> CpioEntry { CpioEntry(path: Array(path.utf8), mode: mode) }
  private static func directory(_ path: String) -> CpioEntry { entry(path, mode: UInt32(S_IFDIR) | 0o755) }

  private func add(_ header: CpioEntry, _ content: Content) throws(MachineError) {
    var header = header
    let inode = UInt64(members.count)
    // vmrun's own members have no other names: any numbers that no file of the tree has will do.
    _ = try naming { () throws(CpioError) in try links.number(&header, device: .max, inode: inode, links: 1) }
    append(header, content)
  }

  private func add(_ entry: RootfsTree.Entry, _ index: Int) throws(MachineError) {
    let status = entry.status
    var header = CpioEntry(path: Array("vmrun/root/".utf8) + entry.path.dropLast(), mode: status.st_mode)
    (header.uid, header.gid, header.mtime) = (status.st_uid, status.st_gid, Int64(status.st_mtim.tv_sec))
    var content = Content.none
    if clinux_s_isreg(status.st_mode) {
      header.size = UInt64(status.st_size)
      content = .file(index)
    } else if clinux_s_islnk(status.st_mode) {
      header.size = UInt64(entry.target.count)
      content = .bytes(entry.target)
    } else if clinux_s_isblk(status.st_mode) || clinux_s_ischr(status.st_mode) {
      (header.deviceMajor, header.deviceMinor) = (clinux_major(status.st_rdev), clinux_minor(status.st_rdev))
    }
    let carriesData = try naming("--rootfs") { () throws(CpioError) in
      try links.number(
        &header, device: UInt64(status.st_dev), inode: UInt64(status.st_ino), links: UInt64(status.st_nlink))
    }
    append(header, carriesData ? content : .none)
  }

  private func append(_ header: CpioEntry, _ content: Content) {
    size += header.paddedSize
    members.append(Member(header: header, content: content))
  }

  /// The command's configuration becomes the last member. Its size is settled by this.
  func add(_ configuration: CommandConfiguration) throws(MachineError) {
    let bytes = configuration.encoded()
    guard bytes.count <= CommandConfiguration.sizeLimit else {
      throw MachineError("the command's arguments are too long")
    }
    var header = Self.entry("vmrun/config", mode: UInt32(S_IFREG) | 0o600)
    header.size = UInt64(bytes.count)
    try add(header, .bytes(bytes))
    size += UInt64(CpioEntry.trailer().count)
  }

  /// Writes the archive to guest memory at `address`, where there is room for `size` bytes.
  func write(to ram: GuestRAM, at address: UInt64) throws(MachineError) {
    var position = address
    for member in members {
      let header = try naming("--rootfs") { () throws(CpioError) in try member.header.headerBytes() }
      try put(header, ram, position)
      let body = position + UInt64(header.count)
      let count = Int(member.header.size)
      switch member.content {
      case .none: break
      case .bytes(let bytes): try put(bytes, ram, body)
      case .program: try fill(program, "vmrun's own program", ram, body, count)
      case .file(let index):
        // An empty file needs no look at its content.
        if count > 0 {
          let entry = tree.entries[index]
          let name = String(decoding: entry.path.dropLast(), as: UTF8.self)
          try fill(SharedFile(try tree.open(entry)), "--rootfs: \(name)", ram, body, count)
        }
      }
      position += member.header.paddedSize
    }
    try put(CpioEntry.trailer(), ram, position)
  }

  private func put(_ bytes: [UInt8], _ ram: GuestRAM, _ address: UInt64) throws(MachineError) {
    try naming { () throws(GuestMemoryError) in try ram.write(GuestAddress(address), bytes) }
  }

  /// A file that became shorter since its size was read is an error; of one that grew, the first part is taken.
  private func fill(_ file: SharedFile, _ what: String, _ ram: GuestRAM, _ address: UInt64, _ count: Int)
    throws(MachineError)
  {
    try naming(what) { () throws(GuestFileError) in
      try ram.fill(from: file.descriptor, offset: 0, to: GuestAddress(address), count: count)
    }
  }

  /// RAM that a guest needs for the archive, its unpacked copy, which may take half of what is left, and its kernel.
  var neededMemory: UInt64 { size * 3 + (96 << 20) }
}
