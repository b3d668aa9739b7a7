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
      throw ContainerError(
        .notSupported, "process.apparmorProfile: '\(apparmor)': AppArmor is not enabled on this host")
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

  /// Labels the session keyring that is made next.
  func setForKeyring(proc: Int32) throws(ContainerError) {
    guard !selinux.isEmpty else { return }
    let label = selinux
    try naming("process.selinuxLabel '\(label)'") { () throws(SystemError) in
      try HostProcFile.write(label, to: "self/attr/keycreate", proc: proc)
    }
  }
}

/// Labels for the next execve(2), whose files are opened while the host's /proc is at hand and written when hooks, which would
/// take the labels too, have run.
final class PendingLabels {
  private var apparmor: FileDescriptor?
  private var selinux: FileDescriptor?

  /// Opens the calling process's own files.
  func open(_ labels: Labels, proc: Int32) throws(ContainerError) {
    if !labels.apparmor.isEmpty { apparmor = try Self.open("self/attr/apparmor/exec", "process.apparmorProfile", proc) }
    if !labels.selinux.isEmpty { selinux = try Self.open("self/attr/exec", "process.selinuxLabel", proc) }
  }

  /// Sets the labels, by the process that opened the files.
  func write(_ labels: Labels) throws(ContainerError) {
    if let file = apparmor.take() {
      try Self.write("exec \(labels.apparmor)", file, "process.apparmorProfile '\(labels.apparmor)'")
    }
    if let file = selinux.take() {
      try Self.write(labels.selinux, file, "process.selinuxLabel '\(labels.selinux)'")
    }
  }

  private static func open(_ path: String, _ field: String, _ proc: Int32) throws(ContainerError) -> FileDescriptor {
    try naming(field) { () throws(SystemError) in try HostProcFile.open(path, proc: proc) }
  }

  private static func write(_ text: String, _ file: borrowing FileDescriptor, _ field: String) throws(ContainerError) {
    do throws(SystemError) {
      try HostProcFile.write(text, to: file, named: "attr/exec")
    } catch {
      throw ContainerError(field, error)
    }
  }
}

/// Files of the host's procfs, by a descriptor that was opened before the container's files came into sight.
enum HostProcFile {
  /// Opens `path` below `proc` for writing.
  static func open(_ path: String, proc: Int32) throws(SystemError) -> FileDescriptor {
    // unsafe: the path is terminated for the call.
    let raw = unsafe clinux_openat(proc, path, O_WRONLY | O_CLOEXEC, 0)
    guard raw >= 0 else { throw SystemError("open", "/proc/\(path)", .current) }
    return FileDescriptor(owning: raw)
  }

  /// Writes `text` in one write(2) to `path` below `proc`.
  static func write(_ text: String, to path: String, proc: Int32) throws(SystemError) {
    try write(text, to: try open(path, proc: proc), named: "/proc/\(path)")
  }

  /// Writes `text` in one write(2): the kernel takes such a file's content whole or not at all.
  static func write(_ text: String, to file: borrowing FileDescriptor, named name: String) throws(SystemError) {
    var text = text
    let raw = file.rawValue
    let count = text.utf8.count
    // unsafe: the buffer lives for the call, which reads it.
    let written = text.withUTF8 { unsafe CLinux.write(raw, $0.baseAddress, $0.count) }
    guard written == count else { throw SystemError("write", name, written < 0 ? .current : .invalid) }
  }
}
