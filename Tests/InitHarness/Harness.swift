// The guest's init without a guest, for tests: the same code in a process of its own, with a socket in place of the ports.
//
//     InitHarness CONFIGURATION [--subreaper] [--root DIR]
//
// Standard input is the socket. --subreaper makes orphans this process's children. --root runs the command as process 1 of
// new namespaces in DIR, with everything mounted that init mounts.

import CLinux
import GuestInit
import GuestProtocol
import System

/// Two streams over a socket whose other end is a test.
final class SocketTransport: ChannelTransport {
  private let socket: FileDescriptor

  init(_ socket: consuming FileDescriptor) { self.socket = socket }

  var doorbell: Int32 { socket.rawValue }

  func silenceDoorbell() {}

  func credit() -> Int { 65536 }

  func send(_ bytes: UnsafeRawBufferPointer) {
    var done = 0
    while done < bytes.count {
      // unsafe: done < bytes.count.
      let count = unsafe CLinux.send(
        socket.rawValue, bytes.baseAddress?.advanced(by: done), bytes.count - done, Int32(MSG_NOSIGNAL.rawValue))
      if count < 0 { _exit(99) }
      done += count
    }
  }

  func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    // unsafe: the caller's buffer is valid for its count.
    let count = unsafe recv(socket.rawValue, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT.rawValue))
    // A test that has gone needs no command any more.
    if count == 0 { _exit(98) }
    return max(0, count)
  }

  func mark(_ phase: Phase) {}
}

@c(InitHarness_main)
public func entry(argc: Int32, argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Int32 {
  var words: [String] = []
  for index in 1..<max(1, Int(argc)) {
    // unsafe: the kernel passes argc strings, each NUL-terminated.
    if let word = unsafe argv[index] { words.append(unsafe String(cString: word)) }
  }
  guard let path = words.first, let socket = try? FileDescriptor.duplicate(of: 0) else { return 97 }
  if let null = try? FileDescriptor.open("/dev/null", O_RDWR) { _ = dup2(null.rawValue, 0) }
  let channel = Channel(SocketTransport(socket))
  do throws(Failure) {
    let configuration = try configuration(path)
    if words.contains("--subreaper") { _ = prctl_subreaper() }
    if let flag = words.firstIndex(of: "--root"), flag + 1 < words.count {
      try enterNamespaces()
      try RootFileSystem.enter(words[flag + 1])
      try RootFileSystem.populate(usesDevtmpfs: false)
    }
    channel.send(try CommandRunner(configuration, channel).run())
  } catch {
    channel.send(.failure(code: error.code, message: error.message))
  }
  return 0
}

private func configuration(_ path: String) throws(Failure) -> CommandConfiguration {
  do throws(SystemError) {
    let file = try FileDescriptor.open(path, O_RDONLY)
    var bytes = [UInt8](repeating: 0, count: CommandConfiguration.sizeLimit)
    var count = 0
    // unsafe: the buffer is the array's own memory.
    try unsafe bytes.withUnsafeMutableBytes { buffer throws(SystemError) in
      count = try unsafe file.readFully(into: buffer, at: 0)
    }
    return try decode(Array(bytes[..<count]))
  } catch {
    throw Failure("\(error)")
  }
}

private func decode(_ bytes: [UInt8]) throws(SystemError) -> CommandConfiguration {
  do throws(ConfigurationError) {
    return try CommandConfiguration(decoding: bytes)
  } catch {
    throw SystemError("decode: \(error)", "", .invalid)
  }
}

/// Goes on as process 1 of namespaces of its own; the process that was started waits for it.
private func enterNamespaces() throws(Failure) {
  let flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS
  guard unshare(flags) == 0 else { throw Failure("unshare: \(Errno.current)") }
  let child = fork()
  guard child >= 0 else { throw Failure("fork: \(Errno.current)") }
  if child > 0 {
    _ = waitpid(child, nil, 0)
    _exit(0)
  }
  // unsafe: the string lives during the call.
  guard unsafe mount(nil, "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0 else {
    throw Failure("mount: \(Errno.current)")
  }
}
