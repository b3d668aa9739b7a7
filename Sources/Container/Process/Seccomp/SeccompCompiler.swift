import CContainer
import CLinux
import OCI
import System

/// Compiles profiles with libseccomp.
enum SeccompCompiler {
  /// A filter context of libseccomp.
  @safe private struct Context: ~Copyable {
    let raw: scmp_filter_ctx

    init(_ defaultAction: UInt32) throws(ContainerError) {
      // unsafe: a fresh context, released by deinit.
      guard let raw = unsafe seccomp_init(defaultAction) else {
        throw ContainerError(.notSupported, "linux.seccomp.defaultAction: this kernel's seccomp does not offer it")
      }
      unsafe self.raw = raw
    }

    deinit { unsafe seccomp_release(raw) }
  }

  /// The most instructions that the kernel takes in one filter (BPF_MAXINSNS).
  static let instructionLimit = 4096

  /// The program of `profile`.
  /// - Throws: `.invalid` or `.notSupported`, naming the field.
  static func compile(_ profile: Seccomp) throws(ContainerError) -> SeccompProgram {
    var sources: [FilterOptimizer.Source] = []
    var stubs: [FilterOptimizer.Stub] = []
    // Each by itself: libseccomp takes several times as long for all together.
    for calls in used(profile) {
      let program = BPFInstruction.decode(try librarysProgram(profile, [calls.token]))
      sources.append(.init(program: program, architecture: calls.architecture, first: calls.first))
      if let stub = unknownCalls(profile, calls) { stubs.append(stub) }
    }
    var code: [UInt8] = []
    // A search has more instructions than a list where neighbours differ, though fewer are run.
    if let program = FilterOptimizer.optimize(sources, stubs: stubs), program.count <= instructionLimit {
      code = BPFInstruction.encode(program)
    } else {
      code = try librarysProgram(profile, used(profile).map { $0.token })
    }
    return SeccompProgram(
      code: code, flags: try flags(profile), notifies: profile.syscalls.contains { $0.action == .notify })
  }

  /// The system calls of one of libseccomp's architectures.
  struct Calls {
    let name: String
    let token: UInt32
    /// AUDIT_ARCH_, as the kernel reports it.
    let architecture: UInt32
    /// Their numbers.
    let first: UInt32
    let last: UInt32
  }

  /// What this kernel can report; the native calls come first. x32's have numbers of their own in x86-64's architecture.
  private static let all = [
    Calls(
      name: "SCMP_ARCH_X86_64", token: ccontainer_arch_x86_64, architecture: ccontainer_audit_x86_64, first: 0,
      last: 0x3FFF_FFFF),
    Calls(
      name: "SCMP_ARCH_X86", token: ccontainer_arch_x86, architecture: ccontainer_audit_i386, first: 0, last: .max),
    Calls(
      name: "SCMP_ARCH_X32", token: ccontainer_arch_x32, architecture: ccontainer_audit_x86_64, first: 0x4000_0000,
      last: .max),
  ]

  /// Those that `profile` is about: the native ones always. The names of other machines' architectures mean nothing here, since no
  /// system call can carry them.
  static func used(_ profile: Seccomp) -> [Calls] {
    var used = [all[0]]
    for calls in all.dropFirst() where profile.architectures.contains(calls.name) { used.append(calls) }
    return used
  }

  /// What libseccomp makes of `profile` for the architectures `tokens`.
  static func librarysProgram(_ profile: Seccomp, _ tokens: [UInt32]) throws(ContainerError) -> [UInt8] {
    let defaultAction = action(profile.defaultAction, profile.defaultErrno)
    let context = try Context(defaultAction)
    for token in tokens where token != all[0].token {
      // unsafe: the context is alive.
      let result = unsafe seccomp_arch_add(context.raw, token)
      guard result == 0 else { throw failure("linux.seccomp.architectures", result) }
    }
    // unsafe: as above. A fresh context has the native architecture.
    if !tokens.contains(all[0].token), case let result = unsafe seccomp_arch_remove(context.raw, all[0].token),
      result != 0
    {
      throw failure("linux.seccomp.architectures", result)
    }
    // As a search instead of a list, through which the optimizer goes for every number. A library that cannot do it writes a list.
    // unsafe: as above.
    _ = unsafe seccomp_attr_set(context.raw, SCMP_FLTATR_CTL_OPTIMIZE, 2)
    for (index, rule) in profile.syscalls.enumerated() {
      let value = action(rule.action, rule.errno)
      // libseccomp refuses a rule that says what holds anyway.
      if value == defaultAction { continue }
      for name in rule.names { try add(rule, name, value, context, "linux.seccomp.syscalls[\(index)].\(name)") }
    }
    return try export(context)
  }

  /// ENOSYS for system calls above the highest one that the profile names. They are newer than the profile, and programs try
  /// another way only when the kernel seems not to know them; runc answers so too.
  private static func unknownCalls(_ profile: Seccomp, _ calls: Calls) -> FilterOptimizer.Stub? {
    let unknown = ccontainer_act_errno(UInt32(ENOSYS))
    if profile.defaultAction == .allow || profile.defaultAction == .log { return nil }
    if action(profile.defaultAction, profile.defaultErrno) == unknown { return nil }
    var highest: Int32 = -1
    for rule in profile.syscalls {
      for name in rule.names {
        // unsafe: the name is terminated for the call.
        highest = max(highest, unsafe seccomp_syscall_resolve_name_arch(calls.token, name))
      }
    }
    guard highest >= 0, UInt32(highest) < calls.last else { return nil }
    return FilterOptimizer.Stub(
      architecture: calls.architecture, first: UInt32(highest) + 1, last: calls.last, action: unknown)
  }

