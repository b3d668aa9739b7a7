import Foundation
import Glibc
import GuestProtocol
import Testing

@testable import GuestInit

@Suite("Commands")
struct CommandRunnerTests {
  private func configuration(_ arguments: String...) -> CommandConfiguration {
    CommandConfiguration(
      arguments: arguments.map { Array($0.utf8) }, userID: UInt32(geteuid()), groupID: UInt32(getegid()))
  }

  @Test("exit codes come back as they are", arguments: [0, 1, 7, 125, 126, 127, 255] as [UInt32])
  func exitCode(_ code: UInt32) throws {
    let host = try GuestHost(sh: "exit \(code)")
    #expect(try host.finish() == .exited(code: code))
    #expect(host.messages.first == .started)
  }

  @Test("a signal that ends the command is named", arguments: [SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGPIPE, SIGABRT])
  func killed(_ signal: Int32) throws {
    #expect(try GuestHost(sh: "kill -\(signal) $$").finish() == .killed(signal: UInt32(signal)))
  }

  @Test("what cannot be executed is told as by a shell")
  func notExecutable() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("commands-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    func file(_ name: String, _ contents: String, _ mode: Int) throws -> String {
      let path = folder.appendingPathComponent(name).path
      try Data(contents.utf8).write(to: URL(fileURLWithPath: path))
      try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
      return path
    }
    let table: [(String, UInt32, String)] = [
      ("no-such-command-here", 127, "command not found in"),
      ("/no/such/file", 127, "No such file"),
      ("", 127, "command not found"),
      (folder.path, 126, "Permission denied"),
      (try file("plain", "echo hello\n", 0o644), 126, "Permission denied"),
      (try file("noise", "\u{1}\u{2}\u{3}", 0o755), 126, "Exec format error"),
      (try file("orphan", "#!/no/such/interpreter\n", 0o755), 127, "interpreter"),
    ]
    for (command, code, text) in table {
      let host = try GuestHost(configuration(command))
      guard case .failure(let actual, let message) = try host.finish() else {
        Issue.record("\(command): \(host.messages)")
        continue
      }
      #expect(actual == code, "\(command): \(message)")
      #expect(message.contains(text), "\(message)")
      #expect(!host.messages.contains(.started))
    }
  }

  @Test("commands are found through the PATH that was asked for, and what is not executable is passed over")
  func searchPath() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("path-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    for (name, mode) in [("first", 0o644), ("second", 0o755)] {
      let part = folder.appendingPathComponent(name)
      try FileManager.default.createDirectory(at: part, withIntermediateDirectories: true)
      let tool = part.appendingPathComponent("tool")
      try Data("#!/bin/sh\necho \(name)\n".utf8).write(to: tool)
      try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: tool.path)
    }
    var configuration = configuration("tool")
    configuration.environment = [Array("PATH=/nowhere:\(folder.path)/first:\(folder.path)/second".utf8)]
    let host = try GuestHost(configuration)
    #expect(try host.finish() == .exited(code: 0))
    #expect(host.output == "second\n")

    configuration.environment = [Array("PATH=\(folder.path)/first:/nowhere".utf8)]
    guard case .failure(126, _) = try GuestHost(configuration).finish() else {
      Issue.record("a file that may not be executed is not reported")
      return
    }
  }

  @Test("output and error output stay apart and exact")
  func exactOutput() throws {
    let script = """
      awk 'BEGIN { for (i = 0; i < 100000; i++) printf "%08d\\n", i }' &
      awk 'BEGIN { for (i = 0; i < 70000; i++) printf "%09d\\n", i }' >&2 &
      wait; exit 3
      """
    let host = try GuestHost(sh: script)
    #expect(try host.finish() == .exited(code: 3))
    let expectedOutput = (0..<100_000).map { String(format: "%08d\n", $0) }.joined()
    let expectedErrors = (0..<70_000).map { String(format: "%09d\n", $0) }.joined()
    #expect(host.stdout == Array(expectedOutput.utf8))
    #expect(host.stderr == Array(expectedErrors.utf8))
  }

  @Test("what is in the pipe when the command ends is not lost", arguments: [1, 4096, 65536])
  func lastWords(_ count: Int) throws {
    let host = try GuestHost(sh: "head -c \(count) /dev/zero")
    #expect(try host.finish() == .exited(code: 0))
    #expect(host.stdout == [UInt8](repeating: 0, count: count))
  }

  @Test("every byte value passes both ways, and the window is kept to")
  func input() throws {
    var bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
    bytes.replaceSubrange(0..<256, with: 0...255)
    let host = try GuestHost(sh: "cat")
    try host.send(input: bytes)
    try host.send(.stdinEnd)
    #expect(try host.finish() == .exited(code: 0))
    #expect(host.stdout == bytes)
  }

  @Test("the window is all that is granted to a command that does not read")
  func windowOfIdleCommand() throws {
    let host = try GuestHost(sh: "read line; echo got $line; exec sleep 60")
    try host.wait("the window") { host.window > 0 }
    // The pipe takes some of it, which is granted again; the rest waits in init.
    var sent = 0
    while sent < 1 << 20 {
      try host.receive(milliseconds: 200)
      if host.window == 0 { break }
      let count = host.window
      try host.send(input: [UInt8](repeating: UInt8(ascii: "\n"), count: count))
      sent += count
    }
    #expect(sent < 1 << 19)
    #expect(host.window == 0)
    try host.send(.signal(UInt32(SIGKILL)))
    #expect(try host.finish() == .killed(signal: UInt32(SIGKILL)))
  }

  @Test("more input than was granted ends the command's run with a failure")
  func greedyHost() throws {
    let host = try GuestHost(sh: "sleep 60")
    // Two frames fill the window.
    for _ in 0..<3 { try host.write(host.frame(.stdin, [UInt8](repeating: 0, count: 65536))) }
    guard case .failure(125, let message) = try host.finish() else {
      Issue.record("\(host.messages)")
      return
    }
    #expect(message.contains("more input"))
  }

  @Test("frames that make no sense end the command's run with a failure")
  func nonsense() throws {
    let table: [[UInt8]] = [
      [0x7F, 0, 0, 0, 0, 0, 0, 0], [0x82, 1, 0, 0, 0, 0, 0, 0], [0x81, 0, 0, 0, 1, 0, 1, 0],
      [0x83, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3], [0x02, 0, 0, 0, 1, 0, 0, 0, 65],
    ]
    for bytes in table {
      let host = try GuestHost(sh: "sleep 60")
      try host.write(bytes)
      guard case .failure(125, let message) = try host.finish() else {
        Issue.record("\(bytes): \(host.messages)")
        continue
      }
      #expect(message.hasPrefix("guest init: "))
    }
  }

  @Test("a command that closes its input is not disturbed by more of it")
  func closedInput() throws {
    let host = try GuestHost(
      sh: "exec <&-; trap 'echo done; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    try host.wait("the trap") { host.output == "ready\n" }
    for _ in 0..<8 { try host.send(input: [UInt8](repeating: 1, count: 60_000)) }
    try host.send(.signal(UInt32(SIGTERM)))
    #expect(try host.finish() == .exited(code: 0))
    #expect(host.output == "ready\ndone\n")
  }

  @Test("signals reach the command; an interrupt reaches its whole group")
  func signals() throws {
    let host = try GuestHost(sh: "trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    try host.wait("the trap") { host.output == "ready\n" }
    try host.send(.signal(UInt32(SIGTERM)))
    #expect(try host.finish() == .exited(code: 9))
    #expect(host.output == "ready\nterm\n")

    let group = try GuestHost(sh: "echo ready; sleep 60; echo not reached")
    try group.wait("the child") { group.output == "ready\n" }
    let end = try group.finish { try group.send(.signal(UInt32(SIGINT))) }
    #expect(end == .killed(signal: UInt32(SIGINT)))
    #expect(group.output == "ready\n")
  }

  @Test("signal numbers that do not exist are ignored", arguments: [0, 65, 1 << 31, UInt32.max])
  func wrongSignal(_ number: UInt32) throws {
    let host = try GuestHost(sh: "read line; exit 5")
    try host.send(.signal(number))
    try host.wait("the window") { host.window > 0 }
    try host.send(input: [UInt8(ascii: "\n")])
    #expect(try host.finish() == .exited(code: 5))
  }

  @Test("who keeps the pipes open does not keep the command from ending")
  func backgroundHolder() throws {
    let host = try GuestHost(sh: "sleep 20 & echo before; timeout 20 yes >/dev/null & exit 4")
    let start = Date()
    #expect(try host.finish() == .exited(code: 4))
    #expect(Date().timeIntervalSince(start) < 10)
    #expect(host.output == "before\n")
    let flood = try GuestHost(sh: "yes & sleep 0.2; exit 6")
    #expect(try flood.finish() == .exited(code: 6))
    #expect(flood.stdout.count >= 2)
    #expect(Set(flood.stdout) == Set("y\n".utf8))
  }

  @Test("orphans are collected")
  func orphans() throws {
    // Each subshell leaves a child behind that outlives it; then the shell looks for dead processes of its session.
    let script = """
      i=0; while [ $i -lt 200 ]; do (sleep 0.1 &) ; i=$((i+1)); done
      sleep 1
      session=$$
      for status in /proc/[0-9]*/stat; do
        read -r line <$status || continue
        rest=${line##*) }; set -- $rest
        [ "$4" = "$session" ] && [ "$1" = Z ] && echo zombie
      done 2>/dev/null
      echo counted
      """
    let host = try GuestHost(sh: script, options: ["--subreaper"])
    #expect(try host.finish() == .exited(code: 0))
    #expect(host.output == "counted\n")
  }

  @Test("the command starts with a clean slate")
  func cleanSlate() throws {
    let script = """
      ls /proc/self/fd | tr '\\n' ' '; echo
      grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status
      umask
      cut -d' ' -f6 /proc/$$/stat | grep -qx $$ && echo own session
      """
    let host = try GuestHost(sh: script)
    #expect(try host.finish() == .exited(code: 0))
    let lines = host.output.split(separator: "\n").map(String.init)
    // ls itself opens the folder as 3.
    #expect(lines.first == "0 1 2 3 ")
    #expect(lines.contains("SigBlk:\t0000000000000000"))
    #expect(lines.contains("SigIgn:\t0000000000000000"))
    #expect(lines.contains("0022"))
    #expect(lines.last == "own session")
  }

  @Test("variables, folder and defaults")
  func environment() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("work-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    var configuration = configuration("env")
    configuration.environment = [Array("A=1".utf8), Array("B=two words".utf8), Array("C=".utf8), [68, 61, 0xFF, 0xFE]]
    configuration.hostname = Array("box".utf8)
    let host = try GuestHost(configuration)
    #expect(try host.finish() == .exited(code: 0))
    let lines = host.stdout.split(separator: UInt8(ascii: "\n"))
    for line in ["A=1", "B=two words", "C=", "HOSTNAME=box", "PATH=\(CommandEnvironment.defaultPath)"] {
      #expect(lines.contains { $0.elementsEqual(line.utf8) }, "\(line)")
    }
    #expect(lines.contains { $0.elementsEqual([68, 61, 0xFF, 0xFE]) })
    #expect(!lines.contains { $0.starts(with: "TERM=".utf8) })

    // A folder that is not there is created, as container runtimes do.
    configuration.arguments = [Array("pwd".utf8)]
    configuration.workingDirectory = Array("\(folder.path)/a/b".utf8)
    let worker = try GuestHost(configuration)
    #expect(try worker.finish() == .exited(code: 0))
    #expect(worker.output == "\(folder.path)/a/b\n")

    configuration.workingDirectory = Array("/dev/null/x".utf8)
    guard case .failure(125, let message) = try GuestHost(configuration).finish() else {
      Issue.record("an impossible working directory is accepted")
      return
    }
    #expect(message.contains("/dev/null/x"))
  }

  @Test("user and groups are taken on", .enabled(if: geteuid() == 0, "needs root"))
  func identity() throws {
    var configuration = configuration("sh", "-c", "id -u; id -g; id -G; echo ok >/dev/stderr")
    configuration.userID = 1234
    configuration.groupID = 2345
    configuration.supplementaryGroups = [3456, 4567]
    let host = try GuestHost(configuration)
    #expect(try host.finish() == .exited(code: 0))
    #expect(host.output == "1234\n2345\n2345 3456 4567\n")
    #expect(host.errorOutput == "ok\n")
  }
}
