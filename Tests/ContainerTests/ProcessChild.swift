import CContainer
import CLinux
import Foundation

@testable import Container

/// What became of a child process.
struct ChildOutcome {
  /// What it wrote to its pipe.
  let text: String
  /// As wait(2) gives it.
  let status: Int32
  var exitCode: Int32? { clinux_wifexited(status) ? clinux_wexitstatus(status) : nil }
}

private let fork = unsafeBitCast(dlsym(nil, "fork"), to: (@convention(c) () -> Int32).self)

/// Runs `body` in a child, with descriptor 1 and 2 being the pipe that `text` comes from. What `body` throws or returns is written too.
func inChild(_ body: () throws -> String) -> ChildOutcome {
  var ends: [Int32] = [-1, -1]
  pipe(&ends)
  let pid = fork()
  if pid == 0 {
    dup2(ends[1], 1)
    dup2(ends[1], 2)
    close(ends[0])
    close(ends[1])
    var text: String
    do { text = try body() } catch { text = "error: \(error)" }
    text.withUTF8 { _ = write(1, $0.baseAddress, $0.count) }
    _exit(0)
  }
  close(ends[1])
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4096)
  while true {
    let count = read(ends[0], &buffer, buffer.count)
    if count <= 0 { break }
    bytes += buffer[..<count]
  }
  close(ends[0])
  var status: Int32 = 0
  waitpid(pid, &status, 0)
  return ChildOutcome(text: String(decoding: bytes, as: UTF8.self), status: status)
}

/// A folder that is removed with what is in it.
final class ProcessScratch {
  let path: String

  init() {
    var template = Array("/tmp/vmrun-process-XXXXXX".utf8CString)
    path = String(cString: mkdtemp(&template))
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String, _ content: String, mode: UInt32 = 0o644) -> String {
    let place = "\(path)/\(name)"
    _ = FileManager.default.createFile(atPath: place, contents: Data(content.utf8))
    chmod(place, mode)
    return place
  }
}
