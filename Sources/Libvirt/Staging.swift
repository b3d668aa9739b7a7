import CLibvirt
import CLinux
import Devices
import System

/// A folder of its own for the files of one run: what QEMU reads, and the sockets to which it connects. Nobody but the run's owner and, by
/// name only, QEMU reaches it. It goes when QEMU has everything, or, should the run be killed, by its guard or the next run.
final class Staging {
  /// The folder's path.
  let path: String
  /// The domain's name, which no other has.
  let name: String

  private var lock: FileDescriptor?
  private var guardDescriptor: Int32 = -1
  private var guardProcess: pid_t = 0

  /// Room that a file system keeps when it is taken for the files, in bytes.
  private static let reserve: UInt64 = 16 << 20
  /// Longest path of a base: with a folder's and a socket's names it must fit a socket's address of 108 bytes (unix(7)).
  private static let longestBase = 80

  /// A folder in the first of `bases` that has room for `size` bytes; leftovers of runs that have died are removed from each.
  /// - isShared: QEMU is another user.
  init(bases: [String], size: UInt64, isShared: Bool) throws(LibvirtError) {
    let random = try Self.random()
    name = "vmrun-\(getpid())-\(random)"
    var failure = LibvirtError("there is no folder for the files of the virtual machine")
    var made: String?
    for base in bases where base.utf8.count <= Self.longestBase {
      do throws(LibvirtError) {
        let file = try Self.open(base, isShared)
        // Held while folders come and go, so that nobody takes one without its lock yet for a dead one.
        _ = retryingInterrupts { flock(file.rawValue, LOCK_EX) }
        Self.sweep(base)
        guard try Self.room(in: base) >= size + Self.reserve else {
          failure = LibvirtError("\(base): \(size >> 20) MiB for the virtual machine's files do not fit")
          continue
        }
        let path = base + "/" + random
        // unsafe: the strings live during the calls.
        guard unsafe mkdir(path, isShared ? 0o711 : 0o700) == 0 else {
          throw LibvirtError("cannot make \(path): \(Errno.current)")
        }
        // Whatever the umask is.
        _ = unsafe chmod(path, isShared ? 0o711 : 0o700)
        let lock = try naming { () throws(SystemError) in
          try FileDescriptor.open(path + "/lock", O_RDWR | O_CREAT | O_EXCL)
        }
        _ = flock(lock.rawValue, LOCK_EX)
        made = path
        self.lock = consume lock
        break
      } catch {
        failure = error
      }
    }
    guard let made else { throw failure }
    path = made
  }

  /// The folders in which a run of user `user` may put its own, the best one first.
  static func bases(user: UInt32, runtimeFolder: String?) -> [String] {
    if user == 0 { return ["/run/vmrun-libvirt", "/var/tmp/vmrun-libvirt-0"] }
    var bases = ["/tmp/vmrun-libvirt-\(user)", "/var/tmp/vmrun-libvirt-\(user)"]
    if let runtimeFolder, runtimeFolder.hasPrefix("/") { bases.insert(runtimeFolder + "/vmrun-libvirt", at: 0) }
    return bases
  }

  /// Has the folder removed, and the daemon's `log` of the domain, should this process be killed. Before any thread is started.
  func keepGuard(log: String) throws(LibvirtError) {
    // unsafe: the strings live during the call; the child has copies of its own.
    guardDescriptor = unsafe clibvirt_guard(path, log, name, &guardProcess)
    guard guardDescriptor >= 0 else { throw LibvirtError("fork: \(Errno.current)") }
  }

  /// A file of the folder, for QEMU to read.
  func create(_ file: String, isShared: Bool) throws(LibvirtError) -> SharedFile {
    let path = path(of: file)
    return try naming { () throws(SystemError) in
      let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL)
      // The folder keeps others out; within it QEMU's user reads.
      if isShared { _ = fchmod(file.rawValue, 0o644) }
      return SharedFile(file)
    }
  }

  func path(of file: String) -> String { path + "/" + file }

  /// Removes everything: QEMU has what it needs.
  func remove() {
    guard lock != nil else { return }
    // unsafe: the string lives during the call.
    unsafe clibvirt_remove_folder(path)
    lock = nil
  }

  /// `remove`, and lets the guard go. Once.
  func finish() {
    remove()
    if guardDescriptor >= 0 { clibvirt_dismiss(guardDescriptor, guardProcess) }
    guardDescriptor = -1
  }

  /// Sixteen letters and digits that nobody guesses.
  private static func random() throws(LibvirtError) -> String {
    var bytes = InlineArray<8, UInt8>(repeating: 0)
    var span = bytes.mutableSpan
    // unsafe: getrandom writes at most the array's count; up to 256 bytes it never returns fewer (getrandom(2)).
    let count = unsafe span.withUnsafeMutableBytes { unsafe getrandom($0.baseAddress, $0.count, 0) }
    guard count == 8 else { throw LibvirtError("getrandom: \(Errno.current)") }
    var text: [UInt8] = []
    for index in 0..<8 {
      for digit in [bytes[index] >> 4, bytes[index] & 15] { text.append(digit < 10 ? 0x30 + digit : 0x61 + digit - 10) }
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Makes `base` if it is missing, and opens it if it is this user's own.
  private static func open(_ base: String, _ isShared: Bool) throws(LibvirtError) -> FileDescriptor {
    let mode: mode_t = isShared ? 0o711 : 0o700
    // unsafe: the string lives during the calls.
    if unsafe mkdir(base, mode) == 0 { _ = unsafe chmod(base, mode) }
    let folder = try naming { () throws(SystemError) in
      try FileDescriptor.open(base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    }
    let status = try naming(base) { () throws(SystemError) in try folder.status() }
    // In /tmp anybody may have made it.
    guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
      throw LibvirtError("\(base) is not a folder of this user's alone: remove it")
    }
    // A run by another way may have made it for its own user alone.
    if isShared, status.st_mode & 0o711 != 0o711 { _ = fchmod(folder.rawValue, mode) }
    return folder
  }

  private static func room(in folder: String) throws(LibvirtError) -> UInt64 {
    var status = statvfs()
    // unsafe: statvfs fills the one struct it is given.
    guard unsafe statvfs(folder, &status) == 0 else { throw LibvirtError("statvfs \(folder): \(Errno.current)") }
    let (bytes, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
    return overflow ? .max : bytes
  }

  /// Removes the folders of runs that have died: nobody holds their locks.
  private static func sweep(_ base: String) {
    // unsafe: the stream is closed once, and each entry is used before the next is read.
    guard let stream = unsafe opendir(base) else { return }
    defer { unsafe closedir(stream) }
    while let entry = unsafe readdir(stream) {
      guard let text = unsafe clinux_dirent_name(entry) else { continue }
      let name = unsafe String(cString: text)
      guard name.utf8.count == 16 else { continue }
      let folder = base + "/" + name
      if let lock = try? FileDescriptor.open(folder + "/lock", O_RDWR | O_NOFOLLOW) {
        guard flock(lock.rawValue, LOCK_EX | LOCK_NB) == 0 else { continue }
      }
      // unsafe: the string lives during the call.
      unsafe clibvirt_remove_folder(folder)
    }
  }
}
