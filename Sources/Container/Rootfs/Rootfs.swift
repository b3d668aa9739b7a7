import CContainer
import CLinux
import OCI
import System

/// A container's file system in the child's mount namespace: built on the rootfs folder, then pivoted to, then sealed.
///
/// Everything in it is reached through `root` and the descriptors of the mounts that were made; no path of the container is
/// ever resolved in the host's tree.
public struct Rootfs: ~Copyable {
  /// The root of the container's topmost mount at "/".
  var root: SharedFile
  /// The roots of the file systems that were made at /proc, /sys, /dev and /dev/pts; nil when something else is there.
  var proc: SharedFile?
  var sys: SharedFile?
  var dev: SharedFile?
  var terminals: SharedFile?
  /// The host's /dev/null as a read-only detached mount, which hides files.
  let null: SharedFile
  /// The container's own /dev/null, open for reading and writing; nil when /dev is not vmrun's affair.
  var openNull: SharedFile?
  /// File systems that become read-only once everything that goes into them is there.
  var late: [SharedFile] = []
  /// What the root's propagation becomes after the pivot; 0 to leave it.
  let finalPropagation: UInt
  let isShared: Bool

  /// Step 4 of the child: attaches the root and makes all mounts, devices and links in it.
  init(_ plan: borrowing RootfsPlan) throws(ContainerError) {
    let path = plan.source.path
    let (source, tree, propagation, userNamespace) =
      (plan.source, plan.rootTree, plan.propagation, plan.userNamespace)
    let null = try HostNull.open()
    let root = try naming("root file system \(path)") { () throws(SystemError) in
      try RootMount.attach(source, tree: tree, propagation: propagation, userNamespace: userNamespace)
    }
    self.null = null
    self.root = root
    finalPropagation = RootMount.finalPropagation(propagation)
    isShared = propagation == .shared
  }

  /// Remembers a mount that later steps use, when `destination` is one of theirs.
  mutating func note(_ mount: SharedFile, of type: String, at destination: String) {
    switch destination {
    case "/":
      root = mount
      (proc, sys, dev, terminals) = (nil, nil, nil, nil)
    case "/proc": proc = type == "proc" ? mount : nil
    case "/sys": sys = type == "sysfs" ? mount : nil
    case "/dev":
      dev = type == "tmpfs" ? mount : nil
      terminals = nil
    case "/dev/pts": terminals = type == "devpts" ? mount : nil
    default: break
    }
  }
}

extension RootfsPlan {
  /// Step 4 of the child: propagation, the root's mount, all mounts, devices, links, and the console.
  ///
  /// - Parameter console: a pseudo-terminal's slave to bind at /dev/console; nil for none, or to use
  ///   `Rootfs.openTerminal()` afterwards.
  /// - Throws: `.system` for what the kernel refused, `.invalid` for a destination that the rules forbid.
  public borrowing func build(console: Int32?) throws(ContainerError) -> Rootfs {
    // What is made has the mode that is meant, whatever the caller's mask.
    let mask = umask(0)
    defer { umask(mask) }
    var rootfs = try Rootfs(self)
    for mount in mounts {
      do throws(ContainerError) { try rootfs.add(mount, plan: self) } catch {
        let what = mount.source.isEmpty ? mount.type : mount.source
        throw error.inside("mount \(what) on \(mount.destination)")
      }
    }
    // A /dev that comes from elsewhere already has what its owner wants it to have.
    if !mounts.contains(where: { $0.isBind && $0.destination == "/dev" }) {
      try rootfs.addDevices(devices, userNamespace: userNamespace)
    }
    if let console { try rootfs.bindConsole(console) }
    return rootfs
  }
}
