import CContainer

/// The names that a configuration gives to the kernel's numbers.
enum KernelNames {
  /// RLIMIT_ of setrlimit(2).
  static let resourceLimits = Names<Int32>(
    what: "resource limit",
    entries: [
      ("RLIMIT_NOFILE", Int32(ccontainer_rlimit_nofile)), ("RLIMIT_NPROC", Int32(ccontainer_rlimit_nproc)),
      ("RLIMIT_CORE", Int32(ccontainer_rlimit_core)), ("RLIMIT_AS", Int32(ccontainer_rlimit_as)),
      ("RLIMIT_CPU", Int32(ccontainer_rlimit_cpu)), ("RLIMIT_DATA", Int32(ccontainer_rlimit_data)),
      ("RLIMIT_FSIZE", Int32(ccontainer_rlimit_fsize)), ("RLIMIT_LOCKS", Int32(ccontainer_rlimit_locks)),
      ("RLIMIT_MEMLOCK", Int32(ccontainer_rlimit_memlock)), ("RLIMIT_MSGQUEUE", Int32(ccontainer_rlimit_msgqueue)),
      ("RLIMIT_NICE", Int32(ccontainer_rlimit_nice)), ("RLIMIT_RSS", Int32(ccontainer_rlimit_rss)),
      ("RLIMIT_RTPRIO", Int32(ccontainer_rlimit_rtprio)), ("RLIMIT_RTTIME", Int32(ccontainer_rlimit_rttime)),
      ("RLIMIT_SIGPENDING", Int32(ccontainer_rlimit_sigpending)), ("RLIMIT_STACK", Int32(ccontainer_rlimit_stack)),
    ])

  /// IOPRIO_CLASS_ of ioprio_set(2).
  static let ioPriorityClasses = Names<UInt8>(
    what: "I/O priority class",
    entries: [
      ("IOPRIO_CLASS_RT", UInt8(ccontainer_ioprio_rt)), ("IOPRIO_CLASS_BE", UInt8(ccontainer_ioprio_be)),
      ("IOPRIO_CLASS_IDLE", UInt8(ccontainer_ioprio_idle)),
    ])

  /// SCHED_ of sched(7).
  static let schedulingPolicies = Names<UInt32>(
    what: "scheduling policy",
    entries: [
      ("SCHED_OTHER", UInt32(ccontainer_sched_other)), ("SCHED_FIFO", UInt32(ccontainer_sched_fifo)),
      ("SCHED_RR", UInt32(ccontainer_sched_rr)), ("SCHED_BATCH", UInt32(ccontainer_sched_batch)),
      ("SCHED_ISO", UInt32(ccontainer_sched_iso)), ("SCHED_IDLE", UInt32(ccontainer_sched_idle)),
      ("SCHED_DEADLINE", UInt32(ccontainer_sched_deadline)),
    ])

  /// SCHED_FLAG_ of sched_setattr(2).
  static let schedulingFlags = Names<UInt64>(
    what: "scheduling flag",
    entries: [
      ("SCHED_FLAG_RESET_ON_FORK", UInt64(ccontainer_sched_flag_reset_on_fork)),
      ("SCHED_FLAG_RECLAIM", UInt64(ccontainer_sched_flag_reclaim)),
      ("SCHED_FLAG_DL_OVERRUN", UInt64(ccontainer_sched_flag_dl_overrun)),
      ("SCHED_FLAG_KEEP_POLICY", UInt64(ccontainer_sched_flag_keep_policy)),
      ("SCHED_FLAG_KEEP_PARAMS", UInt64(ccontainer_sched_flag_keep_params)),
      ("SCHED_FLAG_UTIL_CLAMP_MIN", UInt64(ccontainer_sched_flag_util_clamp_min)),
      ("SCHED_FLAG_UTIL_CLAMP_MAX", UInt64(ccontainer_sched_flag_util_clamp_max)),
    ])

  /// MPOL_ of set_mempolicy(2).
  static let memoryPolicyModes = Names<Int32>(
    what: "memory policy",
    entries: [
      ("MPOL_DEFAULT", Int32(ccontainer_mpol_default)), ("MPOL_PREFERRED", Int32(ccontainer_mpol_preferred)),
      ("MPOL_BIND", Int32(ccontainer_mpol_bind)), ("MPOL_INTERLEAVE", Int32(ccontainer_mpol_interleave)),
      ("MPOL_LOCAL", Int32(ccontainer_mpol_local)),
      ("MPOL_PREFERRED_MANY", Int32(ccontainer_mpol_preferred_many)),
      ("MPOL_WEIGHTED_INTERLEAVE", Int32(ccontainer_mpol_weighted_interleave)),
    ])

