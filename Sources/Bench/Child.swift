import CContainer
import CLinux
import System

/// One started instance of an arm, from before its process is made to its end.
final class Child {
  /// How it ended.
  struct End {
    /// As wait(2) gives it.
    var status: Int32
    /// From just before the process was made to wait4(2) returning, in nanoseconds.
    var wall: UInt64
    var usage: cbench_usage
  }

  let pid: Int32
  /// CLOCK_MONOTONIC just before the process was made.
  let start: UInt64
  let instance: String
  private let process: FileDescriptor
  private let output: FileDescriptor
  private let errors: FileDescriptor
  /// The writing end of its standard input, while that is held open.
  private var input: SharedFile?
  private let marker: [UInt8]
  /// The first bytes of the output, and when each part of it came.
  private var text: [UInt8] = []
  private var parts: [(end: Int, time: UInt64)] = []
  private var isOutputOpen = true
  /// When the payload's first byte came, in nanoseconds from the start; nil before.
  private(set) var firstByte: UInt64?
  private(set) var end: End?

  /// Output that is looked at for the marker, in bytes; what follows is read and dropped.
  private static let mostText = 64 << 10

  /// Starts `words`, the first of which is the program's path. Its standard input is /dev/null, or held open by this object.
  init(
    _ words: [[UInt8]], environment: [[UInt8]], marker: [UInt8], instance: String, holdsInput: Bool
  ) throws(BenchError) {
    guard let path = words.first else { throw BenchError("there is no program to start") }
    let argv = CStrings(words)
    let envp = CStrings(environment)
    let pipe = try naming("") { () throws(SystemError) in try FileDescriptor.pipe() }
    let errorFile = try Self.memory()
    var pid: Int32 = -1
    var start: UInt64 = 0
    var input: SharedFile?
    if holdsInput {
      let inputPipe = try naming("") { () throws(SystemError) in try FileDescriptor.pipe() }
      start = Clock.now()
      pid = Self.spawn(argv, envp, inputPipe.read.rawValue, pipe.write.rawValue, errorFile.rawValue)
      input = SharedFile(
        try naming("") { () throws(SystemError) in try FileDescriptor.duplicate(of: inputPipe.write.rawValue) })
    } else {
      let null = try naming("") { () throws(SystemError) in try FileDescriptor.open("/dev/null", O_RDWR) }
      start = Clock.now()
      pid = Self.spawn(argv, envp, null.rawValue, pipe.write.rawValue, errorFile.rawValue)
    }
    guard pid > 0 else {
      throw BenchError("execute \(String(decoding: path, as: UTF8.self)): \(Errno(rawValue: -pid))")
    }
    let raw = ccontainer_pidfd_open(pid)
    guard raw >= 0 else {
      let error = Errno.current
      _ = cbench_signal_group(pid, SIGKILL)
      var status: Int32 = 0
      // unsafe: the status is written before the call returns.
      _ = unsafe ccontainer_wait(pid, 0, &status)
      throw BenchError("pidfd_open: \(error)")
    }
    self.pid = pid
    self.start = start
    self.instance = instance
    self.marker = marker
    self.input = input
    process = FileDescriptor(owning: raw)
    // This end alone is kept: the output ends when the last process that holds the other one does.
    output = try naming("") { () throws(SystemError) in try .duplicate(of: pipe.read.rawValue) }
    errors = errorFile
    try naming("") { () throws(SystemError) in try output.setNonBlocking() }
  }

  private static func memory() throws(BenchError) -> FileDescriptor {
    let raw = unsafe ccontainer_memfd_create("errors", UInt32(MFD_CLOEXEC))
    guard raw >= 0 else { throw BenchError("memfd_create: \(Errno.current)") }
    return FileDescriptor(owning: raw)
  }

  private static func spawn(
    _ argv: borrowing CStrings, _ envp: borrowing CStrings, _ input: Int32, _ output: Int32, _ errors: Int32
  )
    -> Int32
  {
    // unsafe: both arrays end with a null pointer and outlive the call, which returns after the program was executed; the first
    // word is there, as the caller made sure.
    guard let path = unsafe argv.first else { return -EINVAL }
    return unsafe cbench_spawn(path, argv.array, envp.array, input, output, errors)
  }

  // MARK: Waiting

