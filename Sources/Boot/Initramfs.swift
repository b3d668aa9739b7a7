/// One member of an initramfs: the "newc" form of cpio (Documentation/driver-api/early-userspace/buffer-format.rst).
public struct CpioEntry: Equatable, Sendable {
  /// Relative to the root, without a leading slash: "etc/passwd". Bytes, since Linux names need not be UTF-8.
  public var path: [UInt8]
  /// File type and permissions (inode(7)): `S_IFREG | 0o644`.
  public var mode: UInt32
  public var uid: UInt32
  public var gid: UInt32
  /// Seconds since 1970; times outside 32 bits are clamped.
  public var mtime: Int64
  /// Bytes of data that follow the header: a file's contents, a symbolic link's target, otherwise 0.
  public var size: UInt64
  /// Number of a device node.
  public var deviceMajor: UInt32
  public var deviceMinor: UInt32
  /// Names of one file share an inode number and a link count of 2 or more; the first carries the data (`CpioLinks`).
  public var inode: UInt32
  public var links: UInt32

  /// A member owned by root.
  public init(
    path: [UInt8], mode: UInt32, uid: UInt32 = 0, gid: UInt32 = 0, mtime: Int64 = 0, size: UInt64 = 0,
    deviceMajor: UInt32 = 0, deviceMinor: UInt32 = 0, inode: UInt32 = 0, links: UInt32 = 1
  ) {
    self.path = path
    self.mode = mode
    self.uid = uid
    self.gid = gid
    self.mtime = mtime
    self.size = size
    self.deviceMajor = deviceMajor
    self.deviceMinor = deviceMinor
    self.inode = inode
    self.links = links
  }

  /// Bytes before the name.
  static let fixedCount = 110
  /// PATH_MAX of the kernel that unpacks the archive, with the NUL.
  static let maximumNameCount = 4096

  /// Bytes of the header with its name, padded to a multiple of 4: where the data begins.
  public var headerCount: Int { (CpioEntry.fixedCount + path.count + 1 + 3) & ~3 }
  /// Zero bytes behind the data, up to the next multiple of 4.
  public var dataPadding: Int { Int((0 &- size) & 3) }
  /// Bytes of header, data and padding; what lies between this member and the next. `headerBytes` checks `size` first.
  public var paddedSize: UInt64 { UInt64(headerCount) &+ size &+ UInt64(dataPadding) }

  /// The header, ready for the data to follow.
  /// - Throws: when the form cannot express the member.
  public func headerBytes() throws(CpioError) -> [UInt8] {
    guard size <= UInt64(UInt32.max) else { throw .tooLarge(path: path, size: size) }
    guard !path.isEmpty, path.count < CpioEntry.maximumNameCount, !path.contains(0) else { throw .name(path: path) }
    var header = Array("070701".utf8)
    header.reserveCapacity(headerCount)
    let time = UInt32(clamping: mtime)
    for field in [
      inode, mode, uid, gid, links, time, UInt32(size), 0, 0, deviceMajor, deviceMinor, UInt32(path.count + 1), 0,
    ] {
      for shift in stride(from: 28, through: 0, by: -4) {
        let digit = UInt8(field >> UInt32(shift) & 0xF)
        header.append(digit < 10 ? 0x30 + digit : 0x37 + digit)
      }
    }
    header += path
    repeat { header.append(0) } while header.count % 4 != 0
    return header
  }

  /// The member that ends an archive.
  public static func trailer() -> [UInt8] {
    let end = CpioEntry(path: Array("TRAILER!!!".utf8), mode: 0)
    // The literal name above is valid, so the header is always made.
    return (try? end.headerBytes()) ?? []
  }
}

/// Gives inode numbers to members, so that hard links of the source stay hard links in the archive.
public struct CpioLinks: ~Copyable {
  private struct Identity: Hashable {
    let device: UInt64
    let inode: UInt64
  }

  private var numbers: [Identity: UInt32] = [:]
  private var last: UInt32 = 0

  /// No numbers given yet.
  public init() {}

  /// Numbers `entry`, which is the source's file (`device`, `inode`) with `links` names. A second name of a file
  /// loses its data (`size` becomes 0): the first carried it, and the unpacking kernel links the two.
  /// Returns whether the entry still carries data.
  /// - Throws: `.tooManyFiles` past 2^32 members.
  public mutating func number(_ entry: inout CpioEntry, device: UInt64, inode: UInt64, links: UInt64) throws(CpioError)
    -> Bool
  {
    // A directory's link count counts its children, not names of it.
    let isLinked = links > 1 && entry.mode & 0o170000 != 0o040000
    entry.links = isLinked ? UInt32(clamping: links) : 1
    let identity = Identity(device: device, inode: inode)
    if isLinked, let number = numbers[identity] {
      entry.inode = number
      entry.size = 0
      return false
    }
    guard last < .max else { throw .tooManyFiles }
    last += 1
    entry.inode = last
    if isLinked { numbers[identity] = last }
    return true
  }
}

/// Why a file cannot go into an initramfs.
public enum CpioError: Error, Equatable, CustomStringConvertible {
  case tooLarge(path: [UInt8], size: UInt64)
  case name(path: [UInt8])
  case tooManyFiles

  public var description: String {
    switch self {
    case .tooLarge(let path, let size):
      return
        "\(String(decoding: path, as: UTF8.self)) has \(size) bytes; a file in an initramfs has less than 4 GiB. Leave it out of the root folder, or put it on a --disk."
    case .name(let path):
      return
        "the name \(String(decoding: path, as: UTF8.self)) cannot go into an initramfs: it must have 1 to 4095 bytes and no NUL. Rename or leave out the file."
    case .tooManyFiles: return "more than 4,294,967,295 files cannot go into an initramfs. Leave some out."
    }
  }
}
