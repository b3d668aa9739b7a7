import CContainer
import CLinux
import Foundation
import OCI
import Testing

@testable import Container

/// The plan carried out by a real child that executes /bin/sh.
@Suite(.serialized) struct ProcessPlanTests {
  static func shell(_ script: String) -> OCI.Process {
    var process = OCI.Process()
    process.args = ["sh", "-c", script].map { Array($0.utf8) }
    process.env = [Array("PATH=/usr/bin:/bin".utf8)]
    process.capabilities = OCI.Process.Capabilities(all: DockerDefaults.capabilities)
    return process
  }

  /// All of the child's steps, as the engine takes them.
  static func run(
    _ process: OCI.Process, linux: Linux = Linux(), keyring: Bool = false, preserved: Int32 = 0, cache: String? = nil,
    before: () -> Void = {}
  ) -> ChildOutcome {
    inChild {
      before()
      let proc = open("/proc", O_PATH | O_CLOEXEC)
      let plan = try ProcessPlan.prepare(
        process: process, linux: linux, newKeyring: keyring, preservedDescriptors: preserved, cache: cache,
        inUserNamespace: false)
      return try carryOut(plan, proc)
    }
  }

  private static func carryOut(_ plan: borrowing ProcessPlan, _ proc: Int32) throws -> String {
    try plan.applyInitialAffinity()
    try plan.applyEarly(proc: proc)
    try plan.apply()
    try plan.resolveExecutable()
    _ = try plan.installSeccomp()
    try plan.execute()
  }

