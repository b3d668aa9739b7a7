import CContainer
import CLinux
import Foundation
import JSON
import OCI
import System
import Testing

@testable import Container

@Suite struct TimestampTests {
  @Test(arguments: [
    (0, "1970-01-01T00:00:00.000000007Z"), (951_782_399, "2000-02-28T23:59:59.000000007Z"),
    (951_782_400, "2000-02-29T00:00:00.000000007Z"), (951_868_800, "2000-03-01T00:00:00.000000007Z"),
    (4_107_542_399, "2100-02-28T23:59:59.000000007Z"), (4_107_542_400, "2100-03-01T00:00:00.000000007Z"),
    (1_767_225_599, "2025-12-31T23:59:59.000000007Z"), (-1, "1969-12-31T23:59:59.000000007Z"),
  ])
  func knownMoments(seconds: Int, expected: String) {
    #expect(Timestamp.text(seconds: Int64(seconds), nanoseconds: 7) == expected)
  }

  // From the Gregorian calendar on: before it, the system has the Julian one.
  @Test func agreesWithTheSystemsCalendar() throws {
    let format = ISO8601DateFormatter()
    for day in stride(from: -140_000, to: 200_000, by: 13) {
      let seconds = day * 86400 + 12_345
      let ours = Timestamp.text(seconds: Int64(seconds), nanoseconds: 0)
      #expect(
        ours.replacingOccurrences(of: ".000000000", with: "")
          == format.string(from: Date(timeIntervalSince1970: Double(seconds))))
    }
  }
}

@Suite struct ProcessIdentityTests {
  @Test func namesWithParenthesesAndSpaces() throws {
    let line = "12 (a) b ) R 1 2 3) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 424242 23"
    let fields = try #require(ProcessIdentity.fields(Array(line.utf8)))
    #expect(fields.state == UInt8(ascii: "S"))
    #expect(fields.startTicks == 424242)
  }

