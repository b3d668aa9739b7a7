import CContainer
import CLinux
import System

/// SIGINT, SIGTERM and SIGHUP as something to look at, so that what was begun is undone before the process ends.
public final class Interruption {
  fileprivate let signals: SignalFD
  private var number: Int32?

  /// Takes the three signals over for the rest of the process's life. Before any thread is started.
  public init() throws(KernelsError) {
    do throws(SystemError) { signals = try SignalFD([SIGINT, SIGTERM, SIGHUP]) } catch {
      throw KernelsError(error.description)
    }
  }

  /// The signal that came, or nil.
  public var received: Int32? {
    if number == nil { number = signals.next() }
    return number
  }
}

/// Runs other programs.
public enum Program {
  /// How a program ended.
  public enum Ending: Equatable, Sendable {
    case exited(Int32)
    case signalled(Int32)
    /// It was killed after its time limit.
    case timedOut
    /// It was killed since this process got the signal.
    case interrupted(Int32)
  }

  /// What came of it.
  public struct Outcome: Sendable {
    public let ending: Ending
    /// The first of what it wrote to standard output, and to standard error.
    public let output: [UInt8]
    public let errors: [UInt8]

    /// What came of a program that ended so.
    public init(ending: Ending, output: [UInt8], errors: [UInt8]) {
      self.ending = ending
      self.output = output
      self.errors = errors
    }

    /// Whether it ended well.
    public var succeeded: Bool { ending == .exited(0) }

    /// What it said on standard error, one line: the first error as apt marks them, else the last line; without any, how it ended.
    public var complaint: String {
      let lines = errors.split(separator: UInt8(ascii: "\n"))
      if let marked = lines.first(where: { $0.starts(with: "E: ".utf8) }) {
        return Printable.text(marked.dropFirst(3), limit: 300)
      }
      if let last = lines.last { return Printable.text(last, limit: 300) }
      switch ending {
      case .exited(let code): return "exit code \(code)"
      case .signalled(let signal): return "ended by signal \(signal)"
      case .timedOut: return "it took too long"
      case .interrupted: return "interrupted"
      }
    }
  }

  /// Bytes that are kept of each of a program's two outputs.
  static let outputLimit = 4 << 20

  /// The path of program `name` in $PATH or where administrators' programs lie, or nil.
  public static func find(_ name: String) -> String? {
    // unsafe: getenv's string is valid while nobody changes the environment, which vmrun never does.
    let path = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? ""
    for folder in path.utf8.split(separator: UInt8(ascii: ":")).map({ String(decoding: $0, as: UTF8.self) })
      + ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"] where folder.hasPrefix("/")
    {
      let candidate = "\(folder)/\(name)"
      // unsafe: the string is NUL-terminated for the call.
      if Listing.isFile(candidate), unsafe access(candidate, X_OK) == 0 { return candidate }
    }
    return nil
  }

  /// Runs `path` with `arguments` (its own name is put before them) in `folder`, with nothing to read and messages in English.
  /// - Parameters:
  ///   - milliseconds: the time after which it and what it started are killed; nil for no limit.
  ///   - interruption: ends it when a signal comes; nil where nobody has taken signals over.
  ///   - tick: called about five times in a second while it runs.
  public static func run(
    _ path: String, _ arguments: [String], in folder: String = "/", milliseconds: Int? = nil,
    interruption: Interruption? = nil, tick: (() -> Void)? = nil
  ) throws(KernelsError) -> Outcome {
    try Running(path, arguments, in: folder).finish(milliseconds: milliseconds, interruption: interruption, tick: tick)
  }

  /// This process's variables, but messages in English, for programs whose words are looked at or shown.
  fileprivate static func environment() -> [[UInt8]] {
    var variables: [[UInt8]] = [Array("LC_ALL=C".utf8), Array("DEBIAN_FRONTEND=noninteractive".utf8)]
    // unsafe: the C library's array ends in a null pointer, and nobody changes it.
    guard var next = unsafe clinux_environment() else { return variables }
    while let text = unsafe next.pointee {
      let variable = unsafe Array(String(cString: text).utf8)
      if !variable.starts(with: "LC_ALL=".utf8), !variable.starts(with: "LANGUAGE=".utf8),
        !variable.starts(with: "DEBIAN_FRONTEND=".utf8)
      {
        variables.append(variable)
      }
      unsafe next += 1
    }
    return variables
  }

  fileprivate static func nothing() throws(KernelsError) -> FileDescriptor {
    do throws(SystemError) { return try FileDescriptor.open("/dev/null", O_RDONLY) } catch {
      throw KernelsError(error.description)
    }
  }

  fileprivate static func memory() throws(KernelsError) -> FileDescriptor {
    let raw = unsafe ccontainer_memfd_create("vmrun-tool", UInt32(MFD_CLOEXEC))
    guard raw >= 0 else { throw KernelsError(SystemError("memfd_create", "", .current).description) }
    return FileDescriptor(owning: raw)
  }

  fileprivate static func contents(_ file: borrowing FileDescriptor) -> [UInt8] {
    let size = (try? file.status()).map { Int($0.st_size) } ?? 0
    return (try? file.readPrefix(min(max(size, 0), outputLimit))) ?? []
  }
}

