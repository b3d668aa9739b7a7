import CContainer
import CLinux
import OCI
import System

// What the container may not change or see (config-linux.md, sections "Masked Paths", "Readonly Paths" and
// "Rootfs Mount Propagation"; config.md, `root.readonly`).
extension Rootfs {
  /// Step 6 of the child, after the pivot: read-only file systems, read-only paths, masked paths, the root, and the standard
  /// streams that are the host's null device.
  public mutating func seal(spec: Spec) throws(ContainerError) {
    try replaceHostNull()
    for mount in late {
      try naming("read-only mount") { () throws(SystemError) in
        try MountCalls.change(mount.descriptor.rawValue, set: MountAttribute.readOnly)
      }
    }
    for path in spec.linux.readonlyPaths {
      try naming("read-only path \(path)") { () throws(SystemError) in try makeReadOnly(path) }
    }
    var masks = Masks(null)
    for path in spec.linux.maskedPaths {
      try naming("masked path \(path)") { () throws(SystemError) in try mask(path, with: &masks) }
    }
    if spec.root?.isReadOnly == true {
      let raw = root.descriptor.rawValue
      try naming("read-only root") { () throws(SystemError) in
        try MountCalls.change(raw, set: MountAttribute.readOnly)
      }
    }
  }

  /// Standard streams that are the host's /dev/null become the container's: through them the container's root could change
  /// the host's node.
  private func replaceHostNull() throws(ContainerError) {
    guard let openNull else { return }
    let raw = openNull.descriptor.rawValue
    try naming("standard streams") { () throws(SystemError) in
      for stream: Int32 in 0...2 {
        var status = stat()
        // unsafe: fstat fills the one struct it is given; a stream that is closed stays closed.
        guard unsafe fstat(stream, &status) == 0, HostNull.isNull(status) else { continue }
        guard dup3(raw, stream, 0) == stream else { throw SystemError("dup3", "descriptor \(stream)", .current) }
      }
    }
  }

  /// A descriptor of the file system that `path` lies directly in, and its one name there, when that is a file system of the
  /// kernel that was made for this container: nobody can put a link into it.
  private func kernelPlace(of path: String) -> (folder: Int32, name: String)? {
    if let proc, path.hasPrefix("/proc/"), let name = Self.onlyComponent(path, after: 6) {
      return (proc.descriptor.rawValue, name)
    }
    if let sys, path.hasPrefix("/sys/"), let name = Self.onlyComponent(path, after: 5) {
      return (sys.descriptor.rawValue, name)
    }
    return nil
  }

  private static func onlyComponent(_ path: String, after count: Int) -> String? {
    let rest = path.utf8.dropFirst(count)
    guard !rest.isEmpty, !rest.contains(0x2f), !rest.elementsEqual([0x2e]), !rest.elementsEqual([0x2e, 0x2e]) else {
      return nil
    }
    return String(rest)
  }

  /// Mounts `path` upon itself, read-only; a path that is missing is left out.
  private func makeReadOnly(_ path: String) throws(SystemError) {
    if let (folder, name) = kernelPlace(of: path) {
      let tree: FileDescriptor
      do throws(SystemError) {
        tree = try MountCalls.cloneTree(name, from: folder, recursive: true, followingLink: false)
      } catch {
        if error.errno == .notFound { return }
        throw error
      }
      try MountCalls.change(tree.rawValue, set: MountAttribute.readOnly)
      return try MountCalls.attach(tree.rawValue, at: name, of: folder)
    }
    guard let target = try ContainedPath.find(path, in: root.descriptor.rawValue) else { return }
    let tree = try MountCalls.cloneTree(of: target.rawValue, recursive: true)
    try MountCalls.change(tree.rawValue, set: MountAttribute.readOnly)
    try MountCalls.attach(tree.rawValue, onto: target.rawValue)
  }

  /// Hides `path`: a folder under an empty read-only one, anything else under the null device. What is missing is left out.
  private func mask(_ path: String, with masks: inout Masks) throws(SystemError) {
    if let (folder, name) = kernelPlace(of: path) {
      var status = stat()
      // unsafe: fstatat fills the one struct it is given, and the name is NUL-terminated for the call.
      guard unsafe fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
        if Errno.current == .notFound { return }
        throw SystemError("stat", path, .current)
      }
      return try masks.attach(isFolder: clinux_s_isdir(status.st_mode)) { (tree) throws(SystemError) in
        try MountCalls.attach(tree, at: name, of: folder)
      }
    }
    guard let target = try ContainedPath.find(path, in: root.descriptor.rawValue) else { return }
    let isFolder = clinux_s_isdir(try MountCalls.status(of: target.rawValue).st_mode)
    try masks.attach(isFolder: isFolder) { (tree) throws(SystemError) in
      try MountCalls.attach(tree, onto: target.rawValue)
    }
  }
}

/// The two mounts that hide things; each is made once, and copied for every further use.
struct Masks: ~Copyable {
  private let null: SharedFile
  private var nullIsUsed = false
  private var empty: SharedFile?

  init(_ null: SharedFile) { self.null = null }

  /// Has `place` attach a mask for a folder or for a file.
  mutating func attach(isFolder: Bool, _ place: (Int32) throws(SystemError) -> Void) throws(SystemError) {
    if isFolder {
      guard let empty else {
        let made = SharedFile(try Self.makeEmpty())
        try place(made.descriptor.rawValue)
        empty = made
        return
      }
      let copy = try MountCalls.cloneTree(of: empty.descriptor.rawValue, recursive: false)
      return try place(copy.rawValue)
    }
    guard nullIsUsed else {
      try place(null.descriptor.rawValue)
      nullIsUsed = true
      return
    }
    let copy = try MountCalls.cloneTree(of: null.descriptor.rawValue, recursive: false)
    try place(copy.rawValue)
  }

  private static func makeEmpty() throws(SystemError) -> FileDescriptor {
    let context = try FileSystemContext("tmpfs")
    try context.set("source", "tmpfs")
    return try context.mount(
      attributes: MountAttribute.readOnly | MountAttribute.noSetUserID
        | MountAttribute.noDevices | MountAttribute.noExecution)
  }
}
