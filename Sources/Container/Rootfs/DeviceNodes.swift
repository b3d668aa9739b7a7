import CContainer
import CLinux
import OCI
import System

/// What a container's /dev holds (config-linux.md, sections "Devices" and "Default Devices").
enum DeviceNodes {
  /// Devices that every container has.
  static let standard: [Linux.Device] = [
    Linux.Device(path: "/dev/null", type: .character, major: 1, minor: 3),
    Linux.Device(path: "/dev/zero", type: .character, major: 1, minor: 5),
    Linux.Device(path: "/dev/full", type: .character, major: 1, minor: 7),
    Linux.Device(path: "/dev/random", type: .character, major: 1, minor: 8),
    Linux.Device(path: "/dev/urandom", type: .character, major: 1, minor: 9),
    Linux.Device(path: "/dev/tty", type: .character, major: 5, minor: 0),
  ]

  /// Links of /dev, and where they lead.
  static let links: [(name: String, target: String)] = [
    ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"),
  ]

  /// The configuration's devices, and the standard ones that it does not define itself.
  static func all(with devices: [Linux.Device]) -> [Linux.Device] {
    var all = standard.filter { standard in
      !devices.contains { ContainedPath.cleaned($0.path) == standard.path }
    }
    for var device in devices {
      device.path = ContainedPath.cleaned(device.path)
      all.append(device)
    }
    return all
  }
}

extension Linux.Device {
  /// mknod(2)'s mode.
  fileprivate var mode: UInt32 {
    let kind: Int32
    switch type {
    case .block: kind = S_IFBLK
    case .fifo: kind = S_IFIFO
    case .character, .all: kind = S_IFCHR
    }
    return UInt32(kind) | (fileMode ?? 0o666) & 0o7777
  }

  fileprivate var number: dev_t { type == .fifo ? 0 : clinux_makedev(major, minor) }

  /// Whether `status` is that of this very device.
  fileprivate func matches(_ status: stat) -> Bool {
    status.st_mode & UInt32(S_IFMT) == mode & UInt32(S_IFMT) && (type == .fifo || status.st_rdev == number)
  }
}

extension Rootfs {
  /// Makes devices and links, after the mounts: what a mount put in their place stays.
  mutating func addDevices(_ devices: [Linux.Device], userNamespace: Bool) throws(ContainerError) {
    for device in devices {
      try naming("device \(device.path)") { () throws(SystemError) in
        try add(device, userNamespace: userNamespace)
      }
    }
    try naming("links in /dev") { () throws(SystemError) in
      let root = root.descriptor.rawValue
      let folder: SharedFile
      if let dev {
        folder = dev
      } else {
        folder = SharedFile(try ContainedPath.findOrMake("/dev", in: root, as: .folder))
      }
      let raw = folder.descriptor.rawValue
      for link in DeviceNodes.links { try addLink(link.name, to: link.target, in: raw) }
      // The kernel may be built without it. unsafe: the literal is NUL-terminated.
      if unsafe access("/proc/kcore", F_OK) == 0 { try addLink("core", to: "/proc/kcore", in: raw) }
      try addTerminalLink(in: raw)
      openNull = try Self.openNull(in: raw)
    }
  }

  private func add(_ device: Linux.Device, userNamespace: Bool) throws(SystemError) {
    let name = ContainedPath.name(of: device.path)
    if let dev, device.path.utf8.count == 5 + name.utf8.count, device.path.hasPrefix("/dev/") {
      return try make(device, name, in: dev.descriptor.rawValue, userNamespace: userNamespace)
    }
    let folder = try ContainedPath.findOrMakeParent(of: device.path, in: root.descriptor.rawValue)
    try make(device, name, in: folder.rawValue, userNamespace: userNamespace)
  }

