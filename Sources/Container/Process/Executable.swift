import CContainer
import CLinux
import System

/// The file that a process executes, as `process.args[0]` names it, and why it cannot be.
///
/// Engines recognise the texts "executable file not found in $PATH", "no such file or directory", "permission denied" and "is a
/// directory", and that the command stands before them.
final class Executable {
  /// The path given to execve(2); empty before `resolve`.
  private(set) var path: [UInt8] = []

  /// Finds the file that `name` means: a path when it has a slash, otherwise the first executable of that name in the folders
  /// of `search` (environ(7), PATH).
  /// - Throws: `.commandNotFound` or `.commandNotExecutable`.
  func resolve(_ name: [UInt8], search: ArraySlice<UInt8>) throws(ContainerError) {
    if name.contains(UInt8(ascii: "/")) {
      if let errno = Self.obstacle(name) { throw Self.refusal(name, errno) }
      path = name
      return
    }
    if !name.isEmpty {
      for folder in search.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false) {
        // An empty part means the folder in which the program starts.
        let candidate = (folder.isEmpty ? [UInt8(ascii: ".")] : Array(folder)) + [UInt8(ascii: "/")] + name
        if Self.obstacle(candidate) == nil {
          path = candidate
          return
        }
      }
    }
    throw ContainerError(.commandNotFound, "exec: \(Self.quoted(name)): executable file not found in $PATH")
  }

  /// Executes the file found. Returns only to throw.
  func execute(_ arguments: StringVector, _ variables: StringVector) throws(ContainerError) -> Never {
    // unsafe: all three live until the call has either replaced the process or failed.
    unsafe StringVector.withTerminated(path) { _ = unsafe execve($0, arguments.array, variables.array) }
    throw failure(.current, arguments, variables)
  }

  /// Why `path` is nothing that the caller's user may execute, or nil.
  private static func obstacle(_ path: [UInt8]) -> Errno? {
    var status = stat()
    return unsafe StringVector.withTerminated(path) { path in
      // unsafe: the path lives for the calls; stat fills the one struct it is given.
      guard unsafe stat(path, &status) == 0 else { return .current }
      if clinux_s_isdir(status.st_mode) { return Errno(rawValue: EISDIR) }
      return unsafe ccontainer_can_execute(path) == 0 ? nil : .current
    }
  }

  private func failure(_ errno: Errno, _ arguments: StringVector, _ variables: StringVector) -> ContainerError {
    let name = Self.quoted(path)
    switch errno {
    case .notFound where Self.obstacle(path) == nil:
      return ContainerError(
        .commandNotFound,
        "exec: \(name): no such file or directory: the interpreter or dynamic loader that it names is missing")
    case Errno(rawValue: ENOEXEC):
      return ContainerError(
        .commandNotExecutable,
        "exec: \(name): exec format error: a program for another kind of machine, or a script without a #! line")
    case Errno(rawValue: E2BIG):
      return ContainerError(
        .commandNotExecutable,
        "exec: \(name): argument list too long: \(arguments.size) bytes in \(arguments.count) arguments and \(variables.size) "
          + "bytes in \(variables.count) variables; one may have 128 KiB, all together a quarter of RLIMIT_STACK")
    case .again:
      return ContainerError(
        .commandNotExecutable, "exec: \(name): resource temporarily unavailable: RLIMIT_NPROC of its user is exceeded")
    default: return Self.refusal(path, errno)
    }
  }

  private static func refusal(_ name: [UInt8], _ errno: Errno) -> ContainerError {
    switch errno {
    case .notFound, Errno(rawValue: ENOTDIR):
      return ContainerError(.commandNotFound, "exec: \(quoted(name)): stat \(text(name)): \(lowercased(errno))")
    case Errno(rawValue: EISDIR):
      // Engines know a command that cannot be executed (exit code 126) by the words of EACCES.
      return ContainerError(
        .commandNotExecutable, "exec: \(quoted(name)): \(lowercased(.accessDenied)): it is a directory")
    default: return ContainerError(.commandNotExecutable, "exec: \(quoted(name)): \(lowercased(errno))")
    }
  }

  /// The C library's text as engines look for it.
  private static func lowercased(_ errno: Errno) -> String {
    let text = errno.description
    return text.prefix(1).lowercased() + text.dropFirst()
  }

  private static func text(_ name: [UInt8]) -> String { String(decoding: name, as: UTF8.self) }
  private static func quoted(_ name: [UInt8]) -> String { "\"\(text(name))\"" }
}
