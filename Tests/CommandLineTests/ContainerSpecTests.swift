import Container
import Foundation
import Machine
import Network
import OCI
import Testing

@testable import vmrun

@Suite struct ContainerSpecTests {
  private func spec(
    _ host: ContainerSpec.Host = .init(user: 0, group: 0), _ change: (inout ContainerConfiguration) -> Void = { _ in }
  ) throws -> Spec {
    var configuration = ContainerConfiguration(rootfs: "d", arguments: [Array("x".utf8)])
    change(&configuration)
    var builder = ContainerSpec(configuration: configuration, host: host, root: "/abs/d")
    builder.sources = configuration.volumes.map { "/abs/" + $0.source }
    return try builder.make()
  }

  @Test func whatRootGets() throws {
    let spec = try spec()
    #expect(spec.root == Spec.Root(path: "/abs/d", isReadOnly: false) && spec.hostname == "vmrun")
    #expect(Set(spec.linux.namespaces.map(\.type)) == [.pid, .network, .mount, .ipc, .uts, .cgroup])
    #expect(spec.linux.namespaces.allSatisfy { $0.path == nil })
    let process = try #require(spec.process)
    #expect(process.noNewPrivileges && process.capabilities == Process.Capabilities(all: DockerDefaults.capabilities))
    #expect(spec.linux.seccomp != nil && spec.linux.maskedPaths == DockerDefaults.maskedPaths)
    #expect(spec.linux.readonlyPaths == DockerDefaults.readonlyPaths && spec.mounts == DockerDefaults.mounts)
    #expect(spec.linux.resources?.devices == DockerDefaults.deviceRules && spec.linux.resources?.memory == nil)
    #expect(spec.linux.uidMappings.isEmpty)
    // It is a configuration that the runtime itself takes from a file.
    #expect(process.env.contains(Array("HOSTNAME=vmrun".utf8)) && process.env.first?.starts(with: "PATH=".utf8) == true)
    #expect(!process.env.contains { $0.starts(with: "TERM=".utf8) })
  }

