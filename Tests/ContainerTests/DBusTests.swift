import Foundation
import OCI
import Testing

@testable import Container

@Suite struct DBusTests {
  /// The wire format by hand (D-Bus specification, "Message Format"), a call without a body.
  @Test func goldenHello() {
    var message = DBusMessage.call(
      "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", [])
    message.serial = 1
    var expected: [UInt8] = [0x6c, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0x6d, 0, 0, 0]
    func field(_ code: UInt8, _ type: Character, _ text: String) {
      while expected.count % 8 != 0 { expected.append(0) }
      expected += [code, 1, type.asciiValue ?? 0, 0, UInt8(text.utf8.count), 0, 0, 0] + Array(text.utf8) + [0]
    }
    field(1, "o", "/org/freedesktop/DBus")
    field(2, "s", "org.freedesktop.DBus")
    field(3, "s", "Hello")
    field(6, "s", "org.freedesktop.DBus")
    // The fields' length counts neither the header before them nor the padding behind.
    expected[12] = UInt8(expected.count - 16)
    while expected.count % 8 != 0 { expected.append(0) }
    #expect(message.encoded == expected)
  }

  @Test func goldenValues() {
    var writer = DBusWriter()
    writer.append(.byte(7))
    writer.append(.uint64(0x0102_0304_0506_0708))
    writer.append(.array("(ss)", []))
    writer.append(.array("t", [.uint64(1)]))
    writer.append(.variant(.boolean(true)))
    writer.append(.structure([.string("ab"), .variant(.bytes([3]))]))
    #expect(
      writer.bytes == [
        7, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1,
        0, 0, 0, 0, 0, 0, 0, 0,  // an empty array is padded to its elements' alignment all the same
        8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
        1, 0x62, 0, 0, 1, 0, 0, 0,
        2, 0, 0, 0, 0x61, 0x62, 0, 2, 0x61, 0x79, 0, 0, 1, 0, 0, 0, 3,
      ])
  }

  @Test func messagesRoundTripAndHostileBytesAreRefused() throws {
    var message = DBusMessage(kind: .signal)
    message.serial = 9
    message.path = "/o"
    message.interface = "i.f"
    message.member = "JobRemoved"
    message.body = [
      .uint32(5), .path("/job/1"), .string("x.scope"), .string("done"), .strings(["a", "b"]), .variant(.string("v")),
    ]
    let bytes = message.encoded
    #expect(try DBusMessage(decoding: bytes) == message)
    #expect(try DBusMessage.length(bytes) == bytes.count)
    for count in 0..<bytes.count {
      #expect(throws: ContainerError.self) { try DBusMessage(decoding: Array(bytes[..<count])) }
    }
    // No byte may make the reader step outside; a crash would end the test.
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      var broken = bytes
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        broken[Int.random(in: 0..<broken.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = try? DBusMessage(decoding: broken)
    }
    var huge = bytes
    huge[4...7] = [0xff, 0xff, 0xff, 0xff]
    #expect(throws: ContainerError.self) { try DBusMessage.length(huge) }
  }

  @Test func scopesAndSlices() throws {
    #expect(
      try SystemdScope.expand("kubepods-burstable-pod1.slice")
        == "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice")
    #expect(try SystemdScope.expand("-.slice") == "")
    for bad in ["a", "a--b.slice", "-a.slice", ".slice", "a/b.slice", "../x.slice"] {
      #expect(throws: ContainerError.self) { try SystemdScope.expand(bad) }
    }
    let docker = try SystemdScope(cgroupsPath: "system.slice:docker:abc", id: "abc", user: false)
    #expect(docker == SystemdScope(slice: "system.slice", unit: "docker-abc.scope", user: false))
    #expect(
      try SystemdScope(cgroupsPath: nil, id: "c1", user: true)
        == SystemdScope(slice: "user.slice", unit: "vmrun-c1.scope", user: true))
    #expect(try SystemdScope(cgroupsPath: "::x", id: "c", user: false).unit == "x.scope")
    for bad in ["/docker/abc", "a:b", "system.slice:x:", "system.slice:x:a/b", "s:x:y", "system.slice::pod.slice"] {
      #expect(throws: ContainerError.self) { try SystemdScope(cgroupsPath: bad, id: "c", user: false) }
    }
  }

  @Test func limitsBecomeProperties() throws {
    var resources = Resources()
    resources.memory = .init()
    resources.memory?.limit = 1 << 30
    resources.memory?.swap = 3 << 30
    resources.cpu = .init()
    resources.cpu?.shares = 1024
    resources.cpu?.quota = 33_333
    resources.cpu?.period = 100_000
    resources.cpu?.cpus = "0-1,9"
    resources.pids = .init()
    resources.pids?.limit = -1
    resources.unified = [.init(name: "memory.high", value: "max"), .init(name: "io.max", value: "8:0 rbps=1")]
    #expect(
      try SystemdProperty.limits(resources, legacy: false) == [
        .init("MemoryMax", .uint64(1 << 30)), .init("MemorySwapMax", .uint64(2 << 30)),
        .init("CPUWeight", .uint64(100)),
        .init("CPUQuotaPeriodUSec", .uint64(100_000)), .init("CPUQuotaPerSecUSec", .uint64(340_000)),
        .init("AllowedCPUs", .bytes([3, 2])), .init("TasksMax", .uint64(.max)), .init("MemoryHigh", .uint64(.max)),
      ])
    #expect(
      try SystemdProperty.limits(resources, legacy: true).map(\.name) == [
        "MemoryLimit", "CPUShares", "CPUQuotaPeriodUSec", "CPUQuotaPerSecUSec", "TasksMax",
      ])
    for bad in ["3-1", "x", "1-2-3", "99999", "-1"] {
      #expect(throws: ContainerError.self) { try SystemdProperty.mask(bad, "cpu.cpus") }
    }
    #expect(SystemdProperty.quotaPerSecond(.max, period: 1) == .max)
  }

  @Test func deviceRulesBecomeProperties() throws {
    let devices = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n136 other\n"
    let rules = SystemdProperty.devices(try DevicePolicy(CgroupDeviceTests.docker), devices: devices)
    #expect(rules[0] == .init("DevicePolicy", .string("strict")))
    guard case .array("(ss)", let allowed) = rules[1].value else { Issue.record("no list"); return }
    #expect(allowed.contains(.structure([.string("/dev/char/1:3"), .string("rwm")])))
    #expect(allowed.contains(.structure([.string("char-pts"), .string("rwm")])))
    #expect(allowed.contains(.structure([.string("block-*"), .string("m")])))
    let open = try DevicePolicy([.init(allow: true, type: .all, major: nil, minor: nil, access: .all)])
    #expect(SystemdProperty.devices(open, devices: devices)[0].value == .string("auto"))
  }

  @Test func addressesInTheirOrder() {
    let system = Systemd.addresses(user: false, runtime: nil, bus: nil)
    #expect(
      system.map { String(decoding: $0.name, as: UTF8.self) } == [
        "/run/systemd/private", "/run/dbus/system_bus_socket",
      ])
    let user = Systemd.addresses(
      user: true, runtime: "/run/user/5", bus: "tcp:host=x;unix:path=/b,guid=1;unix:abstract=/z")
    #expect(
      user == [
        .init(name: Array("/run/user/5/systemd/private".utf8), isBus: false),
        .init(name: Array("/b".utf8), isBus: true),
        .init(name: [0] + Array("/z".utf8), isBus: true), .init(name: Array("/run/user/5/bus".utf8), isBus: true),
      ])
  }

  /// The whole conversation with a manager that the test plays, on its private socket and through a bus.
  @Test(arguments: [false, true]) func aScopeIsStartedChangedAndStopped(bus: Bool) throws {
    let scratch = Scratch()
    let fake = try FakeManager(scratch.path + "/socket", isBus: bus)
    func connect() throws -> Systemd {
      Systemd(try DBusConnection.open(Array(fake.path.utf8), isBus: bus, patience: 10_000_000_000))
    }
    let scope = SystemdScope(slice: "system.slice", unit: "vmrun-c.scope", user: false)
    var systemd = try connect()
    let placement = try systemd.placement(
      scope, layout: .unified(.init(names: "", mountPoint: "/sys/fs/cgroup", own: "/")))
    #expect(placement.view == .unified(path: "/sys/fs/cgroup/base/system.slice/vmrun-c.scope"))
    #expect(placement.systemd == scope)
    // A unit of the same name stands there failed: it is reset, and the start is tried again.
    fake.existing = 1
    try systemd.startTransient(scope.unit, SystemdProperty.scope(scope, pid: 4711, legacy: false))
    try systemd.setProperties(scope.unit, [.init("MemoryMax", .uint64(5))])
    try systemd.stop(scope.unit)
    fake.missing = true
    #expect(throws: Never.self) { try systemd.stop(scope.unit) }
    fake.missing = false
    fake.result = "failed"
    let error = #expect(throws: ContainerError.self) { try systemd.startTransient(scope.unit, []) }
    #expect(error?.description.contains("failed") == true)
    let calls = fake.calls.filter { $0 != "Hello" && $0 != "AddMatch" && $0 != "Subscribe" }
    #expect(
      calls == [
        "Get", "StartTransientUnit", "ResetFailedUnit", "StartTransientUnit", "SetUnitProperties", "StopUnit",
        "ResetFailedUnit", "StopUnit", "ResetFailedUnit", "StartTransientUnit",
      ])
    #expect(fake.calls.contains("Subscribe") == bus)
    #expect(fake.handshake == "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
    #expect(fake.signatures["StartTransientUnit"] == "ssa(sv)a(sa(sv))")
    #expect(fake.signatures["SetUnitProperties"] == "sba(sv)")
  }

  @Test func aManagerThatSaysNothingIsGivenUp() throws {
    let scratch = Scratch()
    let fake = try FakeManager(scratch.path + "/socket", isBus: false)
    fake.silent = true
    var systemd = Systemd(try DBusConnection.open(Array(fake.path.utf8), isBus: false, patience: 200_000_000))
    let error = #expect(throws: ContainerError.self) { _ = try systemd.controlGroup() }
    #expect(error?.description.contains("in time") == true)
  }
}

