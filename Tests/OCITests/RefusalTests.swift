import JSON
import Testing

@testable import OCI

/// What is refused, where, and in which words.
@Suite struct RefusalTests {
  private func refusal(_ base: String, _ path: String, _ value: String?) throws -> String {
    let json = try Config.patched(base, path, value)
    do {
      _ = try Spec(decoding: json)
      return "accepted"
    } catch { return error.description }
  }

  /// The path that was changed is the path that the message begins with.
  @Test(
    arguments: [
      ("ociVersion", "2", "expected a string, found a number"),
      ("ociVersion", "\"2.0.0\"", "'2.0.0' is not supported: vmrun implements 1.x"),
      ("ociVersion", "\"1\"", "'1' is no version; expected for example '1.3.0'"),
      ("ociVersion", "\"1.x\"", "'1.x' is no version; expected for example '1.3.0'"),
      ("ociVersion", nil, "missing, but required"), ("root", nil, "missing, but required"),
      ("root", "[]", "expected an object, found an array"), ("root.path", "\"\"", "must not be empty"),
      ("root.path", "\"a\\u0000b\"", "holds a NUL (\\u0000), which no string for the kernel can"),
      ("root.readonly", "1", "expected true or false, found a number"),
      ("windows", "{}", "vmrun runs Linux containers only"), ("solaris", "{}", "vmrun runs Linux containers only"),
      ("vm", "{}", "vmrun runs Linux containers only"), ("zos", "{}", "vmrun runs Linux containers only"),
      ("mounts", "{}", "expected an array, found an object"), ("mounts[0].destination", "\"\"", "must not be empty"),
      ("mounts[1].gidMappings", "[{\"containerID\":0,\"hostID\":0}]", nil),
      ("mounts[1].uidMappings[0].size", "0", "must be at least 1"),
      ("mounts[1].uidMappings[0].size", "4294967295", nil),
      ("mounts[0].options[0]", "7", "expected a string, found a number"),
      ("annotations", "[]", "expected an object, found an array"),
      ("process.args", "[]", "needs at least the program"), ("process.args[0]", "\"\"", "the program's name is empty"),
      ("process.args[1]", "\"\\u0000\"", "holds a NUL (\\u0000), which no string for the kernel can"),
      ("process.env[0]", "\"A\"", "'A' is no variable; expected NAME=VALUE"),
      ("process.env[0]", "\"=A\"", "'=A' is no variable; expected NAME=VALUE"),
      ("process.cwd", nil, "missing, but required"),
      ("process.cwd", "\"tmp\"", "'tmp' is not absolute: it must begin with '/'"),
      ("process.user.uid", "4294967295", "4294967295 is out of range: at most 4294967294"),
      ("process.user.uid", "-1", "-1 is below 0"),
      ("process.user.uid", "\"root\"", "expected a whole number, found a string"),
      ("process.user.uid", "1.5", "expected a whole number, found a number with a fraction or exponent"),
      ("process.user.uid", "11", "11 is in none of the user namespace's mappings"),
      ("process.user.gid", "10", "10 is in none of the user namespace's mappings"),
      ("process.user.additionalGids[1]", "10", "10 is in none of the user namespace's mappings"),
      ("process.user.umask", "512", "512 is out of range: at most 511"),
      ("process.consoleSize.height", "65536", "65536 is out of range: at most 65535"),
      ("process.rlimits[1].type", "\"RLIMIT_X\"", nil), ("process.rlimits[1].soft", "1", "1 exceeds the hard limit, 0"),
      ("process.rlimits[1].hard", nil, "missing, but required"),
      ("process.rlimits[1].soft", "-1", "-1 is below 0"),
      ("process.oomScoreAdj", "1001", "1001 is out of range: -1000 to 1000"),
      ("process.ioPriority.class", "\"BE\"", nil), ("process.ioPriority.priority", "8", "8 is out of range: at most 7"),
      ("process.scheduler.priority", "5", "SCHED_DEADLINE takes none; only SCHED_FIFO and SCHED_RR do"),
      ("process.scheduler.nice", "5", "SCHED_DEADLINE takes none; only SCHED_OTHER and SCHED_BATCH do"),
      ("process.scheduler.flags[0]", "\"X\"", nil),
      ("process.execCPUAffinity.initial", "\"a\"", "'a' is no list; expected for example '0-3,7'"),
      ("hooks.prestart[0].path", "\"x\"", "'x' is not absolute: it must begin with '/'"),
      ("hooks.poststop[0].timeout", "0", "0 is out of range: 1 to 2147483647"),
      ("linux.namespaces[1].type", "\"net\"", nil),
      ("linux.namespaces[0].path", "\"ns\"", "'ns' is not absolute: it must begin with '/'"),
      ("linux.namespaces[8]", "{\"type\":\"pid\"}", "a second namespace of type pid"),
      ("linux.uidMappings", "[]", "a new user namespace needs at least one mapping"),
      ("linux.uidMappings[1]", "{\"containerID\":5,\"hostID\":0,\"size\":1}", "overlaps a mapping before it"),
      ("linux.uidMappings[1]", "{\"containerID\":50,\"hostID\":1009,\"size\":1}", "overlaps a mapping before it"),
      ("linux.devices[0].path", "\"dev/x\"", "'dev/x' is not absolute: it must begin with '/'"),
      ("linux.devices[0].type", "\"x\"", "'x' is no device type; there are c, b, u, p"),
      ("linux.devices[0].major", "4096", "4096 is out of range: at most 4095"),
      ("linux.devices[2].minor", nil, "missing, but required for a device that is no FIFO"),
      ("linux.rootfsPropagation", "\"private,slave\"", nil),
      ("linux.maskedPaths[0]", "\"proc\"", "'proc' is not absolute: it must begin with '/'"),
      ("linux.readonlyPaths[0]", "\"\"", "'' is not absolute: it must begin with '/'"),
      ("linux.personality.domain", "\"BSD\"", "'BSD' is no execution domain; there are LINUX, LINUX32"),
      ("linux.intelRdt.closID", "\"..\"", "'..' is no name of a folder"),
      ("linux.intelRdt.memBwSchema", "\"L3:\"", "'L3:' does not begin with 'MB:'"),
      ("linux.intelRdt.schemata[0]", "\"a\\nb\"", "must be one line"),
      ("linux.memoryPolicy.nodes", "\"\"", "MPOL_BIND needs some"), ("linux.memoryPolicy.mode", "\"MPOL\"", nil),
      ("linux.resources.devices[0].access", "\"rx\"", "'rx' is made of other letters than r, w and m"),
      ("linux.resources.devices[0].access", "\"\"", "is empty; expected some of r, w and m"),
      ("linux.resources.devices[0].allow", nil, "missing, but required"),
      ("linux.resources.memory.limit", "-2", "-2 is out of range: -1 to 9223372036854775807"),
      (
        "linux.resources.memory.limit", "9223372036854775808",
        "9223372036854775808 is out of range: -1 to 9223372036854775807"
      ),
      ("linux.resources.memory.swappiness", "101", "101 is out of range: at most 100"),
      ("linux.resources.cpu.idle", "2", "2 is out of range: 0 to 1"),
      ("linux.resources.cpu.cpus", "\"0;1\"", "'0;1' is no list; expected for example '0-3,7'"),
      ("linux.resources.blockIO.weight", "9", "9 is out of range: 10 to 1000"),
      ("linux.resources.blockIO.weightDevice[0].weight", "1001", "1001 is out of range: at most 1000"),
      ("linux.resources.hugepageLimits[0].pageSize", "\"2M\"", "'2M' is no page size; expected for example '2MB'"),
      ("linux.resources.network.priorities[0].name", "\"a/b\"", nil),
      ("linux.seccomp.defaultErrnoRet", "4096", "4096 is out of range: at most 4095"),
      ("linux.seccomp.architectures[0]", "\"SCMP_ARCH_Z80\"", nil), ("linux.seccomp.flags[0]", "\"X\"", nil),
      ("linux.seccomp.listenerPath", nil, "SCMP_ACT_NOTIFY needs one"),
      ("linux.seccomp.syscalls[0].names", "[]", "needs at least one system call"),
      ("linux.seccomp.syscalls[0].errnoRet", "1", "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take one"),
      ("linux.seccomp.syscalls[2].args[0].index", "6", "6 is out of range: at most 5"),
      ("linux.seccomp.syscalls[2].args[0].op", "\"EQ\"", nil),
    ] as [(String, String?, String?)])
  func named(path: String, value: String?, problem: String?) throws {
    let text = try refusal(Config.full, path, value)
    if let problem {
      // What is missing from a list of two is told where the list stands.
      let isMissing = value == nil && path.hasSuffix("listenerPath")
      #expect(text == "\(path): \(problem)" || (isMissing && text.hasPrefix("linux.seccomp.listener")))
    } else {
      #expect(text.hasPrefix(path) && text.utf8.count > path.utf8.count + 10, "\(text)")
    }
  }