  /// Waits until `isEnough` of `children`, the end is asked for, or the clock reaches `deadline`.
  static func wait(
    for children: [Child], until deadline: UInt64, _ interruption: Interruption, _ isEnough: () -> Bool
  ) {
    var polled: [pollfd] = []
    while !isEnough() {
      if interruption.check() { return }
      polled.removeAll(keepingCapacity: true)
      polled.append(pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0))
      for child in children {
        polled.append(
          pollfd(fd: child.isOutputOpen ? child.output.rawValue : -1, events: Int16(POLLIN), revents: 0))
        polled.append(
          pollfd(fd: child.end == nil ? child.process.rawValue : -1, events: Int16(POLLIN), revents: 0))
      }
      let now = Clock.now()
      guard now < deadline else { return }
      let left = min((deadline - now) / 1_000_000 + 1, 60_000)
      // unsafe: the array has as many entries as are polled.
      let count = unsafe polled.withUnsafeMutableBufferPointer { entries in
        unsafe poll(entries.baseAddress, nfds_t(entries.count), Int32(left))
      }
      let time = Clock.now()
      guard count > 0 else { continue }
      for (index, child) in children.enumerated() {
        if polled[1 + 2 * index].revents != 0 { child.readOutput(at: time) }
        if polled[2 + 2 * index].revents != 0 { child.reap() }
      }
    }
  }

  /// Takes what the output holds now, which came by `time`.
  private func readOutput(at time: UInt64) {
    while isOutputOpen {
      var count = 0
      var chunk = [UInt8](repeating: 0, count: 4096)
      do throws(SystemError) {
        // unsafe: the array's own bytes.
        var failure: SystemError?
        unsafe chunk.withUnsafeMutableBytes { bytes in
          do throws(SystemError) { count = try unsafe output.read(into: bytes) } catch { failure = error }
        }
        if let failure { throw failure }
      } catch {
        if error.errno != .again { isOutputOpen = false }
        return
      }
      guard count > 0 else {
        isOutputOpen = false
        return
      }
      guard firstByte == nil, text.count < Self.mostText else { continue }
      text += chunk[..<count]
      parts.append((text.count, time))
      guard let place = Self.place(of: marker, in: text) else { continue }
      // The part that holds the marker's first byte.
      if let part = parts.first(where: { $0.end > place }) { firstByte = part.time - start }
    }
  }

  private static func place(of marker: [UInt8], in text: [UInt8]) -> Int? {
    guard let first = marker.first, text.count >= marker.count else { return nil }
    for start in 0...(text.count - marker.count) where text[start] == first {
      if text[start..<(start + marker.count)].elementsEqual(marker) { return start }
    }
    return nil
  }

  private func reap() {
    guard end == nil else { return }
    var status: Int32 = 0
    var usage = cbench_usage()
    // unsafe: both are written before the call returns.
    guard unsafe cbench_wait(pid, WNOHANG, &status, &usage) == pid else { return }
    let wall = Clock.now() - start
    end = End(status: status, wall: wall, usage: usage)
    readOutput(at: start + wall)
  }

  // MARK: Ending

  /// Sends the farewell, and ends the input.
  func release(_ farewell: [UInt8]) {
    if let input, !farewell.isEmpty { try? input.descriptor.writeFully(farewell) }
    input = nil
  }

  /// Ends it and what it started: asks first, so that launchers can clean up, and kills what is still there after `patience`.
  static func end(_ children: [Child], patience: UInt64 = 2_000_000_000) {
    guard let never = try? Interruption(takesSignals: false) else { return }
    for child in children where child.end == nil {
      child.input = nil
      _ = cbench_signal_group(child.pid, SIGTERM)
    }
    wait(for: children, until: Clock.now() &+ patience, never) { children.allSatisfy { $0.end != nil } }
    for child in children where child.end == nil { _ = cbench_signal_group(child.pid, SIGKILL) }
    wait(for: children, until: Clock.now() &+ 5_000_000_000, never) { children.allSatisfy { $0.end != nil } }
    // A process of the group that outlives its leader has nobody to wait for it.
    for child in children { _ = cbench_signal_group(child.pid, SIGKILL) }
  }

  // MARK: What it said

  /// What it wrote to standard error, as far as it is kept.
  var errorText: [UInt8] {
    _ = lseek(errors.rawValue, 0, SEEK_SET)
    return (try? errors.rest(limit: 256 << 10)) ?? []
  }

  /// The first `limit` bytes of what came on its standard output, without a marker to stop at.
  func output(limit: Int) -> [UInt8] { Array(text.prefix(limit)) }

  /// "exit code 125: last words", or nil when it ended with `code` and its payload spoke.
  func failure(expecting code: Int32) -> String? {
    guard let end else { return nil }
    let how: String
    if clinux_wifexited(end.status) {
      if clinux_wexitstatus(end.status) == code {
        if firstByte != nil { return nil }
        how = "no output of the payload"
      } else {
        how = "exit code \(clinux_wexitstatus(end.status))"
      }
    } else {
      how = "ended by signal \(clinux_wtermsig(end.status))"
    }
    let words = LastWords.of(errorText)
    return words.isEmpty ? how : "\(how): \(words)"
  }
}

/// The end of what a program said, short enough for a table.
enum LastWords {
  /// The last three lines of `text`, joined; control characters are left out, and so is what is for programs (JSON).
  static func of(_ text: [UInt8]) -> String {
    var lines: [String] = []
    let forPeople = text.split(separator: UInt8(ascii: "\n")).filter { $0.first != UInt8(ascii: "{") }
    for line in forPeople.suffix(3) {
      var printable: [UInt8] = []
      for byte in line.prefix(240) where byte >= 0x20 && byte != 0x7F { printable.append(byte) }
      while printable.first == UInt8(ascii: " ") { printable.removeFirst() }
      if !printable.isEmpty { lines.append(String(decoding: printable, as: UTF8.self)) }
    }
    return lines.joined(separator: " | ")
  }
}
