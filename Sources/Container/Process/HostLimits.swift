import CContainer
import CLinux
import OCI
import System

/// What of a process only the host's privilege can raise: resource limits, out-of-memory score, scheduling, I/O priority.
///
/// The kernel asks for these capabilities in its initial user namespace. A process in another one is served from outside.
struct HostLimits {
  private let process: Process

  init(_ process: Process) { self.process = process }

  /// Whether there is anything to do.
  var isNeeded: Bool {
    !process.rlimits.isEmpty || process.oomScoreAdj != nil || process.ioPriority != nil || process.scheduler != nil
  }

  /// Everything but the resource limits. `pid` is 0 for the caller; `proc` is the host's /proc, or nil to leave the score.
  func applyScheduling(pid: Int32, proc: Int32?) throws(ContainerError) {
    if let proc { try setOOMScore(pid: pid, proc: proc) }
    try setScheduler(pid: pid)
    if let priority = process.ioPriority {
      guard ccontainer_ioprio_set(pid, UInt32(priority.ioClass), UInt32(priority.priority)) == 0 else {
        let errno = Errno.current
        let hint = errno == .notPermitted ? "; the real-time class needs CAP_SYS_NICE" : ""
        throw ContainerError(
          .system, "process.ioPriority: class \(Int(priority.ioClass)) level \(Int(priority.priority)): \(errno)\(hint)"
        )
      }
    }
  }

  /// The resource limits of `pid` (0 for the caller).
  func applyResourceLimits(pid: Int32) throws(ContainerError) {
    for limit in process.rlimits {
      if ccontainer_prlimit(pid, limit.resource, limit.soft, limit.hard) == 0 { continue }
      throw refusal(of: limit, pid: pid, .current)
    }
  }

  private func refusal(of limit: Process.ResourceLimit, pid: Int32, _ errno: Errno) -> ContainerError {
    let wanted = "process.rlimits: \(limit.name) soft \(Self.text(limit.soft)) hard \(Self.text(limit.hard))"
    var hard: UInt64 = 0
    // unsafe: prlimit64 fills the one number it is given.
    guard errno == .notPermitted, unsafe ccontainer_hard_limit(pid, limit.resource, &hard) == 0, limit.hard > hard
    else {
      return ContainerError(.system, "\(wanted): \(errno)")
    }
    let raising = "the hard limit is \(Self.text(hard)) now, and raising it"
    if limit.resource == Int32(RLIMIT_NOFILE.rawValue) && Self.hasResourceCapability {
      return ContainerError(.system, "\(wanted): \(errno): \(raising) above sysctl fs.nr_open is not possible")
    }
    return ContainerError(.system, "\(wanted): \(errno): \(raising) needs CAP_SYS_RESOURCE, which vmrun does not have")
  }

  private static var hasResourceCapability: Bool {
    var sets = ccontainer_capabilities()
    // unsafe: capget fills the one struct it is given.
    return unsafe ccontainer_capget(&sets) == 0 && sets.effective & (1 << UInt64(CAP_SYS_RESOURCE)) != 0
  }

  private static func text(_ value: UInt64) -> String { value == .max ? "unlimited" : "\(value)" }

  /// The out-of-memory score of `pid` (0 for the caller).
  func setOOMScore(pid: Int32, proc: Int32) throws(ContainerError) {
    guard let score = process.oomScoreAdj else { return }
    let who = pid == 0 ? "self" : "\(pid)"
    do throws(SystemError) {
      try HostProcFile.write("\(score)", to: "\(who)/oom_score_adj", proc: proc)
    } catch {
      let hint = error.errno == .accessDenied ? ": lowering it needs CAP_SYS_RESOURCE, which vmrun does not have" : ""
      throw ContainerError(.system, "process.oomScoreAdj: \(score): \(error)\(hint)")
    }
  }

  private func setScheduler(pid: Int32) throws(ContainerError) {
    guard let scheduler = process.scheduler else { return }
    var attributes = sched_attr()
    attributes.size = UInt32(MemoryLayout<sched_attr>.size)
    attributes.sched_policy = scheduler.policy
    attributes.sched_flags = scheduler.flags
    attributes.sched_nice = scheduler.nice
    attributes.sched_priority = scheduler.priority
    attributes.sched_runtime = scheduler.runtime
    attributes.sched_deadline = scheduler.deadline
    attributes.sched_period = scheduler.period
    // unsafe: the kernel reads the one struct it is given, whose size it carries.
    guard unsafe ccontainer_sched_setattr(pid, &attributes) == 0 else {
      let errno = Errno.current
      let hint = errno == .notPermitted ? "; it needs CAP_SYS_NICE, and real-time policies time in the cgroup" : ""
      throw ContainerError(.system, "process.scheduler: policy \(scheduler.policy): \(errno)\(hint)")
    }
  }
}
