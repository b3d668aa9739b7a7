import CContainer
import Foundation
import Report
import Testing

@testable import Isolation

@Suite struct CallOutcomeTests {
  /// Filter, its errno, state, value, and the class that follows.
  static let table: [(UInt8, Int32, UInt8, Int64, CallClass, String)] = [
    (1, 0, 2, -38, .missing, "ENOSYS"), (1, 0, 2, -1, .denied, "EPERM"), (1, 0, 2, -14, .reached, "EFAULT"),
    (1, 0, 2, -13, .reached, "EACCES"), (1, 0, 2, 0, .reached, "success"), (1, 0, 2, 1 << 40, .reached, "success"),
    (1, 0, 3, 0, .reached, "waits"), (1, 0, 4, 0, .reached, "ends the process"), (1, 0, 5, 11, .reached, "signal 11"),
    (1, 0, 6, 0, .reached, "permitted by the filters; not run"), (2, 1, 0, 0, .filtered, "a filter answers EPERM"),
    (2, 38, 0, 0, .filtered, "a filter answers ENOSYS"), (2, 0, 0, 0, .filtered, "a filter answers success"),
    (3, 0, 0, 0, .filtered, "a filter kills"), (0, 0, 5, 31, .filtered, "signal 31"),
    (1, 0, 0, 0, .untried, "not tried"),
    (1, 0, 1, 0, .untried, "not tried"), (1, 0, 2, -133, .reached, "error 133"),
  ]

  @Test(arguments: table.indices) func classes(_ index: Int) {
    let (filter, errno, state, value, expected, detail) = Self.table[index]
    let call = CallOutcome(number: 1, .init(filter: filter, filterErrno: errno, state: state, value: value))
    #expect(call.callClass == expected)
    #expect(call.detail == detail)
  }

  @Test func textThereAndBack() throws {
    let call = CallOutcome(number: 435, .init(filter: 2, filterErrno: 38, state: 0, value: -5))
    #expect(try CallOutcome(call.text) == call)
  }

  @Test(arguments: [
    "", "1 2 3 4", "1 2 3 4 5 6", "-1 1 0 2 0", "5000 1 0 2 0", "1 4 0 2 0", "1 1 4096 2 0", "1 1 0 7 0", "1 1 0 2 x",
    "1 1 0 2 99999999999999999999", "99999999999999999999999 1 0 2 0", "1 1 0 2 --1",
  ]) func hostileCalls(_ text: String) {
    #expect(throws: IsolationError.self) { try CallOutcome(text) }
  }

  @Test func tablesMustBeWhole() throws {
    var findings = Findings()
    for number in 0..<6 { findings.add("call", "\(number) 1 0 2 0") }
    #expect(try CallTable(findings, count: 4).calls.count == 4)
    #expect(try CallTable(findings, count: 4).extra.count == 2)
    // One too few, and one twice.
    #expect(throws: IsolationError.self) { try CallTable(findings, count: 5) }
    findings.add("call", "5 1 0 2 0")
    #expect(throws: IsolationError.self) { try CallTable(findings, count: 5) }
  }

  @Test func namesOfCalls() {
    #expect(CallName.of(0) == "read")
    #expect(CallName.of(165) == "mount")
    #expect(CallName.of(1015) == "call 1015")
    #expect(CallName.of(.max) == "call 4294967295")
  }
}

extension [CallOutcome] {
  /// By the number as the C library names it.
  subscript(_ number: Int32) -> CallOutcome { self[Int(number)] }
}

/// What would do something when every argument is -1, or must not be run at all.
@Suite struct PlanTests {
  /// Calls that would hit others, stay behind, wait, or end more than the child, with what the plan must say.
  @Test(
    arguments: [
      SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_reboot, SYS_kexec_load,
      SYS_kexec_file_load, SYS_acct, SYS_vhangup, SYS_msgget, SYS_semget, SYS_shmget, SYS_sync, SYS_fork, SYS_vfork,
      SYS_clone, SYS_clone3, SYS_exit, SYS_exit_group, SYS_pause, SYS_rt_sigreturn, SYS_settimeofday, SYS_adjtimex,
      SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_swapon, SYS_swapoff, SYS_sethostname, SYS_setdomainname,
      SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_ptrace, SYS_wait4, SYS_waitid, SYS_setpriority,
      SYS_iopl,
      SYS_ioperm, SYS_syslog, SYS_quotactl, SYS_alarm,
    ].map { Int32($0) }) func dangerousCallsHaveAPlan(_ number: Int32)
  {
    let plan = unsafe cisolation_plan_for(number)
    #expect(plan.number == number)
    #expect(unsafe plan.reason != nil, "\(CallName.of(UInt32(number)))")
  }

