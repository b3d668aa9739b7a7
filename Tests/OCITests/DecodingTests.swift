import CContainer
import JSON
import TestSupport
import Testing

@testable import OCI

@Suite struct DecodingTests {
  @Test func theLeast() throws {
    let spec = try Spec(decoding: Config.json(Config.minimal))
    #expect(spec.version == "1.0.2-dev" && spec.root == .init(path: "rootfs") && spec.warnings.isEmpty)
    #expect(spec.process?.args == [Array("sh".utf8)] && spec.process?.capabilities == nil)
    #expect(spec.linux.namespaces.map(\.type) == [.mount, .pid, .uts, .ipc, .network])
    #expect(spec.linux.resources == nil && spec.linux.seccomp == nil && spec.hooks == Spec.Hooks())
  }

  @Test func theProcess() throws {
    let process = try #require(try Spec(decoding: Config.json(Config.full)).process)
    #expect(process.terminal && process.consoleSize == .init(height: 25, width: 80) && process.cwd == "/tmp")
    #expect(process.user.uid == 1 && process.user.gid == 2 && process.user.umask == 0o22)
    #expect(process.user.additionalGids == [3, 4])
    #expect(process.args == ["/bin/sh", "-c", "é"].map { Array($0.utf8) })
    #expect(process.env == ["A=1", "B==", "C="].map { Array($0.utf8) })
    #expect(process.capabilities?.bounding == 1 | 1 << 39 && process.capabilities?.effective == 1)
    #expect(process.capabilities?.inheritable == 1 << 5 && process.capabilities?.ambient == 1 << 5)
    #expect(
      process.rlimits == [
        .init(resource: 7, name: "RLIMIT_NOFILE", soft: 10, hard: .max),
        .init(resource: 4, name: "RLIMIT_CORE", soft: 0, hard: 0),
      ])
    #expect(process.noNewPrivileges && process.apparmorProfile == "docker-default" && process.oomScoreAdj == -500)
    #expect(process.selinuxLabel == "system_u:system_r:container_t:s0")
    #expect(process.ioPriority == .init(ioClass: 2, priority: 4))
    var scheduler = Process.Scheduler(policy: 6)
    (scheduler.runtime, scheduler.deadline, scheduler.period, scheduler.flags) = (1, 2, 3, 3)
    #expect(process.scheduler == scheduler)
    #expect(process.execCPUAffinity == .init(initial: "0-1", final: "7"))
  }

  @Test func theRest() throws {
    let spec = try Spec(decoding: Config.json(Config.full))
    #expect(spec.hostname == "box" && spec.domainname == "example.org" && spec.warnings.isEmpty, "\(spec.warnings)")
    #expect(spec.annotations == [.init(name: "a.b", value: "c"), .init(name: "d", value: "")])
    #expect(spec.root == .init(path: "/bundle/root", isReadOnly: true) && spec.mounts.count == 2)
    #expect(spec.mounts[0].options == ["nosuid", "ro"] && spec.mounts[1].type == "")
    #expect(spec.mounts[1].uidMappings == [.init(containerID: 0, hostID: 5, size: 2)])
    #expect(spec.mounts[1].gidMappings == [.init(containerID: 0, hostID: 6, size: 3)])
    var hook = Spec.Hook(path: "/h")
    (hook.args, hook.env, hook.timeout) = (["h", "x"], ["K=V"], 5)
    #expect(spec.hooks.prestart == [hook] && spec.hooks.createRuntime == [.init(path: "/a")])
    #expect(spec.hooks.createContainer == [.init(path: "/b")] && spec.hooks.startContainer == [.init(path: "/c")])
    #expect(spec.hooks.poststart == [.init(path: "/d")] && spec.hooks.poststop == [.init(path: "/e")])
  }

  @Test func linux() throws {
    let linux = try Spec(decoding: Config.json(Config.full)).linux
    #expect(linux.namespace(.pid)?.path == "/proc/1/ns/pid" && linux.namespace(.ipc)?.path == nil)
    #expect(linux.namespaces.count == 8 && linux.uidMappings == [.init(containerID: 0, hostID: 1000, size: 10)])
    #expect(linux.gidMappings == [.init(containerID: 0, hostID: 2000, size: 10)])
    #expect(
      linux.timeOffsets == [
        .init(clock: "monotonic", seconds: -5, nanoseconds: 999_999_999),
        .init(clock: "boottime", seconds: 7, nanoseconds: 0),
      ])
    var fuse = Linux.Device(path: "/dev/fuse", type: .character, major: 10, minor: 229)
    (fuse.fileMode, fuse.uid, fuse.gid) = (0o666, 1, 2)
    #expect(
      linux.devices == [fuse, .init(path: "/dev/pipe", type: .fifo), .init(path: "/dev/sda", type: .block, major: 8)])
    #expect(linux.cgroupsPath == "/a/b" && linux.rootfsPropagation == .slave && linux.mountLabel == "label")
    #expect(
      linux.sysctl.map(\.name) == [
        "net.ipv4.ip_forward", "kernel.shmmax", "fs.mqueue.msg_max", "net.ipv4.conf.eth0/1.forwarding",
      ])
    #expect(linux.maskedPaths == ["/proc/kcore"] && linux.readonlyPaths == ["/proc/sys"])
    var rdt = Linux.IntelRDT()
    (rdt.closID, rdt.schemata, rdt.l3CacheSchema, rdt.memBwSchema) = ("guaranteed", ["L3:0=f"], "L3:0=7f0", "MB:0=20")
    rdt.enableMonitoring = true
    #expect(linux.intelRdt == rdt && linux.personality == .linux32)
    #expect(linux.netDevices == [.init(hostName: "eth1", name: "lan0"), .init(hostName: "eth2", name: "eth2")])
    #expect(linux.memoryPolicy == .init(mode: 2, nodes: "0-1", flags: 1 << 15))
    let seccomp = try #require(linux.seccomp)
    #expect(seccomp.defaultAction == .errno && seccomp.defaultErrno == 38 && seccomp.listenerPath == "/run/agent")
    #expect(seccomp.architectures == ["SCMP_ARCH_X86_64"] && seccomp.flags == ["SECCOMP_FILTER_FLAG_LOG"])
    #expect(seccomp.syscalls[0].names == ["read", "write"] && seccomp.syscalls[1].action == .notify)
    #expect(seccomp.syscalls[2].errno == 40000)
    #expect(seccomp.syscalls[2].args == [.init(index: 5, value: .max, valueTwo: 1, comparison: .maskedEqual)])
  }

  @Test func resources() throws {
    let resources = try #require(try Spec(decoding: Config.json(Config.full)).linux.resources)
    #expect(
      resources.devices == [
        .init(allow: false, type: .all, major: nil, minor: nil, access: .all),
        .init(allow: true, type: .character, major: 1, minor: nil, access: [.read, .write]),
      ])
    var memory = Resources.Memory()
    (memory.limit, memory.reservation, memory.swap, memory.kernel, memory.kernelTCP) = (1, 2, -1, 3, 4)
    (memory.swappiness, memory.disableOOMKiller, memory.useHierarchy, memory.checkBeforeUpdate) = (60, true, true, true)
    #expect(resources.memory == memory)
    var cpu = Resources.CPU()
    (cpu.shares, cpu.quota, cpu.burst, cpu.period, cpu.realtimeRuntime, cpu.realtimePeriod) = (1, -1, 2, 3, 4, 5)
    (cpu.cpus, cpu.mems, cpu.idle) = ("0-3", "0", 1)
    #expect(resources.cpu == cpu && resources.pids?.limit == 100)
    let io = try #require(resources.blockIO)
    #expect(io.weight == 10 && io.leafWeight == 1000 && io.weightDevice.first?.weight == 500)
    #expect(io.throttleReadBps == [.init(major: 8, minor: 0, rate: 600)] && io.throttleWriteBps.first?.rate == 601)
    #expect(io.throttleReadIOPS.first?.rate == 602 && io.throttleWriteIOPS == [.init(major: 8, minor: 3, rate: 603)])
    #expect(resources.hugepageLimits == [.init(pageSize: "2MB", limit: 9)] && resources.network?.classID == 7)
    #expect(resources.network?.priorities == [.init(name: "eth0", priority: 8)])
    #expect(resources.rdma.first?.device == "mlx5_1" && resources.rdma.first?.hcaObjects == 4)
    #expect(resources.unified.map(\.name) == ["memory.high", "io.max"])
  }

  /// What writers send though it says nothing, and members that nobody knows.
  @Test(arguments: [
    ("linux.resources.blockIO.weight", "0"), ("linux.resources.memory.swappiness", "18446744073709551615"),
    ("linux.resources.memory.limit", "null"), ("process.consoleSize", "{\"height\":0,\"width\":0}"),
    ("linux.rootfsPropagation", "\"\""), ("linux.namespaces[0].path", "\"\""), ("future", "{\"x\":1}"),
    ("linux.future", "[1]"), ("process.oomScoreAdj", "null"), ("hostname", "\"\""), ("hooks", "null"),
    ("linux.resources.cpu.cpus", "\"\""), ("windows", "null"), ("linux.resources.devices[0].type", "\"\""),
  ])
  func harmless(path: String, value: String) throws {
    #expect(try Spec(decoding: Config.patched(Config.full, path, value)).warnings.isEmpty)
  }

  @Test func warnings() throws {
    func warnings(_ path: String, _ value: String) throws -> [String] {
      try Spec(decoding: Config.patched(Config.minimal, path, value)).warnings
    }
    #expect(
      try warnings("process.capabilities", "{\"bounding\":[\"CAP_KILL\",\"CAP_FLY\"]}") == [
        "process.capabilities.bounding: 'CAP_FLY' is no capability that vmrun knows, and is left out"
      ])
    let relative = try Spec(decoding: Config.patched(Config.minimal, "mounts", "[{\"destination\":\"data\"}]"))
    #expect(relative.mounts[0].destination == "/data" && relative.warnings.count == 1)
    #expect(try warnings("process.user", "{\"username\":\"me\"}").count == 1)
    #expect(
      try warnings(
        "linux.seccomp",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_ACT_ALLOW\"}]}"
      ).count == 1)
    let joined = try Config.patched(Config.full, "linux.namespaces[5].path", "\"/proc/1/ns/user\"")
    #expect(try Spec(decoding: joined).warnings.count == 2)
  }

  /// A value of any kind in any place is decoded or refused; nothing traps, and no refusal lacks its reason.
  @Test func mutations() throws {
    let seed = try Config.json(Config.full)
    var random = SeededRandom(seed: 7)
    let values: [JSON] = [
      .null, .boolean(true), .integer(-1), .integer(.max), .integer(.min), .unsigned(.max), .integer(0), .number(0.5),
      .string(""), .string("\0"), .string("/"), .string(String(repeating: "x", count: 100_000)), .array([]),
      .object([]),
      .array([.null]), .array([.string("a")]), .object([.init("", .null)]), .object([.init("a", .object([]))]),
    ]
    func mutated(_ json: JSON) -> JSON {
      if random.oneIn(40) { return values[random.below(values.count)] }
      switch json {
      case .array(let elements):
        var result = elements.map { mutated($0) }
        if random.oneIn(20), let first = result.first { result.append(first) }
        return .array(result)
      case .object(let members): return .object(members.map { .init($0.name, mutated($0.value)) })
      default: return json
      }
    }
    var accepted = 0
    for _ in 0..<3000 {
      let json = mutated(seed)
      do {
        _ = try Spec(decoding: json)
        accepted += 1
      } catch { #expect(!error.problem.isEmpty && error.description.utf8.count < 2000, "\(error)") }
    }
    #expect(accepted < 3000)
  }
}
