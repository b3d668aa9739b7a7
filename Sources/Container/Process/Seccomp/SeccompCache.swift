import CContainer
import CLinux
import OCI
import System

/// Compiled filters in files, since compiling one takes longer than the rest of a container's start.
///
/// A file holds the whole profile beside the program, and is used only for that very profile. It is read only when it and its
/// folder belong to the caller and nobody else may write to them.
struct SeccompCache {
  private let path: String

  /// Entries beyond which all are thrown away before one more is written.
  private static let entryLimit = 64
  /// Bytes of an entry that are read at most.
  private static let sizeLimit = 1 << 20
  /// First bytes of an entry. To be changed with what `SeccompCompiler` makes of a profile.
  private static let magic = Array("vmrun seccomp 1\n".utf8)

  /// Entries lie in a folder of their own below `parent`, whose name can be no container's.
  init(in parent: String) { path = "\(parent)/~seccomp" }

  /// The kept program of the profile with `key`, or nil.
  func find(_ key: SeccompKey) -> SeccompProgram? {
    guard let folder = openFolder() else { return nil }
    // unsafe: the name is terminated for the call.
    let raw = unsafe clinux_openat(folder.rawValue, key.fileName, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0)
    guard raw >= 0 else { return nil }
    let file = FileDescriptor(owning: raw)
    guard let status = try? file.status(), Self.isTrusted(status), clinux_s_isreg(status.st_mode),
      status.st_size > 0, status.st_size <= Self.sizeLimit
    else { return nil }
    let size = Int(status.st_size)
    // unsafe: the closure counts what was read into the buffer.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      count = unsafe (try? file.readFully(into: UnsafeMutableRawBufferPointer(buffer), at: 0)) ?? 0
    }
    return Self.decode(bytes, key)
  }

  /// Keeps `program`. A failure leaves the cache without it.
  func keep(_ program: SeccompProgram, _ key: SeccompKey) {
    // unsafe: the path is terminated for the call.
    _ = unsafe mkdir(path, 0o700)
    guard let folder = openFolder() else { return }
    makeRoom(folder)
    let temporary = ".\(key.fileName).\(getpid())"
    // unsafe: the names are terminated for the calls.
    let raw = unsafe clinux_openat(
      folder.rawValue, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard raw >= 0 else {
      // Left over from a process of this number that was killed.
      _ = unsafe unlinkat(folder.rawValue, temporary, 0)
      return
    }
    let file = FileDescriptor(owning: raw)
    let isWritten = (try? file.writeFully(Self.encode(program, key))) != nil
    // unsafe: as above.
    if unsafe !isWritten || renameat(folder.rawValue, temporary, folder.rawValue, key.fileName) != 0 {
      _ = unsafe unlinkat(folder.rawValue, temporary, 0)
    }
  }

  private func openFolder() -> FileDescriptor? {
    guard let folder = try? FileDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
      let status = try? folder.status(), Self.isTrusted(status)
    else { return nil }
    return folder
  }

  private static func isTrusted(_ status: stat) -> Bool { status.st_uid == geteuid() && status.st_mode & 0o022 == 0 }

  private func makeRoom(_ folder: borrowing FileDescriptor) {
    // unsafe: the path is terminated for the call.
    guard let stream = unsafe opendir(path) else { return }
    defer { _ = unsafe closedir(stream) }
    var names: [String] = []
    // unsafe: an entry is valid until the next call.
    while let entry = unsafe readdir(stream) {
      let name = unsafe String(cString: clinux_dirent_name(entry))
      if name != "." && name != ".." { names.append(name) }
    }
    guard names.count >= Self.entryLimit else { return }
    // unsafe: the name is terminated for the call.
    for name in names { _ = unsafe unlinkat(folder.rawValue, name, 0) }
  }

  /// magic, length of the key (4 bytes, little-endian), key, flags (4), notifies (1), program.
  static func encode(_ program: SeccompProgram, _ key: SeccompKey) -> [UInt8] {
    var bytes = magic
    SeccompKey.append(UInt64(key.bytes.count), 4, to: &bytes)
    bytes += key.bytes
    SeccompKey.append(UInt64(program.flags), 4, to: &bytes)
    bytes.append(program.notifies ? 1 : 0)
    return bytes + program.code
  }

  /// The program in `bytes` if they are a whole entry for `key`.
  static func decode(_ bytes: [UInt8], _ key: SeccompKey) -> SeccompProgram? {
    let head = magic.count + 4
    let tail = head + key.bytes.count
    // At least one instruction: a file that was cut off has none, or a part of one.
    guard bytes.count >= tail + 5 + 8, (bytes.count - tail - 5) % 8 == 0,
      bytes.count - tail - 5 <= SeccompCompiler.instructionLimit * 8, bytes.starts(with: magic),
      number(bytes, magic.count) == UInt32(truncatingIfNeeded: key.bytes.count)
    else { return nil }
    let isSame = unsafe bytes.withUnsafeBytes { bytes in
      unsafe key.bytes.withUnsafeBytes { key in
        guard let entry = bytes.baseAddress, let wanted = key.baseAddress else { return false }
        // unsafe: the key lies whole inside the entry, as was checked.
        return unsafe memcmp(entry + head, wanted, key.count) == 0
      }
    }
    guard isSame, bytes[tail + 4] <= 1 else { return nil }
    return SeccompProgram(code: Array(bytes[(tail + 5)...]), flags: number(bytes, tail), notifies: bytes[tail + 4] == 1)
  }

  private static func number(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16 | UInt32(bytes[at + 3]) << 24
  }
}

