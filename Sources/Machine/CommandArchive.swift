import Boot
import CLinux
import GuestMemory
import GuestProtocol
import System

/// Where an archive is written.
protocol ArchiveTarget: AnyObject {
  /// Writes `bytes` at `position` of the archive.
  func put(_ bytes: [UInt8], at position: UInt64) throws(MachineError)
  /// Writes the first `count` bytes of `file`, which errors call `what`. A file that is shorter is an error.
  func fill(from file: SharedFile, _ what: String, at position: UInt64, count: Int) throws(MachineError)
}

/// How a guest's init and vmrun talk.
package enum CommandChannel {
  /// By vmrun's own I/O ports (`ChannelPort`).
  case ports
  /// By the second serial port of a virtual machine that is not vmrun's.
  case serial
}

/// The initramfs of a command: vmrun itself as init, the command's configuration, and a copy of its root.
package final class CommandArchive {
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
  package private(set) var size: UInt64 = 0

  private let tree: RootfsTree
  private let program: SharedFile
  private var members: [Member] = []
  private var links = CpioLinks()

  /// Reads what lies in the command's root, and plans the archive. `program` is vmrun's own file; nil is this process's.
  package init(
    _ command: Configuration.Command, program: SharedFile? = nil, channel: CommandChannel = .ports
  ) throws(MachineError) {
    tree = try RootfsTree(path: command.rootfs)
    if let program {
      self.program = program
    } else {
      self.program = SharedFile(
        try naming("cannot read vmrun's own program") { () throws(SystemError) in
          try FileDescriptor.open("/proc/self/exe", O_RDONLY)
        })
    }
    let programStatus = try naming("vmrun's own program") { () throws(SystemError) in
      try self.program.descriptor.status()
    }
    try add(Self.directory("dev"), .none)
    var console = Self.entry("dev/console", mode: UInt32(S_IFCHR) | 0o600)
    (console.deviceMajor, console.deviceMinor) = (5, 1)
    try add(console, .none)
    if channel == .serial {
      // Init talks before anybody has mounted /dev (devices.txt: 4, 64 + n is serial port n).
      var serial = Self.entry("dev/ttyS1", mode: UInt32(S_IFCHR) | 0o600)
      (serial.deviceMajor, serial.deviceMinor) = (4, 65)
      try add(serial, .none)
    }
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
  package func add(_ configuration: CommandConfiguration) throws(MachineError) {
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
    try write(to: GuestTarget(ram: ram, address: address))
  }

  /// Writes the archive to `file`, which is empty.
  package func write(to file: SharedFile) throws(MachineError) { try write(to: FileTarget(file)) }

  private func write(to target: any ArchiveTarget) throws(MachineError) {
    var position: UInt64 = 0
    for member in members {
      let header = try naming("--rootfs") { () throws(CpioError) in try member.header.headerBytes() }
      try target.put(header, at: position)
      let body = position + UInt64(header.count)
      let count = Int(member.header.size)
      switch member.content {
      case .none: break
      case .bytes(let bytes): try target.put(bytes, at: body)
      case .program: try target.fill(from: program, "vmrun's own program", at: body, count: count)
      case .file(let index):
        // An empty file needs no look at its content.
        if count > 0 {
          let entry = tree.entries[index]
          let name = String(decoding: entry.path.dropLast(), as: UTF8.self)
          try target.fill(from: SharedFile(try tree.open(entry)), "--rootfs: \(name)", at: body, count: count)
        }
      }
      position += member.header.paddedSize
    }
    try target.put(CpioEntry.trailer(), at: position)
  }

  /// RAM that a guest needs for the archive, its unpacked copy, which may take half of what is left, and its kernel.
  package var neededMemory: UInt64 { size * 3 + (96 << 20) }

  /// Bytes of RAM for the guest of `configuration`: what is asked for, or what the command's root needs.
  package static func memory(_ configuration: Configuration, _ archive: CommandArchive?) throws(MachineError) -> UInt64
  {
    guard let archive else { return configuration.memory ?? Configuration.linuxMemory }
    let step: UInt64 = 64 << 20
    let needed = (archive.neededMemory + step - 1) / step * step
    guard let memory = configuration.memory else { return max(Configuration.linuxMemory, needed) }
    guard memory >= archive.neededMemory else {
      throw MachineError(
        "--memory \(memory >> 20)M is too little for the copy of --rootfs (\(archive.size >> 20) MiB): give at least \(needed >> 20)M"
      )
    }
    return memory
  }
}
