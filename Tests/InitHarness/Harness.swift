// The guest's init without a guest, for tests: the same code in a process of its own, with a socket in place of the ports.
//
//     InitHarness CONFIGURATION [--serial] [--subreaper] [--root DIR]
//
// Standard input is the socket. --serial takes it for a serial line. --subreaper makes orphans this process's children. --root runs the command as process 1 of
// new namespaces in DIR, with everything mounted that init mounts.

import CGuestInit
import CLinux
import GuestInit
import GuestProtocol
import System

@c(InitHarness_main)
public func entry(argc: Int32, argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Int32 {
  var words: [String] = []
  for index in 1..<max(1, Int(argc)) {
    // unsafe: the kernel passes argc strings, each NUL-terminated.
    if let word = unsafe argv[index] { words.append(unsafe String(cString: word)) }
  }
  guard let path = words.first, let socket = try? FileDescriptor.duplicate(of: 0) else { return 97 }
  if let null = try? FileDescriptor.open("/dev/null", O_RDWR) { _ = dup2(null.rawValue, 0) }
  let channel: Channel
  if words.contains("--serial") {
    guard (try? socket.setNonBlocking()) != nil else { return 96 }
    channel = Channel(SerialTransport(line: socket))
  } else {
    channel = Channel(SocketTransport(socket))
  }
  do throws(Failure) {
    let configuration = try readConfiguration(path)
    if words.contains("--subreaper") { _ = adopt_orphans() }
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