  private func make(_ device: Linux.Device, _ name: String, in folder: Int32, userNamespace: Bool) throws(SystemError) {
    // Nodes made in a user namespace cannot be opened (user_namespaces(7)); pipes can.
    if userNamespace, device.type != .fifo { return try bindFromHost(device, name, in: folder) }
    for isFirst in [true, false] {
      // unsafe: the name is NUL-terminated for the calls.
      if unsafe mknodat(folder, name, device.mode, device.number) == 0 {
        guard device.uid ?? 0 != 0 || device.gid ?? 0 != 0 else { return }
        guard unsafe fchownat(folder, name, device.uid ?? 0, device.gid ?? 0, AT_SYMLINK_NOFOLLOW) == 0 else {
          throw SystemError("chown", name, .current)
        }
        return
      }
      let errno = Errno.current
      if errno == .notPermitted { return try bindFromHost(device, name, in: folder) }
      guard errno == .exists, isFirst else { throw SystemError("mknod", name, errno) }
      if try isInPlace(device, name, in: folder) { return }
    }
  }

  /// Whether what is there already may stay: the device itself, or a mount. Anything else is removed.
  private func isInPlace(_ device: Linux.Device, _ name: String, in folder: Int32) throws(SystemError) -> Bool {
    var status = stat()
    // unsafe: fstatat fills the one struct it is given, and the name is NUL-terminated for the call.
    guard unsafe fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
      throw SystemError("stat", name, .current)
    }
    if device.matches(status) { return true }
    // unsafe: the name is NUL-terminated for the call.
    if unsafe unlinkat(folder, name, clinux_s_isdir(status.st_mode) ? AT_REMOVEDIR : 0) == 0 { return false }
    if Errno.current == .busy { return true }
    throw SystemError("unlink", name, .current)
  }

  private func bindFromHost(_ device: Linux.Device, _ name: String, in folder: Int32) throws(SystemError) {
    let tree = try MountCalls.cloneTree(device.path, recursive: false)
    guard device.matches(try MountCalls.status(of: tree.rawValue)) else {
      throw SystemError("bind the host's", device.path, Errno(rawValue: ENODEV))
    }
    // unsafe: the name is NUL-terminated for the call.
    guard unsafe mknodat(folder, name, UInt32(S_IFREG), 0) == 0 || Errno.current == .exists else {
      throw SystemError("create", name, .current)
    }
    try MountCalls.attach(tree.rawValue, at: name, of: folder)
  }

  private func addLink(_ name: String, to target: String, in folder: Int32) throws(SystemError) {
    // unsafe: both strings are NUL-terminated for the call.
    guard unsafe symlinkat(target, folder, name) == 0 || Errno.current == .exists else {
      throw SystemError("symlink", name, .current)
    }
  }

  /// /dev/ptmx has to be that of the container's own devpts.
  private func addTerminalLink(in folder: Int32) throws(SystemError) {
    for _ in 0..<2 {
      // unsafe: the literals are NUL-terminated.
      if unsafe symlinkat("pts/ptmx", folder, "ptmx") == 0 { return }
      guard Errno.current == .exists else { throw SystemError("symlink", "ptmx", .current) }
      // unsafe: as above. A mount that stands there was asked for.
      if unsafe unlinkat(folder, "ptmx", 0) != 0 {
        if Errno.current == .busy { return }
        throw SystemError("unlink", "ptmx", .current)
      }
    }
  }

  private static func openNull(in folder: Int32) throws(SystemError) -> SharedFile? {
    // unsafe: the literal is NUL-terminated. A pipe in its place must not make the open wait.
    let raw = unsafe clinux_openat(folder, "null", O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0)
    guard raw >= 0 else { return nil }
    let file = SharedFile(FileDescriptor(owning: raw))
    guard HostNull.isNull(try MountCalls.status(of: raw)) else { return nil }
    guard clinux_fcntl(raw, F_SETFL, Int(O_RDWR)) == 0 else { throw SystemError("fcntl", "null", .current) }
    return file
  }
}