/// A program that was started. One that nobody waits for is killed with all that it started.
public final class Running {
  private let pid: Int32
  private let process: FileDescriptor
  private let output: FileDescriptor
  private let errors: FileDescriptor
  private var isOver = false

  /// Starts it, as `Program.run` does.
  public init(_ path: String, _ arguments: [String], in folder: String = "/") throws(KernelsError) {
    let output = try Program.memory()
    let errors = try Program.memory()
    let input = try Program.nothing()
    let words = CStrings([Array(path.utf8)] + arguments.map { Array($0.utf8) })
    let variables = CStrings(Program.environment())
    // unsafe: both arrays end with a null pointer and outlive the call, which returns after the program was executed.
    let pid = unsafe ccontainer_start_tool(
      folder, path, words.array, variables.array, input.rawValue, output.rawValue, errors.rawValue)
    guard pid > 0 else { throw KernelsError(SystemError("execute", path, .current).description) }
    self.pid = pid
    self.output = output
    self.errors = errors
    process = FileDescriptor(owning: ccontainer_pidfd_open(pid))
  }

  deinit {
    if isOver { return }
    _ = kill(-pid, SIGKILL)
    _ = ccontainer_wait(pid, 0, nil)
  }

  /// Waits for its end, at most `milliseconds` from now.
  public func finish(
    milliseconds: Int?, interruption: Interruption? = nil, tick: (() -> Void)? = nil
  ) -> Program.Outcome {
    let ending = wait(milliseconds, interruption, tick)
    isOver = true
    return Program.Outcome(ending: ending, output: Program.contents(output), errors: Program.contents(errors))
  }

  private func wait(_ milliseconds: Int?, _ interruption: Interruption?, _ tick: (() -> Void)?) -> Program.Ending {
    let deadline = milliseconds.map { Clock.now() &+ UInt64($0) &* 1_000_000 }
    var forced: Program.Ending?
    while true {
      var status: Int32 = 0
      // unsafe: the status is written before the call returns.
      let ended = unsafe ccontainer_wait(pid, forced == nil ? WNOHANG : 0, &status)
      if ended != 0 {
        if let forced { return forced }
        guard ended == pid else { return .exited(-1) }
        return clinux_wifexited(status) ? .exited(clinux_wexitstatus(status)) : .signalled(clinux_wtermsig(status))
      }
      if let number = interruption?.received {
        forced = .interrupted(number)
      } else if let deadline, Clock.now() >= deadline {
        forced = .timedOut
      }
      if forced != nil {
        // The whole group: a program's helpers end with it.
        _ = kill(-pid, SIGKILL)
        continue
      }
      var pause: Int32 = 200
      if let deadline {
        let now = Clock.now()
        pause = min(pause, deadline > now ? Int32(clamping: (deadline - now) / 1_000_000 + 1) : 0)
      }
      // Without a pidfd (Linux before 5.3) the loop looks more often.
      if process.rawValue < 0 { pause = min(pause, 10) }
      var ready = [
        pollfd(fd: process.rawValue, events: Int16(POLLIN), revents: 0),
        pollfd(fd: interruption?.signals.descriptor.rawValue ?? -1, events: Int16(POLLIN), revents: 0),
      ]
      // unsafe: two descriptors are polled.
      _ = unsafe poll(&ready, 2, pause)
      tick?()
    }
  }
}

/// Text of others on its way to a terminal.
public enum Printable {
  /// `bytes` with everything that is not printable ASCII replaced, cut after `limit` characters.
  public static func text(_ bytes: some Sequence<UInt8>, limit: Int) -> String {
    var text = ""
    var count = 0
    for byte in bytes {
      guard count < limit else { return text + "..." }
      text.unicodeScalars.append(byte >= 0x20 && byte < 0x7F ? Unicode.Scalar(byte) : "?")
      count += 1
    }
    return text
  }
}

extension FileDescriptor {
  /// At most the first `count` bytes of the file.
  borrowing func readPrefix(_ count: Int) throws(SystemError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var failure: SystemError?
    // unsafe: the buffer stays inside the closure.
    let got = unsafe bytes.withUnsafeMutableBytes { buffer -> Int in
      // unsafe: the buffer is valid inside the closure.
      do throws(SystemError) { return try unsafe readFully(into: buffer, at: 0) } catch { failure = error }
      return 0
    }
    if let failure { throw failure }
    bytes.removeLast(count - got)
    return bytes
  }
}

/// Small files.
public enum TextFile {
  /// At most the first `limit` bytes of the regular file at `path`, or of one of /proc and /sys; nil when it cannot be read.
  public static func read(_ path: String, limit: Int = 1 << 20) -> [UInt8]? {
    // Non-blocking: a FIFO must not be waited for.
    guard let file = try? FileDescriptor.open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY),
      let status = try? file.status(), clinux_s_isreg(status.st_mode)
    else { return nil }
    return try? file.readPrefix(limit)
  }

  /// The first line of such a file, as printable text.
  public static func line(_ path: String) -> String? {
    guard let bytes = read(path, limit: 4096) else { return nil }
    return Printable.text(bytes.prefix { $0 != UInt8(ascii: "\n") }, limit: 4096)
  }
}