/// A profile written so that different ones differ.
struct SeccompKey: Equatable, Sendable {
  private(set) var bytes: [UInt8] = []

  init(_ profile: Seccomp) {
    bytes.reserveCapacity(16 << 10)
    // The numbers behind the names are libseccomp's.
    // unsafe: the library's version lives as long as the program.
    if let version = unsafe seccomp_version() {
      let (major, minor, micro) = unsafe (version.pointee.major, version.pointee.minor, version.pointee.micro)
      for part in [major, minor, micro] { add(UInt64(part), 4) }
    }
    add(profile.defaultAction, profile.defaultErrno)
    add(profile.architectures)
    add(profile.flags)
    add(UInt64(profile.syscalls.count), 4)
    for rule in profile.syscalls {
      add(rule.names)
      add(rule.action, rule.errno)
      add(UInt64(rule.args.count), 4)
      for argument in rule.args {
        bytes.append(UInt8(truncatingIfNeeded: argument.index))
        bytes.append(argument.comparison.rawValue)
        add(argument.value, 8)
        add(argument.valueTwo, 8)
      }
    }
  }

  /// A file name of 16 hexadecimal digits (FNV-1a over words): entries that share one take turns.
  var fileName: String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    unsafe bytes.withUnsafeBytes { bytes in
      var at = 0
      while at + 8 <= bytes.count {
        // unsafe: eight bytes lie inside the buffer.
        hash = unsafe (hash ^ bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) &* 0x100_0000_01b3
        hash ^= hash >> 32
        at += 8
      }
      for index in at..<bytes.count { hash = unsafe (hash ^ UInt64(bytes[index])) &* 0x100_0000_01b3 }
    }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }

  private mutating func add(_ names: [String]) {
    add(UInt64(names.count), 4)
    for name in names {
      // The count before it keeps "a", "bc" and "ab", "c" apart.
      add(UInt64(name.utf8.count), 4)
      bytes.append(contentsOf: name.utf8)
    }
  }

  private mutating func add(_ action: Seccomp.Action, _ errno: UInt32?) {
    bytes.append(action.rawValue)
    add(errno.map { UInt64($0) } ?? .max, 8)
  }

  private mutating func add(_ value: UInt64, _ size: Int) { Self.append(value, size, to: &bytes) }

  static func append(_ value: UInt64, _ size: Int, to bytes: inout [UInt8]) {
    for index in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
  }
}

extension SeccompProgram {
  /// The program of `profile`, kept in the folder `cache` if there is one.
  static func compiled(_ profile: Seccomp, cache: String?) throws(ContainerError) -> SeccompProgram {
    guard let cache else { return try SeccompCompiler.compile(profile) }
    let key = SeccompKey(profile)
    let kept = SeccompCache(in: cache)
    if let program = kept.find(key) { return program }
    let program = try SeccompCompiler.compile(profile)
    kept.keep(program, key)
    return program
  }
}