  /// The number of an action as seccomp(2) returns it.
  static func action(_ action: Seccomp.Action, _ errno: UInt32?) -> UInt32 {
    switch action {
    case .allow: return UInt32(SECCOMP_RET_ALLOW)
    case .killThread: return UInt32(SECCOMP_RET_KILL_THREAD)
    case .killProcess: return UInt32(SECCOMP_RET_KILL_PROCESS)
    case .trap: return UInt32(SECCOMP_RET_TRAP)
    case .errno: return ccontainer_act_errno(errno ?? UInt32(EPERM))
    case .trace: return ccontainer_act_trace(errno ?? UInt32(EPERM))
    case .log: return UInt32(SECCOMP_RET_LOG)
    case .notify: return UInt32(SECCOMP_RET_USER_NOTIF)
    }
  }

  private static func add(
    _ rule: Seccomp.Rule, _ name: String, _ action: UInt32, _ context: borrowing Context, _ field: String
  ) throws(ContainerError) {
    // unsafe: the name lives for the call.
    let number = unsafe StringVector.withTerminated(Array(name.utf8)) { unsafe seccomp_syscall_resolve_name($0) }
    // A name that is too new for libseccomp: the default action holds for it, as with other runtimes.
    if number == __NR_SCMP_ERROR { return }
    var conditions = rule.args.map { argument in
      scmp_arg_cmp(
        arg: argument.index, op: comparison(argument.comparison), datum_a: argument.value,
        datum_b: argument.valueTwo)
    }
    var seen: Set<UInt32> = []
    let isRepeated = rule.args.contains { !seen.insert($0.index).inserted }
    let groups = isRepeated ? conditions.count : 1
    // libseccomp takes one condition for an argument: with several, each makes a rule of its own, as with other runtimes.
    let size = isRepeated ? 1 : conditions.count
    for group in 0..<groups {
      // unsafe: group * size + size <= conditions.count; libseccomp reads `size` conditions.
      let result = unsafe conditions.withUnsafeMutableBufferPointer {
        unsafe seccomp_rule_add_array(
          context.raw, action, number, UInt32(size), $0.baseAddress?.advanced(by: group * size))
      }
      // The same rule twice is taken; a rule left out would be none of the profile's.
      if result == -EEXIST {
        throw ContainerError(
          .invalid, "\(field): contradicts an earlier rule for the same call, which has another action")
      }
      guard result == 0 else { throw failure(field, result) }
    }
  }

  private static func comparison(_ comparison: Seccomp.Comparison) -> scmp_compare {
    switch comparison {
    case .notEqual: return SCMP_CMP_NE
    case .less: return SCMP_CMP_LT
    case .lessOrEqual: return SCMP_CMP_LE
    case .equal: return SCMP_CMP_EQ
    case .greaterOrEqual: return SCMP_CMP_GE
    case .greater: return SCMP_CMP_GT
    case .maskedEqual: return SCMP_CMP_MASKED_EQ
    }
  }

  private static func export(_ context: borrowing Context) throws(ContainerError) -> [UInt8] {
    // unsafe: the name is a literal.
    let raw = unsafe StringVector.withTerminated(Array("seccomp".utf8)) {
      unsafe ccontainer_memfd_create($0, UInt32(MFD_CLOEXEC))
    }
    guard raw >= 0 else { throw ContainerError("linux.seccomp", SystemError("memfd_create", "", .current)) }
    let file = FileDescriptor(owning: raw)
    // unsafe: the context is alive.
    let result = unsafe seccomp_export_bpf(context.raw, file.rawValue)
    guard result == 0 else { throw failure("linux.seccomp", result) }
    var code = [UInt8](repeating: 0, count: (instructionLimit + 1) * 8)
    // unsafe: the buffer is the array's own.
    let count = unsafe code.withUnsafeMutableBytes { unsafe (try? file.readFully(into: $0, at: 0)) ?? 0 }
    guard count > 0, count % 8 == 0, count / 8 <= instructionLimit else {
      throw ContainerError(.notSupported, "linux.seccomp: the profile needs more than \(instructionLimit) instructions")
    }
    code.removeLast(code.count - count)
    return code
  }

  private static func flags(_ profile: Seccomp) throws(ContainerError) -> UInt32 {
    var flags: UInt32 = 0
    for name in profile.flags {
      switch name {
      // There is one thread: nothing to synchronise, and with a listener the kernel would refuse the plain flag.
      case "SECCOMP_FILTER_FLAG_TSYNC": continue
      case "SECCOMP_FILTER_FLAG_LOG": flags |= UInt32(SECCOMP_FILTER_FLAG_LOG)
      case "SECCOMP_FILTER_FLAG_SPEC_ALLOW": flags |= UInt32(SECCOMP_FILTER_FLAG_SPEC_ALLOW)
      case "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": flags |= UInt32(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
      default: throw ContainerError(.notSupported, "linux.seccomp.flags: \(name) is not known")
      }
    }
    return flags
  }

  private static func failure(_ field: String, _ result: Int32) -> ContainerError {
    ContainerError(.system, "\(field): libseccomp: \(Errno(rawValue: -result))")
  }
}