  @Test func limits() throws {
    let resources = try #require(
      try spec {
        $0.processorTime = 1500
        $0.memory = 64 << 20
        $0.processes = 9
      }.linux.resources)
    #expect(resources.cpu?.quota == 150_000 && resources.cpu?.period == 100_000)
    #expect(resources.memory?.limit == 64 << 20 && resources.memory?.swap == 64 << 20)
    // One more for the process that starts the command.
    #expect(resources.pids?.limit == 10)
    #expect(try spec { $0.processorTime = 10 }.linux.resources?.cpu?.quota == 1000)
    #expect(try spec { $0.processorTime = 8_192_000 }.linux.resources?.cpu?.quota == 819_200_000)
  }

  @Test func anotherUserHasNoCapabilities() throws {
    let process = try #require(try spec { ($0.user, $0.group) = (5, 6) }.process)
    #expect(process.user.uid == 5 && process.user.gid == 6)
    #expect(process.capabilities?.effective == 0 && process.capabilities?.permitted == 0)
    #expect(process.capabilities?.bounding == DockerDefaults.capabilities && process.capabilities?.ambient == 0)
  }

  @Test func networks() throws {
    #expect(try spec { $0.network = .host }.linux.namespace(.network) == nil)
    #expect(try spec { $0.network = .none }.linux.namespace(.network) == Linux.Namespace(.network))
    var configuration = ContainerConfiguration(rootfs: "d", arguments: [[1]])
    configuration.network = .bridge
    var builder = ContainerSpec(configuration: configuration, host: .init(user: 0, group: 0), root: "/d")
    builder.networkPath = "/proc/self/fd/9"
    #expect(try builder.make().linux.namespace(.network)?.path == "/proc/self/fd/9")
  }

  @Test func volumesAndReadOnly() throws {
    let spec = try spec {
      $0.volumes = [
        .init(source: "a", destination: "/x", isReadOnly: true),
        .init(source: "b", destination: "/y", isReadOnly: false),
      ]
      $0.isReadOnly = true
    }
    #expect(spec.root?.isReadOnly == true)
    let volumes = spec.mounts.suffix(2)
    #expect(volumes.map(\.source) == ["/abs/a", "/abs/b"] && volumes.map(\.destination) == ["/x", "/y"])
    #expect(volumes.first?.options == ["rbind", "rprivate", "rro"] && volumes.last?.options == ["rbind", "rprivate"])
  }

  @Test func aTerminal() throws {
    let process = try #require(try spec { $0.hasTerminal = true }.process)
    #expect(process.terminal && process.env.contains(Array("TERM=xterm".utf8)))
  }

  @Test func withoutRootOneIDIsMapped() throws {
    let host = ContainerSpec.Host(user: 1000, group: 1001)
    let spec = try spec(host)
    #expect(spec.linux.namespace(.user) == Linux.Namespace(.user))
    #expect(spec.linux.uidMappings == [IDMapping(containerID: 0, hostID: 1000, size: 1)])
    #expect(spec.linux.gidMappings == [IDMapping(containerID: 0, hostID: 1001, size: 1)])
    // No limits, no cgroup; no group 5 for the terminals.
    #expect(spec.linux.resources == nil)
    #expect(!spec.mounts.contains { $0.options.contains("gid=5") })
    #expect(try self.spec(host) { $0.processes = 5 }.linux.resources?.devices == [])
    let error = #expect(throws: UsageError.self) { _ = try self.spec(host) { $0.user = 1 } }
    #expect(error?.message.contains("/etc/subuid") == true)
  }

  @Test func subordinateIDsAreMappedBehindIt() throws {
    let host = ContainerSpec.Host(
      user: 1000, group: 1000, subordinateUsers: [.init(first: 100_000, count: 65536), .init(first: 9, count: 1)],
      subordinateGroups: [.init(first: 200_000, count: 10)])
    let spec = try spec(host) { ($0.user, $0.group) = (65537, 10) }
    #expect(
      spec.linux.uidMappings == [
        IDMapping(containerID: 0, hostID: 1000, size: 1), IDMapping(containerID: 1, hostID: 100_000, size: 65536),
        IDMapping(containerID: 65537, hostID: 9, size: 1),
      ])
    #expect(spec.mounts.contains { $0.options.contains("gid=5") })
    #expect(throws: UsageError.self) { _ = try self.spec(host) { $0.group = 11 } }
  }
}

@Suite struct ContainerHostTests {
  @Test func subordinateIDs() {
    let text = """
      # comment
      ann:100000:65536
      bob:1:2
      1000:300000:5
      ann:x:5
      ann:5
      ann:5:0
      ann:4294967295:1
      ann:4294967000:4294967295
      ann:1:99999999999
      :7:7
      """
    let ranges = SubordinateIDs.ranges(of: 1000, name: Array("ann".utf8), in: Array(text.utf8))
    #expect(ranges == [.init(first: 100_000, count: 65536), .init(first: 300_000, count: 5)])
    #expect(SubordinateIDs.ranges(of: 7, name: nil, in: Array(text.utf8)) == [])
    #expect(SubordinateIDs.read("/nonexistent", user: 1, name: nil) == [])
    let many = String(repeating: "5:1:1\n", count: 1000)
    #expect(SubordinateIDs.ranges(of: 5, name: nil, in: Array(many.utf8)).count == 16)
  }

  @Test(arguments: [
    ("kernel/unprivileged_userns_clone", "0\n", "kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "user.max_user_namespaces"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1\n", "kernel.apparmor_restrict_unprivileged_userns=0"),
  ])
  func theSettingIsNamed(file: String, content: String, expected: String) {
    let text = RootlessCheck.obstacle { $0 == file ? Array(content.utf8) : nil }
    #expect(text?.contains(expected) == true)
  }

