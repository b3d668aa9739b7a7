import CContainer
import CLinux
import System

/// What a Linux security module shall call the program that is executed (`process.apparmorProfile`, `process.selinuxLabel`).
struct Labels: Equatable, Sendable {
  /// Empty for none.
  let apparmor: String
  /// Empty for none.
  let selinux: String

  /// - Throws: `.notSupported` when this host has not the module that a label is for.
  init(apparmor: String, selinux: String) throws(ContainerError) {
    // Without the module everything is unconfined.
    self.apparmor = apparmor == "unconfined" && !Self.hasAppArmor ? "" : apparmor
    self.selinux = selinux
    if !self.apparmor.isEmpty && !Self.hasAppArmor {
      throw ContainerError(.notSupported, "process.apparmorProfile: '\(apparmor)': AppArmor is not enabled on this host")
    }
    if !selinux.isEmpty && !Self.hasSELinux {
      throw ContainerError(.notSupported, "process.selinuxLabel: '\(selinux)': SELinux is not enabled on this host")
    }
  }

  /// Whether the kernel runs AppArmor.
  static var hasAppArmor: Bool {
    guard let file = try? FileDescriptor.open("/sys/module/apparmor/parameters/enabled", O_RDONLY) else { return false }
    var byte: UInt8 = 0
    // unsafe: one byte is read into one byte.
    let count = unsafe withUnsafeMutableBytes(of: &byte) { unsafe (try? file.read(into: $0)) ?? 0 }
    return count == 1 && byte == UInt8(ascii: "Y")
  }

  /// Whether the kernel runs SELinux: its file system is there.
  static var hasSELinux: Bool {
    // unsafe: the path is a literal.
    unsafe access("/sys/fs/selinux/enforce", F_OK) == 0
  }

  /// Sets the labels for the next execve(2) of the calling process; `proc` is the host's /proc.
  func setForExecution(proc: Int32) throws(ContainerError) {
    if !apparmor.isEmpty {
      try HostProc(proc).write(
        "exec \(apparmor)", to: "self/attr/apparmor/exec", naming: "process.apparmorProfile '\(apparmor)'")
    }
    if !selinux.isEmpty {
      try HostProc(proc).write(selinux, to: "self/attr/exec", naming: "process.selinuxLabel '\(selinux)'")
    }
  }

  /// Labels the session keyring that is made next.
  func setForKeyring(proc: Int32) throws(ContainerError) {
    guard !selinux.isEmpty else { return }
    try HostProc(proc).write(selinux, to: "self/attr/keycreate", naming: "process.selinuxLabel '\(selinux)'")
  }
}

/// The host's procfs, by a descriptor that was opened before the container's files came into sight.
struct HostProc {
  private let root: Int32

  /// `root` is a descriptor of the folder /proc; the caller keeps it.
  init(_ root: Int32) { self.root = root }

  /// Writes `text` in one write(2) to `path` below /proc. `field` names it in the error.
  func write(_ text: String, to path: String, naming field: String) throws(ContainerError) {
    do throws(SystemError) { try write(text, to: path) } catch { throw ContainerError(field, error) }
  }

  /// Writes `text` in one write(2) to `path` below /proc.
  func write(_ text: String, to path: String) throws(SystemError) {
    // unsafe: the path lives for the call.
    let raw = unsafe CStrings.with(Array(path.utf8)) { unsafe ccontainer_openat(root, $0, O_WRONLY | O_CLOEXEC, 0) }
    guard raw >= 0 else { throw SystemError("open", "/proc/\(path)", .current) }
    let file = FileDescriptor(owning: raw)
    var text = text
    let count = text.utf8.count
    let written = text.withUTF8 { bytes in
      // unsafe: the buffer lives for the call, which reads it.
      unsafe CLinux.write(file.rawValue, bytes.baseAddress, bytes.count)
    }
    // The kernel takes such a file's content whole or not at all.
    guard written == count else { throw SystemError("write", "/proc/\(path)", written < 0 ? .current : .invalid) }
  }
}
