import CContainer
import CLinux

/// SELinux, as far as mounts have to do with it.
enum SecurityLabels {
  /// Whether the kernel enforces or logs SELinux policy: its file system is mounted and reports itself.
  static var areEnabled: Bool {
    var status = statfs()
    // unsafe: the path is NUL-terminated for the call, and statfs fills the one struct it is given.
    return unsafe statfs("/sys/fs/selinux", &status) == 0 && Int(status.f_type) == ccontainer_selinux_magic()
  }

  /// Whether files of `type` take the label as a mount option.
  static func applies(to type: String) -> Bool {
    switch type {
    case "tmpfs", "mqueue", "devpts", "overlay", "ramfs", "hugetlbfs", "ext4", "xfs", "btrfs": return true
    default: return false
    }
  }
}