  /// What no single value can know.
  @Test(arguments: [
    (
      "hostname", "\"a\"", "linux.namespaces[2]",
      "hostname: needs a 'uts' entry in linux.namespaces, or it would rename the host"
    ),
    (
      "linux.sysctl", "{\"net.x\":\"1\"}", "linux.namespaces[4]",
      "linux.sysctl['net.x']: needs a 'network' entry in linux.namespaces, or it would change the host"
    ),
    (
      "linux.sysctl", "{\"kernel.sem\":\"1\"}", "linux.namespaces[3]",
      "linux.sysctl['kernel.sem']: needs a 'ipc' entry in linux.namespaces, or it would change the host"
    ),
    (
      "linux.maskedPaths", "[\"/a\"]", "linux.namespaces[0]",
      "linux.maskedPaths: needs a 'mount' entry in linux.namespaces, or it would change the host"
    ),
    (
      "linux.netDevices", "{\"eth0\":{}}", "linux.namespaces[4]",
      "linux.netDevices: needs a 'network' entry in linux.namespaces, or it would change the host"
    ),
  ])
  func needsNamespace(path: String, value: String, namespace: String, text: String) throws {
    let with = try Config.patched(Config.minimal, path, value)
    _ = try Spec(decoding: with)
    let without = try Config.patched(String(decoding: with.serialized(), as: UTF8.self), namespace, nil)
    #expect(throws: SpecError.self) { try Spec(decoding: without) }
    do { _ = try Spec(decoding: without) } catch { #expect(error.description == text) }
  }

  @Test(arguments: [
    (
      "linux.uidMappings", "[{\"containerID\":0,\"hostID\":0,\"size\":1}]",
      "linux.uidMappings: needs a 'user' entry in linux.namespaces"
    ),
    (
      "linux.timeOffsets", "{\"monotonic\":{}}",
      "linux.timeOffsets: needs a 'time' entry in linux.namespaces, or it would change the host"
    ),
    (
      "linux.timeOffsets", "{\"realtime\":{}}",
      "linux.timeOffsets['realtime']: is no clock of a time namespace; there are monotonic and boottime"
    ),
    (
      "linux.sysctl", "{\"vm.swappiness\":\"1\"}",
      "linux.sysctl['vm.swappiness']: belongs to no namespace, so that it would change the host"
    ),
    (
      "linux.sysctl", "{\"kernel.hostname\":\"x\"}", "linux.sysctl['kernel.hostname']: use the field 'hostname' instead"
    ),
    ("linux.sysctl", "{\"net.ipv4\":1}", "linux.sysctl['net.ipv4']: expected a string, found a number"),
    (
      "linux.personality", "{\"domain\":\"LINUX\",\"flags\":[\"X\"]}",
      "linux.personality.flags: 'X': the specification defines no flags yet"
    ),
    (
      "linux.resources.unified", "{\"a/b\":\"1\"}",
      "linux.resources.unified['a/b']: is no name of a cgroup's file; expected for example 'memory.high'"
    ),
    (
      "linux.resources.unified", "{\"..\":\"1\"}",
      "linux.resources.unified['..']: is no name of a cgroup's file; expected for example 'memory.high'"
    ),
    ("linux.resources.rdma", "{\"a\":{}}", "linux.resources.rdma['a']: needs hcaHandles, hcaObjects, or both"),
    ("linux.resources.cpu", "{\"quota\":5,\"burst\":6}", "linux.resources.cpu.burst: 6 exceeds the quota, 5"),
    (
      "linux.seccomp", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerMetadata\":\"x\"}",
      "linux.seccomp.listenerMetadata: must not be set without listenerPath"
    ),
    (
      "linux.seccomp",
      "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/s\",\"syscalls\":[{\"names\":[\"write\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}",
      "linux.seccomp.syscalls[0]: SCMP_ACT_NOTIFY cannot be the action for 'write': vmrun itself needs it until the program starts"
    ),
    (
      "linux.seccomp", "{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
      "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default: nothing could start"
    ),
    ("annotations", "{\"\":\"x\"}", "annotations['']: an annotation's name must not be empty"),
    (
      "process.rlimits",
      "[{\"type\":\"RLIMIT_AS\",\"soft\":1,\"hard\":1},{\"type\":\"RLIMIT_AS\",\"soft\":1,\"hard\":1}]",
      "process.rlimits[1]: a second limit of type RLIMIT_AS"
    ),
    ("process.scheduler", "{\"policy\":\"SCHED_FIFO\"}", "process.scheduler.priority: SCHED_FIFO needs 1 to 99"),
    (
      "process.scheduler", "{\"policy\":\"SCHED_OTHER\",\"runtime\":1}",
      "process.scheduler: runtime, deadline and period are for SCHED_DEADLINE, not SCHED_OTHER"
    ),
    (
      "process.scheduler", "{\"policy\":\"SCHED_DEADLINE\",\"runtime\":3,\"deadline\":2}",
      "process.scheduler: SCHED_DEADLINE needs 0 < runtime <= deadline <= period"
    ),
    (
      "linux.memoryPolicy", "{\"mode\":\"MPOL_LOCAL\",\"nodes\":\"0\"}",
      "linux.memoryPolicy.nodes: MPOL_LOCAL takes none"
    ),
    (
      "hostname", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
      "hostname: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' has 65 bytes; the kernel takes 64"
    ),
    (
      "mounts", "[{\"destination\":\"/a\",\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]}]",
      "mounts[0]: uidMappings and gidMappings come together: one of them is missing"
    ),
  ])
  func together(path: String, value: String, text: String) throws {
    #expect(try refusal(Config.minimal, path, value) == text)
  }

  /// A parameter's name becomes a path below /proc/sys.
  @Test(arguments: ["net..x", "", ".", "net.", "net.//.y", "net./.y", "net/../y", "/net/x"] as [String])
  func sysctlsThatLeaveTheirFolder(key: String) throws {
    #expect(try refusal(Config.minimal, "linux.sysctl", "{\"\(key)\":\"1\"}") != "accepted")
  }

  /// What a hostile name holds does not reach the terminal, nor make a message endless.
  @Test func messagesAreSafe() throws {
    let text = try refusal(
      Config.minimal, "linux.namespaces[0].type", "\"\\u001b[2J\\u202e" + String(repeating: "x", count: 9999) + "\"")
    #expect(!text.utf8.contains(0x1B) && text.utf8.count < 400 && text.contains("..."))
  }

  @Test func unsupportedIsToldApart() throws {
    for (path, value, isUnsupported) in [
      ("windows", "{}", true), ("ociVersion", "\"2.0.0\"", true), ("root", nil, false),
    ] {
      let json = try Config.patched(Config.minimal, path, value)
      let error = #expect(throws: SpecError.self) { try Spec(decoding: json) }
      #expect(error?.isUnsupported == isUnsupported)
    }
  }

  @Test func tooManyMappings() throws {
    let mappings = (0..<341).map { "{\"containerID\":\($0),\"hostID\":\($0),\"size\":1}" }.joined(separator: ",")
    #expect(
      try refusal(Config.full, "linux.uidMappings", "[\(mappings)]")
        == "linux.uidMappings: 341 mappings; the kernel takes 340")
  }
}
