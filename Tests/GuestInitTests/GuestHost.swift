import Foundation
import GuestProtocol
import Glibc

/// The host's side of the channel: runs init in a process of its own (InitHarness) and plays vmrun.
final class GuestHost: FrameReceiver {
  enum Problem: Error {
    case timeout(String)
    case closed
    case system(String)
  }

  private(set) var stdout: [UInt8] = []
  private(set) var stderr: [UInt8] = []
  private(set) var messages: [GuestMessage] = []
  /// Bytes of input that init takes now.
  private(set) var window = 0

  private let process = Process()
  private let socket: Int32
  private var parser = FrameParser()
  private let folder: URL

  /// The harness lies beside the test bundle.
  private static let harness: URL = {
    let executable = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    var folder = executable.deletingLastPathComponent()
    for argument in CommandLine.arguments where argument.hasSuffix(".xctest") {
      folder = URL(fileURLWithPath: argument).deletingLastPathComponent()
    }
    return folder.appendingPathComponent("InitHarness")
  }()

  init(_ configuration: CommandConfiguration, _ options: [String] = []) throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("guest-init-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let file = folder.appendingPathComponent("config")
    try Data(configuration.encoded()).write(to: file)
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { throw Problem.system("socketpair") }
    socket = ends[0]
    _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
    process.executableURL = Self.harness
    process.arguments = [file.path] + options
    process.standardInput = FileHandle(fileDescriptor: ends[1], closeOnDealloc: false)
    try process.run()
    close(ends[1])
  }

  deinit {
    close(socket)
    process.waitUntilExit()
    try? FileManager.default.removeItem(at: folder)
  }

  /// A shell's script as the command.
  convenience init(sh script: String, terminal: WindowSize? = nil, options: [String] = []) throws {
    var configuration = CommandConfiguration(arguments: ["/bin/sh", "-c", script].map { Array($0.utf8) })
    configuration.userID = geteuid()
    configuration.groupID = getegid()
    if let terminal {
      configuration.hasTerminal = true
      configuration.windowSize = terminal
    }
    try self.init(configuration, options)
  }

  /// How the command ended, once it has.
  var end: GuestMessage? {
    messages.last { message in
      switch message {
      case .exited, .killed, .failure: true
      case .hello, .started, .stdinWindow: false
      }
    }
  }

  var output: String { String(decoding: stdout, as: UTF8.self) }
  var errorOutput: String { String(decoding: stderr, as: UTF8.self) }

  /// Waits for the command's end.
  func finish(seconds: Double = 30) throws -> GuestMessage {
    try wait("the end", seconds: seconds) { end != nil }
    return end ?? .failure(code: 0, message: "")
  }

  /// Waits for the command's end and does `nudge` again and again. A shell that is about to start a program forgets an
  /// interrupt that comes at that moment, so that one may not be enough.
  func finish(nudging nudge: () throws -> Void) throws -> GuestMessage {
    let deadline = Date(timeIntervalSinceNow: 30)
    while end == nil && Date() < deadline {
      // The command may have ended meanwhile.
      try? nudge()
      try? receive(milliseconds: 200)
    }
    return try finish(seconds: 1)
  }

  /// Takes what init sends until `condition` holds.
  func wait(_ what: String, seconds: Double = 30, until condition: () -> Bool) throws {
    let deadline = Date(timeIntervalSinceNow: seconds)
    while !condition() {
      if Date() > deadline { throw Problem.timeout("\(what); so far: \(messages) \(output) \(errorOutput)") }
      try receive(milliseconds: 50)
    }
  }

  /// Takes what init sends in that time.
  func receive(milliseconds: Int32) throws {
    var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    guard poll(&entry, 1, milliseconds) > 0 else { return }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let count = recv(socket, &buffer, buffer.count, 0)
    guard count > 0 else { throw Problem.closed }
    try buffer[..<count].withUnsafeBytes { try parser.parse($0, into: self) }
  }

  func send(_ message: HostMessage) throws {
    var bytes: [UInt8] = []
    message.encode(into: &bytes)
    try write(bytes)
  }

  /// Sends input, never more than init takes, while taking output.
  func send(input: [UInt8]) throws {
    var rest = input[...]
    while !rest.isEmpty {
      try wait("a window") { window > 0 }
      let piece = rest.prefix(min(window, FrameHeader.dataLimit))
      rest = rest.dropFirst(piece.count)
      window -= piece.count
      try write(frame(.stdin, Array(piece)))
    }
  }

  /// Sends bytes as they are.
  func write(_ bytes: [UInt8]) throws {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(socket, $0.baseAddress?.advanced(by: done), bytes.count - done, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { throw Problem.closed }
      done += count
    }
  }

  func frame(_ kind: FrameKind, _ payload: [UInt8]) -> [UInt8] {
    let header = FrameHeader(kind: kind, length: payload.count).encoded
    return (0..<8).map { UInt8(truncatingIfNeeded: header >> (8 * $0)) } + payload
  }

  func receive(data: UnsafeRawBufferPointer, kind: FrameKind) {
    if kind == .stdout { stdout.append(contentsOf: data) } else { stderr.append(contentsOf: data) }
  }

  func receive(message: [UInt8], kind: FrameKind) throws(ProtocolError) {
    let message = try GuestMessage(kind: kind, payload: message)
    if case .stdinWindow(let count) = message { window += Int(count) }
    messages.append(message)
  }
}
