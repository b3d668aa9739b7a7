import Foundation
import Glibc
import GuestProtocol
import Testing

enum CommandConfigurationFixture {
  static let plain = CommandConfiguration(
    arguments: [Array("true".utf8)], userID: UInt32(geteuid()), groupID: UInt32(getegid()))
}

/// Whether this host lets a process have namespaces of its own.
private let hasNamespaces: Bool = {
  guard geteuid() == 0 else { return false }
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
  process.arguments = ["--mount", "--pid", "--fork", "--uts", "true"]
  do { try process.run() } catch { return false }
  process.waitUntilExit()
  return process.terminationStatus == 0
}()

@Suite("Root file system", .enabled(if: hasNamespaces, "needs root and namespaces"))
struct RootFileSystemTests {
  /// A folder with the host's programs, seen from inside as a root of its own.
  private func withRoot(_ body: (String) throws -> Void) throws {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("root-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: root) }
    var libraries: Set<String> = []
    let tools = ["/bin/sh", "/bin/ls", "/bin/cat", "/usr/bin/stat", "/usr/bin/id", "/bin/stty", "/bin/sleep"]
    for tool in tools {
      let process = Process()
      let pipe = Foundation.Pipe()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/ldd")
      process.arguments = [tool]
      process.standardOutput = pipe
      try process.run()
      let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      libraries.formUnion(text.split(whereSeparator: \.isWhitespace).map(String.init).filter { $0.hasPrefix("/") })
    }
    for path in tools + Array(libraries) {
      let target = root + path
      let folder = (target as NSString).deletingLastPathComponent
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      let source = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
      try FileManager.default.copyItem(atPath: source, toPath: target)
    }
    try body(root)
  }

  private func run(_ script: String, terminal: WindowSize? = nil) throws -> GuestHost {
    var result: GuestHost?
    try withRoot { root in
      let host = try GuestHost(sh: script, terminal: terminal, options: ["--root", root])
      _ = try host.finish()
      result = host
    }
    return try #require(result)
  }

  @Test("everything that programs expect is mounted, and nothing of the host is seen")
  func mounts() throws {
    let host = try run(
      """
      while read -r source target type rest; do echo "$target $type"; done </proc/mounts
      stat -c '%n %a %F' /tmp /run /dev/shm /dev/null /dev/ptmx /dev/fd /dev/stdin
      echo hello >/dev/stdout; cat </dev/null; echo error >/dev/stderr
      echo "process $$"; ls /
      """)
    #expect(host.end == .exited(code: 0), "\(host.errorOutput)")
    let lines = host.output.split(separator: "\n").map(String.init)
    for mount in [
      "/proc proc", "/sys sysfs", "/dev tmpfs", "/dev/pts devpts", "/dev/shm tmpfs", "/tmp tmpfs", "/run tmpfs",
    ] {
      #expect(lines.contains(mount), "\(mount) in \(lines)")
    }
    for line in [
      "/tmp 1777 directory", "/run 755 directory", "/dev/shm 1777 directory",
      "/dev/null 666 character special file", "/dev/fd 777 symbolic link", "hello", "process 2",
    ] {
      #expect(lines.contains(line), "\(line) in \(lines)")
    }
    #expect(host.errorOutput == "error\n")
    #expect(!lines.contains("home") && !lines.contains("etc"))
  }

  @Test("a terminal works in the new root")
  func terminal() throws {
    let host = try run("stty size </dev/tty; ls /dev/pts", terminal: WindowSize(rows: 7, columns: 9))
    #expect(host.end == .exited(code: 0))
    #expect(host.output == "7 9\r\n0  ptmx\r\n" || host.output == "7 9\r\n0\r\nptmx\r\n", "\(host.output)")
  }

  @Test("as process 1, init collects the orphans of the whole system")
  func orphans() throws {
    let host = try run(
      """
      i=0; while [ $i -lt 100 ]; do (sleep 0.1 &); i=$((i+1)); done
      sleep 1
      for status in /proc/[0-9]*/stat; do
        read -r line <$status || continue
        set -- ${line##*) }
        [ "$1" = Z ] && echo zombie
      done 2>/dev/null
      echo counted
      """)
    #expect(host.end == .exited(code: 0))
    #expect(host.output == "counted\n")
  }
}