  private func arguments(_ number: Int32) -> [Int] {
    let plan = unsafe cisolation_plan_for(number)
    let a = plan.arguments
    return [a.0, a.1, a.2, a.3, a.4, a.5]
  }

  @Test func theFormsAreSafe() {
    // kill and its like: never everybody, and only the signal that is none.
    #expect(arguments(SYS_kill)[0] > 1 << 22 && arguments(SYS_kill)[1] == 0)
    #expect(arguments(SYS_tkill)[0] > 1 << 22 && arguments(SYS_tkill)[1] == 0)
    #expect(arguments(SYS_tgkill)[0] > 1 << 22 && arguments(SYS_tgkill)[2] == 0)
    // reboot: neither of the magic numbers (reboot(2)).
    #expect(arguments(SYS_reboot)[0] != 0xFEE1_DEAD && arguments(SYS_reboot)[1] == 0)
    // acct: NULL would switch accounting off.
    #expect(arguments(SYS_acct)[0] == -1)
    // Nothing of SysV is made: no IPC_CREAT (0o1000).
    for call in [SYS_msgget, SYS_semget, SYS_shmget] {
      let given = arguments(call)
      #expect(given[call == SYS_msgget ? 1 : 2] & 0o1000 == 0)
      #expect(given[0] != 0)
    }
    // No time is set.
    #expect(arguments(SYS_settimeofday)[0] == 0 && arguments(SYS_settimeofday)[1] == 0)
    #expect(unsafe cisolation_plan_for(Int32(SYS_sync)).how == Int32(cisolation_assumed.rawValue))
    for call in [SYS_fork, SYS_vfork, SYS_clone] {
      #expect(unsafe cisolation_plan_for(Int32(call)).how == Int32(cisolation_forks.rawValue))
    }
  }

  @Test func everythingElseHasOnlyMinusOne() {
    for number in 0..<Int32(cisolation_most_calls) {
      let plan = unsafe cisolation_plan_for(number)
      if unsafe plan.reason == nil {
        #expect(arguments(number).allSatisfy { $0 == -1 })
        #expect(plan.how == Int32(cisolation_plain.rawValue))
      }
    }
  }
}

/// The sweep on this machine's own kernel.
@Suite(.serialized) struct SweepTests {
  static func sweep(_ count: UInt32) -> [CallOutcome] {
    var outcomes = [cisolation_outcome](
      repeating: cisolation_outcome(), count: Int(count) + Int(cisolation_extra_calls))
    let errno = unsafe outcomes.withUnsafeMutableBufferPointer {
      unsafe cisolation_sweep(count, true, 500, 30_000, $0.baseAddress)
    }
    #expect(errno == 0)
    return outcomes.enumerated().map { CallOutcome(number: UInt32($0.offset), $0.element) }
  }

  @Test func knownFactsOfThisKernel() {
    let calls = Self.sweep(512)
    #expect(calls.count == 514)
    for number in [
      SYS_getpid, SYS_read, SYS_openat, SYS_fork, SYS_clone, SYS_exit_group, SYS_pause, SYS_sync, SYS_kill,
    ] {
      #expect(calls[number].callClass == .reached, "\(CallName.of(UInt32(number))): \(calls[number].detail)")
    }
    #expect(calls[SYS_read].detail == "EBADF")
    #expect(calls[SYS_pause].detail == "waits")
    #expect(calls[SYS_exit].detail == "ends the process")
    #expect(calls[SYS_kill].detail == "ESRCH")
    // Numbers that x86-64 will not give: between the old and the new range.
    #expect(calls[400 as Int32].callClass == .missing)
    #expect(calls[511 as Int32].callClass == .missing)
    // Whoever made no filter has none.
    #expect(calls.allSatisfy { $0.outcome.filter <= 1 })
  }

