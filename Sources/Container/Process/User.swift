import CContainer
import CLinux
import OCI
import System

/// Becoming the user of `process.user`.
struct UserChange {
  private let user: Process.User
  private let inUserNamespace: Bool

  init(_ user: Process.User, inUserNamespace: Bool) {
    self.user = user
    self.inUserNamespace = inUserNamespace
  }

  /// Gives standard input, output and error output to the user, who could not open /dev/stdout and its like otherwise.
  func takeOverStandardStreams() throws(ContainerError) {
    // Root with its usual capabilities can open them whoever owns them.
    if user.uid == 0 && !inUserNamespace { return }
    for number: Int32 in 0...2 {
      var status = stat()
      // unsafe: fstat fills the one struct it is given.
      guard unsafe fstat(number, &status) == 0 else { continue }
      let isNull = clinux_s_ischr(status.st_mode) && status.st_rdev == clinux_makedev(1, 3)
      if status.st_uid == user.uid || isNull || fchown(number, user.uid, gid_t.max) == 0 { continue }
      // Not mapped, not vmrun's to give away, or read-only: the streams stay as they are, and mostly work.
      let errno = Errno.current
      if errno == .notPermitted || errno == .invalid || errno == Errno(rawValue: EROFS) { continue }
      throw ContainerError("process.user", SystemError("chown", "standard stream \(number)", errno))
    }
  }

  /// Sets all group and user numbers. Capabilities stay permitted when PR_SET_KEEPCAPS is on.
  func change() throws(ContainerError) {
    var groups = user.additionalGids
    // unsafe: the kernel reads as many numbers as the array has.
    let result = unsafe groups.withUnsafeMutableBufferPointer { unsafe ccontainer_setgroups($0.baseAddress, $0.count) }
    if result != 0 { try acceptRefusedGroups(.current) }
    guard ccontainer_setresgid(user.gid) == 0 else { throw refusal("gid", user.gid, .current) }
    guard ccontainer_setresuid(user.uid) == 0 else { throw refusal("uid", user.uid, .current) }
  }

  /// In a user namespace that an unprivileged user made, setgroups(2) is denied (user_namespaces(7)): then the groups stay,
  /// unless the configuration asks for some.
  private func acceptRefusedGroups(_ errno: Errno) throws(ContainerError) {
    if inUserNamespace && errno == .notPermitted {
      if user.additionalGids.isEmpty { return }
      throw ContainerError(
        .notSupported,
        "process.user.additionalGids: the container's user namespace denies setgroups(2), as it does without privilege")
    }
    let list = user.additionalGids.reduce("") { "\($0) \($1)" }
    let hint = errno == .invalid ? " (is each mapped in the user namespace?)" : ""
    throw ContainerError(.system, "process.user.additionalGids:\(list): \(errno)\(hint)")
  }

  private func refusal(_ field: String, _ number: UInt32, _ errno: Errno) -> ContainerError {
    if inUserNamespace && errno == .invalid {
      return ContainerError(
        .invalid, "process.user.\(field): \(number) is not mapped in the container's user namespace")
    }
    return ContainerError(.system, "process.user.\(field): \(number): \(errno)")
  }
}

/// passwd(5) of the container.
enum UserDatabase {
  /// Bytes of the file that are looked at.
  private static let limit = 1 << 20

  /// The home folder of user number `uid`; "/" when the file does not tell.
  static func home(of uid: UInt32) -> [UInt8] {
    let root = [UInt8(ascii: "/")]
    // Neither a device nor a FIFO in the file's place may keep vmrun waiting.
    // unsafe: the path lives for the call.
    let raw = unsafe StringVector.withTerminated(Array("/etc/passwd".utf8)) {
      unsafe ccontainer_open_unmagical(AT_FDCWD, $0, O_RDONLY | O_NONBLOCK | O_NOCTTY)
    }
    guard raw >= 0 else { return root }
    let file = FileDescriptor(owning: raw)
    guard let status = try? file.status(), clinux_s_isreg(status.st_mode) else { return root }
    var content = [UInt8](repeating: 0, count: max(0, min(Int(status.st_size), limit)))
    // unsafe: the buffer is the array's own.
    let count = unsafe content.withUnsafeMutableBytes { unsafe (try? file.readFully(into: $0, at: 0)) ?? 0 }
    return home(of: uid, in: content[..<count]) ?? root
  }

  /// The sixth field of the first line whose third one is `uid`.
  static func home(of uid: UInt32, in content: ArraySlice<UInt8>) -> [UInt8]? {
    let wanted = Array("\(uid)".utf8)
    for line in content.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 6, omittingEmptySubsequences: false)
      guard fields.count >= 6, fields[2].elementsEqual(wanted) else { continue }
      return fields[5].isEmpty || fields[5].contains(0) ? nil : Array(fields[5])
    }
    return nil
  }
}