  private func field(_ name: String, _ text: String) -> String? {
    text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
      .map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) }
  }

  @Test func rootGetsExactlyTheCapabilitiesAsked() {
    let process = Self.shell("cat /proc/self/status")
    let outcome = Self.run(process)
    let expected = String(format: "%016x", DockerDefaults.capabilities)
    #expect(field("CapBnd", outcome.text) == expected)
    #expect(field("CapPrm", outcome.text) == expected)
    #expect(field("CapEff", outcome.text) == expected)
    #expect(field("CapInh", outcome.text) == "0000000000000000")
    #expect(field("NoNewPrivs", outcome.text) == "0")
    #expect(field("Groups", outcome.text) == "")
  }

  @Test func noCapabilitiesWhenTheConfigurationHasNone() {
    var process = Self.shell("cat /proc/self/status")
    process.capabilities = nil
    process.noNewPrivileges = true
    let outcome = Self.run(process)
    for set in ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"] {
      #expect(field(set, outcome.text) == "0000000000000000")
    }
    #expect(field("NoNewPrivs", outcome.text) == "1")
  }

  @Test func ambientCapabilitiesSurviveForAnotherUser() {
    var process = Self.shell("cat /proc/self/status; id; umask")
    let raw: UInt64 = 1 << UInt64(CAP_NET_RAW)
    process.capabilities?.inheritable = raw
    process.capabilities?.ambient = raw
    process.user.uid = 1234
    process.user.gid = 2345
    process.user.additionalGids = [7, 4_000_000_000]
    process.user.umask = 0o027
    let outcome = Self.run(process)
    #expect(field("CapEff", outcome.text) == String(format: "%016x", raw))
    #expect(field("CapAmb", outcome.text) == String(format: "%016x", raw))
    #expect(field("CapBnd", outcome.text) == String(format: "%016x", DockerDefaults.capabilities))
    #expect(outcome.text.contains("uid=1234 gid=2345 groups=2345,7(lp),4000000000"))
    #expect(outcome.text.contains("0027"))
  }

  @Test func whatCannotBeGrantedIsAWarning() throws {
    var sets = OCI.Process.Capabilities(all: 1 << 63 | 1)
    sets.ambient = 1
    sets.effective |= 2
    var warnings: [String] = []
    let plan = try CapabilityPlan(sets, inUserNamespace: true, warnings: &warnings)
    #expect(plan.sets.bounding == 1 && plan.sets.effective == 1 && plan.sets.ambient == 0)
    #expect(
      warnings == [
        "process.capabilities: ignoring what this kernel does not know capability 63",
        "process.capabilities: ignoring what effective without being permitted: CAP_DAC_OVERRIDE",
        "process.capabilities: ignoring what ambient without being permitted and inheritable: CAP_CHOWN",
      ])
  }

  @Test func limitsScoreAndPriorities() {
    var process = Self.shell("ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj; nice; ulimit -c")
    process.rlimits = [
      .init(resource: Int32(RLIMIT_NOFILE.rawValue), name: "RLIMIT_NOFILE", soft: 77, hard: 88),
      .init(resource: Int32(RLIMIT_CORE.rawValue), name: "RLIMIT_CORE", soft: 0, hard: 0),
    ]
    process.oomScoreAdj = 123
    var scheduler = OCI.Process.Scheduler(policy: 3)  // SCHED_BATCH
    scheduler.nice = 5
    process.scheduler = scheduler
    process.ioPriority = .init(ioClass: 3, priority: 0)
    #expect(Self.run(process).text == "77\n88\n123\n5\n0\n")
  }

  @Test func aLimitThatCannotBeRaisedIsExplained() {
    var process = Self.shell("true")
    process.rlimits = [.init(resource: Int32(RLIMIT_NOFILE.rawValue), name: "RLIMIT_NOFILE", soft: 100, hard: 200)]
    let outcome = Self.run(process) {
      // The child's own hard limit is lower, and without the capability it stays so.
      _ = ccontainer_prlimit(0, Int32(RLIMIT_NOFILE.rawValue), 50, 50)
      var sets = ccontainer_capabilities()
      _ = ccontainer_capget(&sets)
      sets.effective &= ~(1 << UInt64(CAP_SYS_RESOURCE))
      sets.permitted &= ~(1 << UInt64(CAP_SYS_RESOURCE))
      _ = ccontainer_capset(sets)
    }
    #expect(
      outcome.text
        == "error: process.rlimits: RLIMIT_NOFILE soft 100 hard 200: Operation not permitted: the hard limit is 50 now, and "
        + "raising it needs CAP_SYS_RESOURCE, which vmrun does not have")
  }

  @Test func personalityAffinityAndMemoryPolicy() {
    var process = Self.shell(
      "uname -m; grep Cpus_allowed_list /proc/self/status; head -1 /proc/self/numa_maps | cut -d' ' -f2")
    process.execCPUAffinity = .init(initial: nil, final: "0")
    var linux = Linux()
    linux.personality = .linux32
    linux.memoryPolicy = .init(mode: Int32(MPOL_BIND), nodes: "0", flags: 0)
    let outcome = Self.run(process, linux: linux)
    #expect(outcome.text.hasPrefix("i686\nCpus_allowed_list:\t0\n"))
    if access("/proc/self/numa_maps", R_OK) == 0 { #expect(outcome.text.hasSuffix("bind:0\n")) }
  }

  @Test func signalsAreAsAfterLogin() {
    let outcome = Self.run(Self.shell("cat /proc/self/status")) {
      for number: Int32 in [SIGINT, SIGPIPE, 34, 64] { signal(number, SIG_IGN) }
      var set = sigset_t()
      sigfillset(&set)
      sigprocmask(SIG_BLOCK, &set, nil)
    }
    for mask in ["SigBlk", "SigIgn", "SigCgt"] { #expect(field(mask, outcome.text) == "0000000000000000") }
  }

  @Test func onlyPreservedDescriptorsReachTheProgram() throws {
    let scratch = ProcessScratch()
    let place = scratch.file("data", "content")
    // The leaked ones are those that an engine left open; the listing's own descriptor is among what it shows.
    let outcome = Self.run(Self.shell("ls /proc/self/fd | tr '\\n' ' '; cat <&3"), preserved: 1) {
      let file = open(place, O_RDONLY)
      dup2(file, 3)
      for leaked: Int32 in [10, 57, 300] { dup2(file, leaked) }
    }
    #expect(outcome.text == "0 1 2 3 4 content")
    let missing = Self.run(Self.shell("true"), preserved: 2) { ccontainer_close_range(3, .max) }
    #expect(missing.text == "error: descriptor 3 is to be preserved (2 from 3 on), but vmrun was not given it")
  }

  @Test func environmentAndHome() {
    var process = Self.shell("echo $HOME $A $B")
    process.env += ["A=1", "B=2", "A=3", "HOME="].map { Array($0.utf8) }
    #expect(Self.run(process).text == "/root 3 2\n")
    process.user.uid = 54321
    #expect(Self.run(process).text == "/ 3 2\n")
    process.env.append(Array("HOME=/x".utf8))
    #expect(Self.run(process).text == "/x 3 2\n")
  }

  @Test func workingDirectoryIsMadeAndMustLieInside() {
    let scratch = ProcessScratch()
    var process = Self.shell("pwd; stat -c %a .")
    process.cwd = "\(scratch.path)//new/deep/"
    process.user.umask = 0o077
    #expect(Self.run(process).text == "\(scratch.path)/new/deep\n755\n")
    process.cwd = scratch.file("file", "")
    #expect(Self.run(process).text == "error: process.cwd: chdir to '\(process.cwd)': Not a directory")
  }

  /// CVE-2024-21626: a descriptor of the host's that is reached through the container's /proc.
  @Test func workingDirectoryOutsideTheRootIsRefused() {
    let scratch = ProcessScratch()
    mkdir("\(scratch.path)/proc", 0o755)
    symlink("/proc/self/fd/9", "\(scratch.path)/link")
    let inside = { () -> Void in
      unshare(CLONE_NEWNS)
      mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil)
      mount("/proc", "\(scratch.path)/proc", nil, UInt(MS_BIND), nil)
      dup2(open("/etc", O_RDONLY | O_DIRECTORY), 9)
      chroot(scratch.path)
    }
    for path in ["/proc/self/fd/9", "/proc/self/fd/9/../root", "/link", "/proc/self/fd/9/newly-made"] {
      let outcome = inChild {
        inside()
        guard try WorkingDirectory(path).enter() else { return "not allowed" }
        return "entered"
      }
      #expect(outcome.text.hasPrefix("error: process.cwd: "), "\(path): \(outcome.text)")
    }
    #expect(access("/etc/newly-made", F_OK) != 0)
    // Where a path is no magic link, but the caller is outside already.
    let outcome = inChild {
      inside()
      fchdir(9)
      guard try WorkingDirectory(".").enter() else { return "not allowed" }
      return "entered"
    }
    #expect(outcome.text == "error: process.cwd: '.' leads out of the container's root")
  }

  @Test func standardStreamsBelongToTheUser() {
    var process = Self.shell("echo again > /dev/stdout; stat -L -c %u /dev/stdout")
    process.user.uid = 1234
    #expect(Self.run(process).text == "again\n1234\n")
  }

  @Test func sessionKeyringIsNew() {
    let own = inChild { String(ccontainer_prctl(0, 0, 0)) + Self.sessionKeyring() }.text
    let first = inChild { () -> String in
      try Keyring.join()
      return Self.sessionKeyring()
    }.text
    #expect(!first.isEmpty && first != own)
  }

  private static func sessionKeyring() -> String {
    var text = [UInt8](repeating: 0, count: 256)
    // KEY_SPEC_SESSION_KEYRING
    let length = ccontainer_describe_key(-3, &text, 256)
    return length > 0 ? String(decoding: text[..<(length - 1)], as: UTF8.self) : ""
  }

  @Test func labelsOfAbsentModulesAreRefusedByName() throws {
    var process = Self.shell("true")
    if !Labels.hasAppArmor {
      process.apparmorProfile = "docker-default"
      #expect(Self.run(process).text.contains("'docker-default': AppArmor is not enabled on this host"))
      process.apparmorProfile = "unconfined"
      #expect(Self.run(process).text == "")
    }
    if !Labels.hasSELinux {
      process.selinuxLabel = "system_u:system_r:container_t:s0"
      #expect(Self.run(process).text.contains("SELinux is not enabled on this host"))
    }
  }

  @Test func userNamespaceTellsWhatIsNotMapped() throws {
    let outcome = inChild { () -> String in
      unshare(CLONE_NEWUSER)
      for (file, text) in [("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")] {
        try HostProcFile.write(text, to: "self/\(file)", proc: open("/proc", O_PATH))
      }
      var user = OCI.Process.User()
      // Without groups to set, that they cannot be set is nothing.
      try UserChange(user, inUserNamespace: true).change()
      var lines = ""
      user.additionalGids = [5]
      do { try UserChange(user, inUserNamespace: true).change() } catch { lines += "\(error)\n" }
      user = OCI.Process.User()
      user.uid = 1000
      do { try UserChange(user, inUserNamespace: true).change() } catch { lines += "\(error)\n" }
      return lines
    }
    #expect(
      outcome.text == """
        process.user.additionalGids: the container's user namespace denies setgroups(2), as it does without privilege
        process.user.uid: 1000 is not mapped in the container's user namespace

        """)
  }
}