  @Test func nothingStaysBehind() throws {
    let before = try String(contentsOfFile: "/proc/sysvipc/msg", encoding: .utf8)
    let name = ProcessInfo.processInfo.hostName
    _ = Self.sweep(512)
    #expect(try String(contentsOfFile: "/proc/sysvipc/msg", encoding: .utf8) == before)
    #expect(ProcessInfo.processInfo.hostName == name)
  }

  /// A child installs a filter that answers, one that hides and one that kills, and sweeps: each is told from the call's own answer.
  @Test func filtersAreTold() throws {
    let report = try #require(SharedReport())
    let child = unsafe report.fork { outcomes in
      guard cisolation_install_test_filter(Int32(SYS_mount), Int32(SYS_mkdir), Int32(SYS_umount2)) == 0 else { return }
      _ = unsafe cisolation_sweep(256, false, 500, 20_000, outcomes)
    }
    #expect(child == 0)
    let calls = report.calls(256)
    #expect(calls[SYS_mount].callClass == .filtered)
    #expect(calls[SYS_mount].detail == "a filter answers EPERM")
    // ENOSYS of a filter is no missing call.
    #expect(calls[SYS_mkdir].callClass == .filtered)
    #expect(calls[SYS_mkdir].detail == "a filter answers ENOSYS")
    #expect(calls[SYS_umount2].detail == "a filter kills")
    // Behind the deadly one the questions went on.
    #expect(calls[200 as Int32].isFilterKnown && calls[SYS_getpid].callClass == .reached)
    #expect(calls.filter { $0.callClass == .filtered }.count == 3)
  }

  /// Without capabilities an EPERM is the call's own, where no filter says it.
  @Test func capabilitiesAreTold() throws {
    try #require(geteuid() == 0, "needs root, to give its capabilities up")
    let report = try #require(SharedReport())
    let child = unsafe report.fork { outcomes in
      guard ccontainer_capset(ccontainer_capabilities(effective: 0, permitted: 0, inheritable: 0)) == 0 else { return }
      _ = unsafe cisolation_sweep(320, false, 500, 20_000, outcomes)
    }
    #expect(child == 0)
    let calls = report.calls(320)
    for number in [
      SYS_mount, SYS_chroot, SYS_settimeofday, SYS_reboot, SYS_sethostname, SYS_swapon, SYS_unshare,
      SYS_setns,
    ] {
      #expect(calls[number].callClass == .denied, "\(CallName.of(UInt32(number))): \(calls[number].detail)")
    }
    #expect(calls[SYS_getpid].callClass == .reached)
    #expect(calls.allSatisfy { $0.callClass != .filtered })
  }
}

/// Outcomes in memory that a forked child writes.
final class SharedReport {
  private let memory: UnsafeMutableRawPointer
  private static let size = 1 << 16

  init?() {
    let memory = unsafe mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    guard let memory = unsafe memory, unsafe memory != MAP_FAILED else { return nil }
    unsafe self.memory = memory
  }

  deinit { unsafe munmap(memory, Self.size) }

  func fork(_ body: (UnsafeMutablePointer<cisolation_outcome>) -> Void) -> Int32 {
    var pidfd: Int32 = -1
    let outcomes = unsafe memory.bindMemory(to: cisolation_outcome.self, capacity: 1026)
    let child = unsafe ccontainer_clone(0, -1, &pidfd)
    if child == 0 {
      unsafe body(outcomes)
      _exit(0)
    }
    var status: Int32 = -1
    unsafe ccontainer_wait(child, 0, &status)
    close(pidfd)
    return status
  }

  func calls(_ count: Int) -> [CallOutcome] {
    let outcomes = unsafe memory.bindMemory(to: cisolation_outcome.self, capacity: 1026)
    return (0..<count).map { unsafe CallOutcome(number: UInt32($0), outcomes[$0]) }
  }
}
