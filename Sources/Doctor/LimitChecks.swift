import CContainer
import CLinux
import System

/// How much memory may be locked.
enum LimitChecks {
  /// What a locked guest of the default size would want.
  static let wanted: UInt64 = 32 << 20

  static func findings(_ trial: Trial, _ caller: Caller) -> [Finding] {
    return [
      lock(
        trial.run { () throws(DoctorError) in
          let memory = try naming { () throws(SystemError) in try Mapping.anonymous(count: Int(wanted)) }
          // unsafe: the mapping is this long.
          guard unsafe mlock(memory.base, memory.count) == 0 else {
            throw DoctorError(refused: "mlock", Text.bytes(wanted))
          }
          return "\(Text.bytes(wanted)) were locked"
        }, limit: ccontainer_memory_lock_limit(), caller)
    ]
  }

  static func lock(_ result: TrialResult, limit: UInt64, _ caller: Caller) -> Finding {
    let (id, title) = ("memlock", "memory lock")
    let most = limit == UInt64.max ? "no limit" : "the limit is \(Text.bytes(limit))"
    if case .done(let text) = result {
      let beyond = limit < wanted ? "; \(most), which root may exceed" : "; \(most)"
      return .works(id, .limits, title, text + beyond)
    }
    return .lacks(
      id, .limits, title, "\(result.text); \(most)", state: .missing,
      cost: "memory that is never swapped out, as some device backends want it",
      remedy: caller.asRoot("sh -c 'echo \"$USER - memlock unlimited\" > /etc/security/limits.d/vmrun.conf'"))
  }
}