  @Test(arguments: ["", ")", "1 (x)", "1 (x) S", "1 (x) S 1 2 3", "no parenthesis at all"])
  func malformedLines(_ line: String) { #expect(ProcessIdentity.fields(Array(line.utf8)) == nil) }

  @Test func thisProcessAndNoOther() throws {
    let own = try #require(ProcessIdentity(of: getpid()))
    #expect(own.isAlive)
    #expect(!ProcessIdentity(pid: own.pid, startTicks: own.startTicks + 1).isAlive)
    #expect(ProcessIdentity(of: 0) == nil)
    #expect(ProcessIdentity(of: -1) == nil)
    #expect(throws: ContainerError.self) { _ = try ProcessIdentity(pid: own.pid, startTicks: 1).open() }
  }
}

@Suite struct StateRootTests {
  @Test(arguments: ["a", "A-b_c.d+e", "0123456789abcdef", "..."])
  func names(_ id: String) { #expect(StateRoot.isValid(id: id)) }

  @Test(arguments: ["", ".", "..", "a/b", "../x", "a b", "a\0b", "ä", "a\n", String(repeating: "x", count: 1025)])
  func notNames(_ id: String) { #expect(!StateRoot.isValid(id: id)) }

  @Test func oneFolderPerNameAndNothingLeft() throws {
    let root = StateRoot(path: NSTemporaryDirectory() + "vmrun-state-\(UUID().uuidString)/deeper")
    defer { try? FileManager.default.removeItem(atPath: (root.path as NSString).deletingLastPathComponent) }
    let folder = try root.create("one")
    try folder.lock()
    #expect(throws: ContainerError.self) { _ = try root.create("one") }
    try folder.write("config.json", [1, 2, 3])
    #expect(try folder.read("config.json") == [1, 2, 3])
    #expect(try folder.read("absent") == nil)
    #expect(try root.identifiers() == ["one"])
    // A tree with a link to the outside: the link goes, what it points to stays.
    let outside = root.path + "/../outside"
    try FileManager.default.createDirectory(atPath: outside, withIntermediateDirectories: true)
    try "kept".write(toFile: outside + "/file", atomically: true, encoding: .utf8)
    try FileManager.default.createDirectory(atPath: folder.path + "/upper/a/b", withIntermediateDirectories: true)
    try "x".write(toFile: folder.path + "/upper/a/b/c", atomically: true, encoding: .utf8)
    try FileManager.default.createSymbolicLink(atPath: folder.path + "/upper/link", withDestinationPath: outside)
    try folder.remove()
    #expect(try String(contentsOfFile: outside + "/file", encoding: .utf8) == "kept")
    #expect(try root.identifiers() == [])
    // The lock's holder has removed it: whoever waited for it is told.
    #expect(throws: ContainerError.self) { try folder.lock() }
  }
}

@Suite struct StateRecordTests {
  @Test func survivesItsOwnBytes() throws {
    var record = StateRecord(
      id: "x", version: "1.0.2-dev", created: "2026-01-01T00:00:00.000000000Z", bundle: "/b", rootfs: "/b/rootfs",
      owner: 1000,
      annotations: [.init(name: "a.b", value: "c\"\n")], placement: CgroupPlacement(.none),
      namespaces: [.init(.pid), .init(.network, path: "/proc/1/ns/net")])
    #expect(try StateRecord(decoding: record.bytes, of: "x") == record)
    record.process = ProcessIdentity(pid: 42, startTicks: UInt64.max)
    record.needsConfiguration = true
    record.usesBridge = true
    #expect(try StateRecord(decoding: record.bytes, of: "x") == record)
  }

  @Test(arguments: ["", "{", "[]", "{}", "{\"format\":2}", "{\"format\":1,\"id\":5}"])
  func damage(_ text: String) {
    #expect(throws: ContainerError.self) { _ = try StateRecord(decoding: Array(text.utf8), of: "x") }
  }
}

@Suite struct ChannelTests {
  @Test func everyMessageArrives() throws {
    let ends = try Channel.pair()
    ends.child.send(.mapping(pid: -5))
    guard case .mapping(pid: -5)? = try ends.parent.receive()?.message else { Issue.record("mapping"); return }
    ends.child.send(.listener(number: 0x1234567))
    guard case .listener(number: 0x1234567)? = try ends.parent.receive()?.message else {
      Issue.record("listener"); return
    }
    ends.child.send(.failed(ContainerError(.commandNotFound, "exec: \"x\": no")))
    guard case .failed(let error)? = try ends.parent.receive()?.message else { Issue.record("failed"); return }
    #expect(error == ContainerError(.commandNotFound, "exec: \"x\": no"))
    let pipe = try FileDescriptor.pipe()
    ends.child.send(.terminal, beside: pipe.read.rawValue)
    let packet = try #require(try ends.parent.receive())
    guard case .terminal = packet.message else { Issue.record("terminal"); return }
    let received = FileDescriptor(owning: packet.descriptor)
    try pipe.write.writeFully([7])
    #expect(try received.readAll(limit: 1) == [7])
  }

  @Test func aTextTooLongIsCut() throws {
    let ends = try Channel.pair()
    ends.child.send(.failed(ContainerError(.system, String(repeating: "x", count: 100_000))))
    guard case .failed(let error)? = try ends.parent.receive()?.message else { Issue.record("failed"); return }
    #expect(error.description.utf8.count == Channel.textLimit)
  }

  @Test func theOtherSideGone() throws {
    let parent = try Channel.pair().parent
    #expect(try parent.receive() == nil)
    #expect(!parent.send(.proceed))
    #expect(throws: ContainerError.self) { try parent.ask(.ready) }
  }
}

@Suite struct ProgramTests {
  @Test func inputOutputAndStatus() throws {
    let outcome = try ExternalProgram.run(
      "/bin/sh", ["sh", "-c", "cat; echo $A >&2; exit 3"].map { Array($0.utf8) }, environment: [Array("A=b".utf8)],
      input: Array("in ".utf8), timeout: 10)
    #expect(outcome.text == "exit status 3: in b")
  }

  @Test func aTimeoutEndsIt() {
    #expect(throws: ContainerError.self) {
      _ = try ExternalProgram.run(
        "/bin/sleep", ["sleep", "60"].map { Array($0.utf8) }, environment: [], input: [], timeout: 1)
    }
  }

  @Test func whatCannotBeExecuted() {
    #expect(throws: ContainerError.self) {
      _ = try ExternalProgram.run("/nowhere/at/all", [[120]], environment: [], input: [], timeout: nil)
    }
  }
}
