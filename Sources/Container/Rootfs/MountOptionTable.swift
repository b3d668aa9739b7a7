import CContainer
import CLinux

/// MS_ flags of mount(2) as one type.
enum MountFlag {
  static let readOnly = UInt(MS_RDONLY)
  static let noSetUserID = UInt(MS_NOSUID)
  static let noDevices = UInt(MS_NODEV)
  static let noExecution = UInt(MS_NOEXEC)
  static let synchronous = UInt(MS_SYNCHRONOUS)
  static let remount = UInt(MS_REMOUNT)
  static let mandatoryLocks = UInt(MS_MANDLOCK)
  static let synchronousFolders = UInt(MS_DIRSYNC)
  static let noSymlinks = UInt(MS_NOSYMFOLLOW)
  static let noAccessTime = UInt(MS_NOATIME)
  static let noDirectoryAccessTime = UInt(MS_NODIRATIME)
  static let bind = UInt(MS_BIND)
  static let move = UInt(MS_MOVE)
  static let recursive = UInt(MS_REC)
  static let silent = UInt(MS_SILENT)
  static let accessControlLists = UInt(MS_POSIXACL)
  static let unbindable = UInt(MS_UNBINDABLE)
  static let `private` = UInt(MS_PRIVATE)
  static let slave = UInt(MS_SLAVE)
  static let shared = UInt(MS_SHARED)
  static let relativeAccessTime = UInt(MS_RELATIME)
  static let inodeVersion = UInt(MS_I_VERSION)
  static let strictAccessTime = UInt(MS_STRICTATIME)
  static let lazyTime = UInt(MS_LAZYTIME)

  /// What one mount of a file system can have different from another, access times aside.
  static let perMount = readOnly | noSetUserID | noDevices | noExecution | noSymlinks
  static let accessTimes = noAccessTime | noDirectoryAccessTime | relativeAccessTime | strictAccessTime
  /// What all mounts of a file system share.
  static let superblock =
    synchronous | mandatoryLocks | synchronousFolders | accessControlLists | inodeVersion | lazyTime
}

/// MOUNT_ATTR_ bits of mount_setattr(2) and fsmount(2) as one type.
enum MountAttribute {
  static let readOnly = UInt64(MOUNT_ATTR_RDONLY)
  static let noSetUserID = UInt64(MOUNT_ATTR_NOSUID)
  static let noDevices = UInt64(MOUNT_ATTR_NODEV)
  static let noExecution = UInt64(MOUNT_ATTR_NOEXEC)
  static let noSymlinks = UInt64(MOUNT_ATTR_NOSYMFOLLOW)
  static let idMap = UInt64(MOUNT_ATTR_IDMAP)
  /// The field of the access time mode; relatime is 0 in it.
  static let accessTimes = UInt64(MOUNT_ATTR__ATIME)
  static let noAccessTime = UInt64(MOUNT_ATTR_NOATIME)
  static let strictAccessTime = UInt64(MOUNT_ATTR_STRICTATIME)
  static let noDirectoryAccessTime = UInt64(MOUNT_ATTR_NODIRATIME)
}