  @Test func nothingForbidsIt() {
    #expect(RootlessCheck.obstacle { _ in nil } == nil)
    #expect(
      RootlessCheck.obstacle { name in Array((name.hasPrefix("kernel/apparmor") ? "0\n" : "1\n").utf8) } == nil)
    #expect(RootlessCheck.obstacle { _ in Array("garbage".utf8) } == nil)
  }

  @Test func hostsFile() {
    let text = HostFiles.hosts(
      name: "me", address: IPv4Address(10, 213, 0, 3), gateway: IPv4Address(10, 213, 0, 1),
      neighbours: [
        .init(name: "db", address: IPv4Address(10, 213, 0, 2)), .init(name: "me", address: IPv4Address(10, 213, 0, 4)),
        .init(name: "a b\n6.6.6.6 bank", address: IPv4Address(10, 213, 0, 5)),
      ])
    #expect(
      String(decoding: text, as: UTF8.self) == """
        127.0.0.1\tlocalhost
        ::1\tlocalhost ip6-localhost ip6-loopback
        10.213.0.3\tme
        10.213.0.1\thost.vmrun
        10.213.0.2\tdb

        """)
  }

  @Test func endings() {
    typealias Ending = ContainerLaunch.Ending
    func ending(_ outcome: ExitOutcome) -> Ending { ContainerLaunch.ending(outcome, timeout: 1_500_000_000) }
    #expect(ending(.exited(code: 7)) == Ending(exitCode: 7, message: nil))
    #expect(ending(.killed(signal: 9)) == Ending(exitCode: 137, message: nil))
    #expect(ending(.timeout).exitCode == 124 && ending(.timeout).message?.contains("1.5 s") == true)
    #expect(ending(.escape).exitCode == 130 && ending(.signal(2)).exitCode == 130)
    // The same codes as a virtual machine's.
    #expect(Outcome.timeout(nanoseconds: 1).exitCode == 124 && Outcome.escape.exitCode == 130)
    #expect(ContainerLaunch.exitCode(of: .commandNotFound) == 127)
    #expect(ContainerLaunch.exitCode(of: .commandNotExecutable) == 126 && ContainerLaunch.exitCode(of: .system) == 125)
  }

  @Test func filesAreReadWithoutWaitingOrFollowing() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "vmrun-files-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try "0123456789".write(toFile: "\(folder)/file", atomically: false, encoding: .utf8)
    #expect(mkfifo("\(folder)/fifo", 0o600) == 0)
    #expect(try HostFile.read("\(folder)/file", limit: 4) == Array("0123".utf8))
    #expect(try HostFile.read("\(folder)/file", limit: 100).count == 10)
    #expect(throws: (any Error).self) { _ = try HostFile.read("\(folder)/fifo", limit: 4) }
    #expect(throws: (any Error).self) { _ = try HostFile.read(folder, limit: 4) }
  }
}

@Suite struct ContainerTimingsTests {
  @Test func phasesAreSortedByTime() {
    let report = TimingsReport(
      start: 100, ends: [("parse", 10_000), ("mounts", 3_000_000), ("clone", 1_000_000), ("exit", 3_000_000)])
    #expect(
      report.table == """
        phase              took     at (ms)
        parse             0.010       0.010
        clone             0.990       1.000
        mounts            2.000       3.000
        exit              0.000       3.000

        """)
    #expect(
      report.json(exitCode: 3)
        == "{\"clock\":\"CLOCK_MONOTONIC\",\"start_ns\":100,\"exit_code\":3,\"phases\":["
        + "{\"phase\":\"parse\",\"took_ns\":10000,\"end_ns\":10000},{\"phase\":\"clone\",\"took_ns\":990000,\"end_ns\":1000000},"
        + "{\"phase\":\"mounts\",\"took_ns\":2000000,\"end_ns\":3000000},{\"phase\":\"exit\",\"took_ns\":0,\"end_ns\":3000000}]}\n"
    )
  }
}
