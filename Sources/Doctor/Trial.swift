import CContainer
import CLinux
import Kernels
import System

/// What came of a trial.
enum TrialResult: Equatable, Sendable {
  /// It succeeded, and this was seen.
  case done(String)
  /// It did not, and why.
  case failed(DoctorError)
  /// It was killed after its time limit, in milliseconds.
  case hung(Int)

  /// Whether it succeeded.
  var succeeded: Bool {
    if case .done = self { return true }
    return false
  }

  /// What was seen, or why not.
  var text: String {
    switch self {
    case .done(let text): return text
    case .failed(let error): return error.description
    case .hung(let milliseconds): return "no answer within \(milliseconds) ms"
    }
  }

  /// The kernel's reason for a failure.
  var errno: Errno? {
    if case .failed(let error) = self { return error.errno }
    return nil
  }
}

/// Does something in a child process, so that this one stays as it is whatever happens.
struct Trial {
  /// Ends a trial early; nil where nobody has taken signals over.
  let interruption: Interruption?

  /// The most that a trial may say, in bytes: what a pipe takes in one piece.
  private static let messageLimit = 4000
  static let usualLimit = 2000

  /// Runs `body` in a child that is killed, with all that it started, after its answer or after `milliseconds`. The child has no
  /// terminal: what it prints is lost.
  func run(
    milliseconds: Int = Trial.usualLimit, _ body: () throws(DoctorError) -> String
  ) -> TrialResult {
    var ends: [Int32] = [-1, -1]
    // unsafe: pipe2 writes exactly two descriptors to an array of two.
    guard unsafe pipe2(&ends, O_CLOEXEC) == 0 else { return .failed(DoctorError(refused: "pipe")) }
    let answers = FileDescriptor(owning: ends[0])
    let pid = ccontainer_fork()
    if pid == 0 {
      _ = setpgid(0, 0)
      _ = ccontainer_die_with_parent(1)
      // unsafe: the path is a literal.
      let nothing = unsafe clinux_open("/dev/null", O_RDWR | O_CLOEXEC, 0)
      if nothing >= 0 { for stream in Int32(0)...2 { _ = dup2(nothing, stream) } }
      var message: [UInt8]
      do throws(DoctorError) {
        message = [0, 0] + Array(try body().utf8)
      } catch {
        // An errno is below 256 (errno(3)).
        message = [1, UInt8(truncatingIfNeeded: error.errno?.rawValue ?? 0)] + Array(error.description.utf8)
      }
      if message.count > Trial.messageLimit { message.removeLast(message.count - Trial.messageLimit) }
      // unsafe: the array is valid for the call.
      _ = unsafe write(ends[1], message, message.count)
      _exit(0)
    }
    _ = close(ends[1])
    guard pid > 0 else { return .failed(DoctorError(refused: "fork")) }
    // In both processes, so that it is done when either goes on.
    _ = setpgid(pid, pid)
    let result = wait(answers.rawValue, milliseconds)
    _ = kill(-pid, SIGKILL)
    // unsafe: the status is written before the call returns.
    var status: Int32 = 0
    _ = unsafe ccontainer_wait(pid, 0, &status)
    if let result { return result }
    return .failed(
      DoctorError(
        clinux_wifexited(status)
          ? "the trial ended without an answer" : "the trial died of signal \(clinux_wtermsig(status))"))
  }

  /// The child's answer; nil when it ended without one.
  private func wait(_ answers: Int32, _ milliseconds: Int) -> TrialResult? {
    let deadline = Clock.now() &+ UInt64(milliseconds) &* 1_000_000
    while true {
      if interruption?.received != nil { return .failed(DoctorError("interrupted")) }
      let now = Clock.now()
      guard now < deadline else { return .hung(milliseconds) }
      var ready = pollfd(fd: answers, events: Int16(POLLIN), revents: 0)
      // unsafe: one descriptor is polled.
      let count = unsafe poll(&ready, 1, Int32(clamping: min((deadline - now) / 1_000_000 + 1, 100)))
      guard count > 0 else { continue }
      var message = [UInt8](repeating: 0, count: Trial.messageLimit)
      // unsafe: read fills at most the array.
      let got = unsafe read(answers, &message, message.count)
      if got < 0 && Errno.current == .interrupted { continue }
      guard got >= 2 else { return nil }
      let text = Printable.text(message[2..<got], limit: Trial.messageLimit)
      return message[0] == 0 ? .done(text) : .failed(DoctorError(text, errno: message[1]))
    }
  }
}

extension DoctorError {
  fileprivate init(_ description: String, errno: UInt8) {
    self.description = description
    self.errno = errno == 0 ? nil : Errno(rawValue: Int32(errno))
  }
}

/// What trials begin with.
enum Stage {
  /// The user that stands for one without rights, when root asks.
  static let nobody: UInt32 = 65534

  /// Leaves root behind, when this is root.
  static func becomeNobody() throws(DoctorError) {
    guard geteuid() == 0 else { return }
    guard ccontainer_become(nobody) == 0 else { throw DoctorError(refused: "setresuid", "nobody") }
  }

  /// Goes into namespaces of its own; without rights into a user namespace too, in which it is root.
  static func enter(_ flags: Int) throws(DoctorError) {
    if geteuid() == 0 {
      guard unshare(Int32(flags)) == 0 else { throw DoctorError(refused: "unshare") }
      return
    }
    try enterUserNamespace(and: flags)
  }

  /// Goes into a user namespace, in which it is root, and into the others of `flags`.
  static func enterUserNamespace(and flags: Int = 0) throws(DoctorError) {
    let (user, group) = (geteuid(), getegid())
    guard unshare(Int32(ccontainer_newuser | flags)) == 0 else {
      throw DoctorError(refused: "unshare", "user")
    }
    try write("/proc/self/setgroups", "deny")
    try write("/proc/self/uid_map", "0 \(user) 1")
    try write("/proc/self/gid_map", "0 \(group) 1")
    guard geteuid() == 0 else { throw DoctorError("the user is not root in its own user namespace") }
  }

  /// Puts an empty file system of its own over /tmp; nobody outside sees it.
  static func scratch() throws(DoctorError) {
    // unsafe: the strings are NUL-terminated for the calls.
    guard unsafe mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0 else {
      throw DoctorError(refused: "make mounts private")
    }
    guard unsafe mount("vmrun", "/tmp", "tmpfs", 0, nil) == 0 else { throw DoctorError(refused: "mount", "tmpfs") }
  }

  static func write(_ path: String, _ text: String) throws(DoctorError) {
    do throws(SystemError) {
      try FileDescriptor.open(path, O_WRONLY | O_CREAT, mode: 0o600).writeFully(Array(text.utf8))
    } catch {
      throw DoctorError(error, path)
    }
  }

  static func makeFolder(_ path: String) throws(DoctorError) {
    // unsafe: the string is NUL-terminated for the call.
    guard unsafe mkdir(path, 0o755) == 0 else { throw DoctorError(refused: "mkdir", path) }
  }
}

extension DoctorError {
  /// The kernel's refusal `error` concerning `path`.
  fileprivate init(_ error: SystemError, _ path: String) {
    description = "\(error.operation) \(path): \(error.errno)"
    errno = error.errno
  }
}