/// The mount options that mean the same for every file system.
enum MountOptionTable {
  /// Options that set or clear a flag of mount(2).
  static let flags: [(name: String, isSet: Bool, flag: UInt)] = [
    // Ordered by how often engines send them: the table is searched from the front.
    ("nosuid", true, MountFlag.noSetUserID),
    ("noexec", true, MountFlag.noExecution),
    ("nodev", true, MountFlag.noDevices),
    ("ro", true, MountFlag.readOnly),
    ("rbind", true, MountFlag.bind | MountFlag.recursive),
    ("bind", true, MountFlag.bind),
    ("rw", false, MountFlag.readOnly),
    ("strictatime", true, MountFlag.strictAccessTime),
    ("relatime", true, MountFlag.relativeAccessTime),
    ("noatime", true, MountFlag.noAccessTime),
    ("suid", false, MountFlag.noSetUserID),
    ("exec", false, MountFlag.noExecution),
    ("dev", false, MountFlag.noDevices),
    ("sync", true, MountFlag.synchronous),
    ("async", false, MountFlag.synchronous),
    ("dirsync", true, MountFlag.synchronousFolders),
    ("remount", true, MountFlag.remount),
    ("mand", true, MountFlag.mandatoryLocks),
    ("nomand", false, MountFlag.mandatoryLocks),
    ("atime", false, MountFlag.noAccessTime),
    ("nodiratime", true, MountFlag.noDirectoryAccessTime),
    ("diratime", false, MountFlag.noDirectoryAccessTime),
    ("norelatime", false, MountFlag.relativeAccessTime),
    ("nostrictatime", false, MountFlag.strictAccessTime),
    ("nosymfollow", true, MountFlag.noSymlinks),
    ("symfollow", false, MountFlag.noSymlinks),
    ("silent", true, MountFlag.silent),
    ("loud", false, MountFlag.silent),
    ("iversion", true, MountFlag.inodeVersion),
    ("noiversion", false, MountFlag.inodeVersion),
    ("lazytime", true, MountFlag.lazyTime),
    ("nolazytime", false, MountFlag.lazyTime),
    ("acl", true, MountFlag.accessControlLists),
    ("noacl", false, MountFlag.accessControlLists),
  ]

  static let propagations: [(name: String, kind: UInt, isRecursive: Bool)] = [
    ("rprivate", MountFlag.private, true),
    ("private", MountFlag.private, false),
    ("rslave", MountFlag.slave, true),
    ("slave", MountFlag.slave, false),
    ("rshared", MountFlag.shared, true),
    ("shared", MountFlag.shared, false),
    ("runbindable", MountFlag.unbindable, true),
    ("unbindable", MountFlag.unbindable, false),
  ]

  /// Options that act on a mount and on all below it.
  static let recursive: [(name: String, isSet: Bool, attribute: UInt64)] = [
    ("rro", true, MountAttribute.readOnly),
    ("rrw", false, MountAttribute.readOnly),
    ("rnosuid", true, MountAttribute.noSetUserID),
    ("rsuid", false, MountAttribute.noSetUserID),
    ("rnodev", true, MountAttribute.noDevices),
    ("rdev", false, MountAttribute.noDevices),
    ("rnoexec", true, MountAttribute.noExecution),
    ("rexec", false, MountAttribute.noExecution),
    ("rnodiratime", true, MountAttribute.noDirectoryAccessTime),
    ("rdiratime", false, MountAttribute.noDirectoryAccessTime),
    ("rrelatime", true, 0),
    ("rnorelatime", false, 0),
    ("rnoatime", true, MountAttribute.noAccessTime),
    ("ratime", false, MountAttribute.noAccessTime),
    ("rstrictatime", true, MountAttribute.strictAccessTime),
    ("rnostrictatime", false, MountAttribute.strictAccessTime),
    ("rnosymfollow", true, MountAttribute.noSymlinks),
    ("rsymfollow", false, MountAttribute.noSymlinks),
  ]

  /// Flags of mount(2) and the attributes that stand for them, access times aside.
  static let attributes: [(flag: UInt, attribute: UInt64)] = [
    (MountFlag.readOnly, MountAttribute.readOnly),
    (MountFlag.noSetUserID, MountAttribute.noSetUserID),
    (MountFlag.noDevices, MountAttribute.noDevices),
    (MountFlag.noExecution, MountAttribute.noExecution),
    (MountFlag.noSymlinks, MountAttribute.noSymlinks),
  ]

  /// Every option that vmrun takes, as `vmrun features` lists them.
  static var names: [String] {
    var names = ["defaults", "idmap", "ridmap", "tmpcopyup", "src-nofollow", "copy-symlink", "dest-nofollow"]
    for entry in flags { names.append(entry.name) }
    for entry in propagations { names.append(entry.name) }
    for entry in recursive { names.append(entry.name) }
    return names.sorted()
  }
}

extension MountOptions {
  /// Every mount option that is not left to a file system's driver, sorted (features.md, `mountOptions`).
  public static var known: [String] { MountOptionTable.names }
}