extension ProcessPlanTests {
  /// Root serves the process in a user namespace from outside; there it could do nothing of this itself.
  @Test func limitsOfAProcessInAUserNamespaceComeFromOutside() throws {
    var process = Self.shell("true")
    process.rlimits = [.init(resource: Int32(RLIMIT_NOFILE.rawValue), name: "RLIMIT_NOFILE", soft: 33, hard: 44)]
    process.oomScoreAdj = 55
    var scheduler = OCI.Process.Scheduler(policy: 0)
    scheduler.nice = -3
    process.scheduler = scheduler
    let plan = try ProcessPlan.prepare(
      process: process, linux: Linux(), newKeyring: false, cache: nil, inUserNamespace: true)
    let needsOutside = plan.needsOutside
    #expect(needsOutside)
    var ready: [Int32] = [-1, -1]
    pipe(&ready)
    var pidfd: Int32 = -1
    let pid = ccontainer_clone(UInt64(ccontainer_newuser), -1, &pidfd)
    if pid == 0 {
      ccontainer_set_dumpable(0)
      var byte: UInt8 = 1
      write(ready[1], &byte, 1)
      while true { pause() }
    }
    var byte: UInt8 = 0
    read(ready[0], &byte, 1)
    defer {
      for descriptor in ready + [pidfd] { close(descriptor) }
      kill(pid, SIGKILL)
      var status: Int32 = 0
      _ = ccontainer_wait(pid, 0, &status)
    }
    let proc = open("/proc", O_PATH | O_CLOEXEC)
    defer { close(proc) }
    try plan.applyFromOutside(pid: pid, proc: proc)
    #expect(try String(contentsOfFile: "/proc/\(pid)/oom_score_adj", encoding: .utf8) == "55\n")
    #expect(
      try String(contentsOfFile: "/proc/\(pid)/limits", encoding: .utf8).contains(
        "Max open files            33                   44"))
    #expect(getpriority(PRIO_PROCESS, UInt32(pid)) == -3)
  }

  /// The same as an unprivileged user, who has nothing to serve from outside with.
  @Test func anUnprivilegedLauncherGivesItsScore() {
    var process = Self.shell("true")
    process.oomScoreAdj = 321
    process.rlimits = [.init(resource: Int32(RLIMIT_NOFILE.rawValue), name: "RLIMIT_NOFILE", soft: 33, hard: 44)]
    let outcome = inChild { () -> String in
      setgroups(0, nil)
      setresgid(1234, 1234, 1234)
      setresuid(1234, 1234, 1234)
      // The program's start makes a process its user's own again.
      ccontainer_set_dumpable(1)
      let plan = try ProcessPlan.prepare(
        process: process, linux: Linux(), newKeyring: false, cache: nil, inUserNamespace: true)
      let needsOutside = plan.needsOutside
      return try "\(needsOutside) " + String(contentsOfFile: "/proc/self/oom_score_adj", encoding: .utf8)
    }
    #expect(outcome.text == "false 321\n")
  }
}
