import JSON
import Testing

@testable import OCI

/// Configurations for tests: a base with single values replaced.
enum Config {
  /// The least that is a container.
  static let minimal = """
    {"ociVersion":"1.0.2-dev","root":{"path":"rootfs"},"process":{"args":["sh"],"cwd":"/","env":[]},
     "linux":{"namespaces":[{"type":"mount"},{"type":"pid"},{"type":"uts"},{"type":"ipc"},{"type":"network"}]}}
    """

  /// One of everything.
  static let full = """
    {"ociVersion":"1.3.0","hostname":"box","domainname":"example.org","annotations":{"a.b":"c","d":""},
     "root":{"path":"/bundle/root","readonly":true},
     "mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid","ro"]},
               {"destination":"/data","source":"/srv","options":["rbind"],
                "uidMappings":[{"containerID":0,"hostID":5,"size":2}],
                "gidMappings":[{"containerID":0,"hostID":6,"size":3}]}],
     "process":{"terminal":true,"consoleSize":{"height":25,"width":80},
       "user":{"uid":1,"gid":2,"umask":18,"additionalGids":[3,4]},
       "args":["/bin/sh","-c","é"],"env":["A=1","B==","C="],"cwd":"/tmp",
       "capabilities":{"bounding":["CAP_CHOWN","CAP_BPF"],"effective":["CAP_CHOWN"],"permitted":["CAP_CHOWN"],
                       "inheritable":["CAP_KILL"],"ambient":["CAP_KILL"]},
       "rlimits":[{"type":"RLIMIT_NOFILE","soft":10,"hard":18446744073709551615},{"type":"RLIMIT_CORE","soft":0,"hard":0}],
       "noNewPrivileges":true,"apparmorProfile":"docker-default","selinuxLabel":"system_u:system_r:container_t:s0",
       "oomScoreAdj":-500,"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":4},
       "scheduler":{"policy":"SCHED_DEADLINE","runtime":1,"deadline":2,"period":3,
                    "flags":["SCHED_FLAG_RESET_ON_FORK","SCHED_FLAG_RECLAIM"]},
       "execCPUAffinity":{"initial":"0-1","final":"7"}},
     "hooks":{"prestart":[{"path":"/h","args":["h","x"],"env":["K=V"],"timeout":5}],"createRuntime":[{"path":"/a"}],
       "createContainer":[{"path":"/b"}],"startContainer":[{"path":"/c"}],"poststart":[{"path":"/d"}],
       "poststop":[{"path":"/e"}]},
     "linux":{
       "namespaces":[{"type":"pid","path":"/proc/1/ns/pid"},{"type":"network"},{"type":"mount"},{"type":"ipc","path":""},
         {"type":"uts"},{"type":"user"},{"type":"cgroup"},{"type":"time"}],
       "uidMappings":[{"containerID":0,"hostID":1000,"size":10}],"gidMappings":[{"containerID":0,"hostID":2000,"size":10}],
       "timeOffsets":{"monotonic":{"secs":-5,"nanosecs":999999999},"boottime":{"secs":7}},
       "devices":[{"path":"/dev/fuse","type":"c","major":10,"minor":229,"fileMode":8630,"uid":1,"gid":2},
         {"path":"/dev/pipe","type":"p"},{"path":"/dev/sda","type":"b","major":8,"minor":0}],
       "cgroupsPath":"/a/b","rootfsPropagation":"rslave",
       "resources":{
         "devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":-1,"access":"rw"}],
         "memory":{"limit":1,"reservation":2,"swap":-1,"kernel":3,"kernelTCP":4,"swappiness":60,"disableOOMKiller":true,
           "useHierarchy":true,"checkBeforeUpdate":true},
         "cpu":{"shares":1,"quota":-1,"burst":2,"period":3,"realtimeRuntime":4,"realtimePeriod":5,"cpus":"0-3","mems":"0",
           "idle":1},
         "pids":{"limit":100},
         "blockIO":{"weight":10,"leafWeight":1000,
           "weightDevice":[{"major":8,"minor":0,"weight":500}],"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":600}],
           "throttleWriteBpsDevice":[{"major":8,"minor":1,"rate":601}],
           "throttleReadIOPSDevice":[{"major":8,"minor":2,"rate":602}],
           "throttleWriteIOPSDevice":[{"major":8,"minor":3,"rate":603}]},
         "hugepageLimits":[{"pageSize":"2MB","limit":9}],
         "network":{"classID":7,"priorities":[{"name":"eth0","priority":8}]},
         "rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":4}},
         "unified":{"memory.high":"1000","io.max":"8:0 rbps=1"}},
       "sysctl":{"net.ipv4.ip_forward":"1","kernel.shmmax":"2","fs/mqueue/msg_max":"3","net/ipv4/conf/eth0.1/forwarding":"4"},
       "maskedPaths":["/proc/kcore"],"readonlyPaths":["/proc/sys"],"mountLabel":"label",
       "intelRdt":{"closID":"guaranteed","schemata":["L3:0=f"],"l3CacheSchema":"L3:0=7f0","memBwSchema":"MB:0=20",
         "enableMonitoring":true},
       "personality":{"domain":"LINUX32"},"netDevices":{"eth1":{"name":"lan0"},"eth2":{}},
       "memoryPolicy":{"mode":"MPOL_BIND","nodes":"0-1","flags":["MPOL_F_STATIC_NODES"]},
       "seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"],
         "flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/run/agent","listenerMetadata":"m",
         "syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
           {"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"},
           {"names":["clone"],"action":"SCMP_ACT_TRACE","errnoRet":40000,
            "args":[{"index":5,"value":18446744073709551615,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]}]}}}
    """

  static func json(_ text: String) throws -> JSON { try JSON.parse(Array(text.utf8)) }

  /// `text` with the value at `path` ("process.rlimits[0].type") put in place of what is there; nil removes it.
  static func patched(_ text: String, _ path: String, _ value: String?) throws -> JSON {
    let replacement = try value.map { try json($0) }
    let steps = path.replacing("[", with: ".[").split(separator: ".").map(String.init)
    return try #require(patch(json(text), steps[...], replacement))
  }

  private static func patch(_ json: JSON, _ steps: ArraySlice<String>, _ value: JSON?) -> JSON? {
    guard let step = steps.first else { return value }
    let rest = steps.dropFirst()
    if step.hasPrefix("["), let index = Int(step.dropFirst().dropLast()), case .array(var elements) = json {
      if index == elements.count { elements.append(.null) }
      if let element = patch(elements[index], rest, value) {
        elements[index] = element
      } else {
        elements.remove(at: index)
      }
      return .array(elements)
    }
    var members: [JSON.Member] = []
    if case .object(let existing) = json { members = existing }
    let old = members.last { $0.name == step }?.value ?? .object([])
    let new = patch(old, rest, value)
    if let index = members.firstIndex(where: { $0.name == step }) {
      if let new { members[index].value = new } else { members.remove(at: index) }
    } else if let new {
      members.append(.init(step, new))
    }
    return .object(members)
  }
}
