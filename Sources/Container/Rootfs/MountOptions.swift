import CContainer
import CLinux
import OCI

/// The `options` of one mount, sorted by what they act on (config.md, section "Linux mount options"; mount(8)).
///
/// As in mount(8) the last option of a kind wins. What the tables do not know is data for the file system's driver.
public struct MountOptions: Equatable, Sendable {
  /// MS_ flags that options asked for, of the mount and of the file system alike (mount(2)).
  public var flags: UInt = 0
  /// MS_ flags that options asked to be off ("rw", "suid").
  public var cleared: UInt = 0
  /// MOUNT_ATTR_ bits to set and to clear on the mount and on all mounts below it ("rro"; mount_setattr(2)).
  public var recursiveSet: UInt64 = 0
  public var recursiveClear: UInt64 = 0
  /// Propagation changes in the order they were given.
  public var propagations: [Propagation] = []
  public var idMap: IDMap?
  /// tmpfs: the folder's contents are copied into the new file system.
  public var copiesUp = false
  /// Bind: a source that is a symbolic link is bound itself, or made anew at the destination.
  public var bindsSymlink = false
  public var copiesSymlink = false
  /// A destination that is a symbolic link is mounted upon itself.
  public var keepsDestinationSymlink = false
  /// What goes to the file system's driver: "key" or "key=value" each.
  public var data: [String] = []

  /// One propagation change.
  public struct Propagation: Equatable, Sendable {
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE.
    public var kind: UInt
    public var isRecursive: Bool
  }

  /// "idmap" or "ridmap".
  public struct IDMap: Equatable, Sendable {
    public var isRecursive: Bool
    public var uids: [IDMapping] = []
    public var gids: [IDMapping] = []
  }

  /// No options.
  public init() {}

  public var isBind: Bool { flags & MountFlag.bind != 0 }
  public var isRecursiveBind: Bool {
    flags & (MountFlag.bind | MountFlag.recursive) == MountFlag.bind | MountFlag.recursive
  }
  public var isRemount: Bool { flags & MountFlag.remount != 0 }
  public var isReadOnly: Bool { flags & MountFlag.readOnly != 0 }

  /// Sorts `options`.
  /// - Throws: `.invalid` for an option whose value cannot be understood.
  public init(parsing options: [String]) throws(ContainerError) {
    for option in options { try add(option) }
  }

  private mutating func add(_ option: String) throws(ContainerError) {
    for entry in MountOptionTable.flags where entry.name == option {
      if entry.isSet {
        flags |= entry.flag
        cleared &= ~entry.flag
      } else {
        flags &= ~entry.flag
        cleared |= entry.flag
      }
      return
    }
    for entry in MountOptionTable.propagations where entry.name == option {
      propagations.append(Propagation(kind: entry.kind, isRecursive: entry.isRecursive))
      return
    }
    for entry in MountOptionTable.recursive where entry.name == option {
      addRecursive(entry.attribute, isSet: entry.isSet)
      return
    }
    switch option {
    case "", "defaults": return
    case "idmap": idMap = IDMap(isRecursive: false)
    case "ridmap": idMap = IDMap(isRecursive: true)
    case "tmpcopyup": copiesUp = true
    case "src-nofollow": bindsSymlink = true
    case "copy-symlink": copiesSymlink = true
    case "dest-nofollow": keepsDestinationSymlink = true
    default:
      if let mapping = try IDMap(parsing: option) { idMap = mapping } else { data.append(option) }
    }
  }

  private mutating func addRecursive(_ attribute: UInt64, isSet: Bool) {
    let timeMask = MountAttribute.accessTimes
    if isSet, attribute & timeMask != 0 || attribute == 0 {
      // The access time modes are one field: a new mode replaces the old one, and 0 is "relatime".
      recursiveSet = recursiveSet & ~timeMask | attribute
      recursiveClear |= timeMask
    } else if isSet {
      recursiveSet |= attribute
      recursiveClear &= ~attribute
    } else {
      recursiveSet &= ~attribute
      // The kernel takes the access time field only whole.
      recursiveClear |= attribute & timeMask != 0 ? timeMask : attribute
    }
  }