  /// MPOL_F_ of set_mempolicy(2).
  static let memoryPolicyFlags = Names<UInt32>(
    what: "memory policy flag",
    entries: [
      ("MPOL_F_STATIC_NODES", UInt32(ccontainer_mpol_static_nodes)),
      ("MPOL_F_RELATIVE_NODES", UInt32(ccontainer_mpol_relative_nodes)),
      ("MPOL_F_NUMA_BALANCING", UInt32(ccontainer_mpol_numa_balancing)),
    ])

  static let personalities = Names<Linux.Personality>(
    what: "execution domain", entries: [("LINUX", .linux), ("LINUX32", .linux32)])

  /// With and without the "r" of mount(8)'s recursive forms, which engines send.
  static let propagations = Names<Linux.Propagation>(
    what: "mount propagation",
    entries: [
      ("private", .private), ("slave", .slave), ("shared", .shared), ("unbindable", .unbindable),
      ("rprivate", .private), ("rslave", .slave), ("rshared", .shared), ("runbindable", .unbindable),
    ])

  static let seccompActions = Names<Seccomp.Action>(
    what: "seccomp action",
    entries: [
      ("SCMP_ACT_ALLOW", .allow), ("SCMP_ACT_ERRNO", .errno), ("SCMP_ACT_KILL", .killThread),
      ("SCMP_ACT_KILL_PROCESS", .killProcess), ("SCMP_ACT_KILL_THREAD", .killThread), ("SCMP_ACT_LOG", .log),
      ("SCMP_ACT_NOTIFY", .notify), ("SCMP_ACT_TRACE", .trace), ("SCMP_ACT_TRAP", .trap),
    ])

  static let seccompOperators = Names<Seccomp.Comparison>(
    what: "seccomp operator",
    entries: [
      ("SCMP_CMP_EQ", .equal), ("SCMP_CMP_GE", .greaterOrEqual), ("SCMP_CMP_GT", .greater),
      ("SCMP_CMP_LE", .lessOrEqual), ("SCMP_CMP_LT", .less), ("SCMP_CMP_MASKED_EQ", .maskedEqual),
      ("SCMP_CMP_NE", .notEqual),
    ])

  /// Those of libseccomp 2.5.
  static let seccompArchitectures = Names<Void>(
    what: "seccomp architecture",
    entries: [
      "AARCH64", "ARM", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PARISC", "PARISC64",
      "PPC", "PPC64", "PPC64LE", "RISCV64", "S390", "S390X", "X32", "X86", "X86_64",
    ].map { ("SCMP_ARCH_\($0)", ()) })

  static let seccompFlags = Names<Void>(
    what: "seccomp flag",
    entries: ["LOG", "SPEC_ALLOW", "TSYNC", "WAIT_KILLABLE_RECV"].map { ("SECCOMP_FILTER_FLAG_\($0)", ()) })
}

/// Capabilities by name (capabilities(7)); their numbers are the positions in the list, as linux/capability.h has them.
public enum CapabilityName {
  /// All that vmrun knows, in the order of their numbers.
  public static let all = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
  ]

  /// The number of `name`, with or without "CAP_" and in any case, or nil.
  public static func number(of name: String) -> Int? {
    if let index = all.firstIndex(of: name) { return index }
    var upper = String(decoding: name.utf8.map { $0 >= 0x61 && $0 <= 0x7A ? $0 - 0x20 : $0 }, as: UTF8.self)
    if !upper.utf8.starts(with: "CAP_".utf8) { upper = "CAP_" + upper }
    return all.firstIndex(of: upper)
  }

  /// The set of `names`, each of which must be known.
  public static func mask(_ names: [String]) -> UInt64 {
    var mask: UInt64 = 0
    for name in names { if let number = number(of: name) { mask |= 1 << UInt64(number) } }
    return mask
  }

  /// The names of a set's members, by number.
  public static func names(of mask: UInt64) -> [String] {
    all.indices.filter { mask & (1 << UInt64($0)) != 0 }.map { all[$0] }
  }
}
