import Foundation
import System
import Testing

@Suite struct ProcessTreeTests {
  private func start(_ path: String, _ arguments: [String]) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    try process.run()
    return process
  }

  @Test func childrenAndQEMUsOfADaemonBelongToIt() throws {
    let folder = NSTemporaryDirectory() + "process-tree-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createSymbolicLink(atPath: folder + "/qemu-test", withDestinationPath: "/bin/sh")
    try FileManager.default.createSymbolicLink(atPath: folder + "/other", withDestinationPath: "/bin/sh")
    // A shell that waits for a child.
    let launcher = try start("/bin/sh", ["-c", "sleep 30; true"])
    let number = launcher.processIdentifier
    let wait = "while :; do sleep 0.05; done"
    let machine = try start(
      folder + "/qemu-test", ["-c", wait, "-name", "guest=vmrun-\(number)-0123,debug-threads=on"])
    // Another launcher's, one with a number behind which more digits follow, and one that is no QEMU.
    let others = [
      try start(folder + "/qemu-test", ["-c", wait, "guest=vmrun-\(number)0-0123"]),
      try start(folder + "/qemu-test", ["-c", wait, "guest=vmrun-99999999999-1"]),
      try start(folder + "/other", ["-c", wait, "guest=vmrun-\(number)-0123"]),
    ]
    defer {
      for process in [machine, launcher] + others {
        for member in ProcessTree.of(process.processIdentifier).reversed() { kill(member, SIGKILL) }
        process.waitUntilExit()
      }
    }
    var tree: [Int32] = []
    for _ in 0..<100 {
      tree = ProcessTree.of(number)
      if tree.contains(machine.processIdentifier), tree.count >= 3 { break }
      usleep(20_000)
    }
    #expect(tree.first == number)
    #expect(tree.contains(machine.processIdentifier))
    for other in others { #expect(!tree.contains(other.processIdentifier)) }
    #expect(tree.count >= 3, "its own child too: \(tree)")
    #expect(ProcessTree.of(ProcessInfo.processInfo.processIdentifier).contains(number))
    #expect(
      ProcessTree.fields(of: number)?[1].elementsEqual("\(ProcessInfo.processInfo.processIdentifier)".utf8) == true)
    #expect(ProcessTree.fields(of: -1) == nil)
  }

  @Test func namesOfDirectories() throws {
    #expect(directoryNames("/nonexistent") == nil)
    let names = try #require(directoryNames("/proc/self"))
    #expect(names.contains("stat") && !names.contains(".") && !names.contains(".."))
    #expect(names == names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
    #expect(directoryNames("/proc/self", limit: 3)?.count == 3)
  }
}