  // MARK: - As the kernel takes them

  /// MOUNT_ATTR_ bits for a new mount (fsmount(2)).
  public var attributes: UInt64 {
    var result: UInt64 = 0
    for (flag, attribute) in MountOptionTable.attributes where flags & flag != 0 { result |= attribute }
    if flags & MountFlag.noDirectoryAccessTime != 0 { result |= MountAttribute.noDirectoryAccessTime }
    // As mount(2) has it: strictatime wins over noatime, and relatime is what is left.
    if flags & MountFlag.strictAccessTime != 0 {
      result |= MountAttribute.strictAccessTime
    } else if flags & MountFlag.noAccessTime != 0 {
      result |= MountAttribute.noAccessTime
    }
    return result
  }

  /// What a bind mount changes in its clone of the source's mount; nil when the clone stays as it is.
  ///
  /// As with a remount by mount(2), naming one flag states all of them: those that are not asked for go off. The access time
  /// mode alone stays unless it is named.
  public var bindChange: (set: UInt64, clear: UInt64)? {
    let named = flags | cleared
    guard named & (MountFlag.perMount | MountFlag.accessTimes) != 0 else { return nil }
    var set: UInt64 = 0
    var clear: UInt64 = 0
    for (flag, attribute) in MountOptionTable.attributes {
      if flags & flag != 0 { set |= attribute } else { clear |= attribute }
    }
    if named & MountFlag.accessTimes != 0 {
      set |= attributes & (MountAttribute.accessTimes | MountAttribute.noDirectoryAccessTime)
      clear |= MountAttribute.accessTimes | (MountAttribute.noDirectoryAccessTime & ~set)
    }
    return (set, clear)
  }

  /// MOUNT_ATTR_ bits that options explicitly asked to be off.
  public var explicitlyCleared: UInt64 {
    var result: UInt64 = 0
    for (flag, attribute) in MountOptionTable.attributes where cleared & flag != 0 { result |= attribute }
    return result
  }

  /// MS_ flags that act on the file system and not on the mount.
  public var superblockFlags: UInt { flags & MountFlag.superblock }

  /// The value of data option `key`; "" when it was given without one.
  public func value(ofData key: String) -> String? {
    for option in data {
      if option == key { return "" }
      if option.utf8.count > key.utf8.count, option.hasPrefix(key), option.utf8.dropFirst(key.utf8.count).first == 0x3d
      {
        return String(option.dropFirst(key.count + 1))
      }
    }
    return nil
  }
}

extension MountOptions.IDMap {
  /// "idmap=uids=A-B-N#...;gids=..." or "ridmap=...": from ID A of the file system to ID B on the host, N IDs; nil for another option.
  /// - Throws: `.invalid` when the mapping is malformed.
  init?(parsing option: String) throws(ContainerError) {
    let isRecursive = option.hasPrefix("ridmap=")
    guard isRecursive || option.hasPrefix("idmap=") else { return nil }
    self.init(isRecursive: isRecursive)
    let problem = ContainerError(
      .invalid, "mount option '\(option)': expected idmap=uids=FS-HOST-COUNT[#...];gids=FS-HOST-COUNT[#...]")
    for part in option.dropFirst(isRecursive ? 7 : 6).split(separator: ";") {
      guard part.hasPrefix("uids=") || part.hasPrefix("gids=") else { throw problem }
      for range in part.dropFirst(5).split(separator: "#", omittingEmptySubsequences: false) {
        let numbers = range.split(separator: "-", omittingEmptySubsequences: false)
        guard numbers.count == 3, let from = UInt32(numbers[0]), let to = UInt32(numbers[1]),
          let count = UInt32(numbers[2]), count > 0
        else {
          if range.hasPrefix("@") {
            throw ContainerError(
              .notSupported, "mount option '\(option)': mappings relative to the container's ('@') are not supported")
          }
          throw problem
        }
        let mapping = IDMapping(containerID: from, hostID: to, size: count)
        if part.hasPrefix("uids=") { uids.append(mapping) } else { gids.append(mapping) }
      }
    }
    guard !uids.isEmpty, !gids.isEmpty else { throw problem }
  }
}