/// Plays systemd on a socket, one connection after another.
final class FakeManager: @unchecked Sendable {
  let path: String
  private let listener: Int32
  private let isBus: Bool
  private let lock = NSLock()
  private var log: [String] = []
  var signatures: [String: String] = [:]
  var handshake = ""
  /// How many starts find the unit there.
  var existing = 0
  var missing = false
  var silent = false
  var result = "done"

  var calls: [String] { lock.withLock { log } }

  init(_ path: String, isBus: Bool) throws {
    self.path = path
    self.isBus = isBus
    listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = UInt16(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let descriptor = listener
    let bound = withUnsafePointer(to: &address) {
      bind(descriptor, __CONST_SOCKADDR_ARG(__sockaddr_un__: $0), socklen_t(MemoryLayout<sockaddr_un>.size))
    }
    guard bound == 0, listen(descriptor, 4) == 0 else { throw CocoaError(.fileWriteUnknown) }
    Foundation.Thread {
      let connection = accept(descriptor, __SOCKADDR_ARG(__sockaddr__: nil), nil)
      if connection >= 0 { self.serve(connection) }
    }.start()
  }

  deinit { close(listener) }

  private func serve(_ connection: Int32) {
    defer { close(connection) }
    func send(_ bytes: [UInt8]) { _ = write(connection, bytes, bytes.count) }
    var received: [UInt8] = []
    func more() -> Bool {
      var chunk = [UInt8](repeating: 0, count: 4096)
      let count = read(connection, &chunk, 4096)
      guard count > 0 else { return false }
      received += chunk[..<count]
      return true
    }
    var greeted = false
    while true {
      let text = String(decoding: received, as: UTF8.self)
      if !greeted, text.hasSuffix("DATA\r\n") {
        send(Array("DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n".utf8))
        greeted = true
      }
      if let range = text.range(of: "BEGIN\r\n") {
        handshake = String(text[..<range.upperBound])
        received.removeFirst(handshake.utf8.count)
        break
      }
      guard more() else { return }
    }
    var job: UInt32 = 0
    while true {
      while received.count < 16 || received.count < (try? DBusMessage.length(received)) ?? 0 {
        guard more() else { return }
      }
      guard let length = try? DBusMessage.length(received) else { return }
      let bytes = Array(received[..<length])
      received.removeFirst(length)
      guard let call = try? DBusMessage(decoding: bytes), let member = call.member else { return }
      lock.withLock { log.append(member) }
      signatures[member] = signature(bytes)
      if silent { continue }
      if isBus != (call.destination != nil) { return }
      var reply = DBusMessage(kind: .reply)
      reply.serial = 1000 + job
      reply.replySerial = call.serial
      var signal: DBusMessage?
      func fail(_ name: String) {
        reply.kind = .error
        reply.errorName = "org.freedesktop.systemd1.\(name)"
        reply.body = [.string("Unit \(name).")]
      }
      switch member {
      case "Get": reply.body = [.variant(.string("/base"))]
      case "StartTransientUnit" where existing > 0:
        existing -= 1
        fail("UnitExists")
      case "StopUnit" where missing: fail("NoSuchUnit")
      case "StartTransientUnit", "StopUnit":
        job += 1
        reply.body = [.path("/job/\(job)")]
        var removed = DBusMessage(kind: .signal)
        removed.serial = 2000 + job
        removed.path = "/org/freedesktop/systemd1"
        removed.interface = "org.freedesktop.systemd1.Manager"
        removed.member = "JobRemoved"
        removed.body = [.uint32(job + 70), .path("/job/other"), .string("other.scope"), .string("failed")]
        send(removed.encoded)  // somebody else's, and before the reply
        removed.body = [.uint32(job), .path("/job/\(job)"), .string("vmrun-c.scope"), .string(result)]
        signal = removed
      default: break
      }
      // A job can be over before its reply is sent.
      if job % 2 == 0, let signal { send(signal.encoded) }
      send(reply.encoded)
      if job % 2 == 1, let signal { send(signal.encoded) }
    }
  }

  /// The body's signature in the header: the field's code, a variant of type g, the text's length, the text.
  private func signature(_ bytes: [UInt8]) -> String {
    for index in 16..<max(16, bytes.count - 5) where index % 8 == 0 {
      if Array(bytes[index..<index + 4]) == [8, 1, 0x67, 0] {
        let count = Int(bytes[index + 4])
        guard index + 5 + count <= bytes.count else { return "" }
        return String(decoding: bytes[index + 5..<index + 5 + count], as: UTF8.self)
      }
    }
    return ""
  }
}
