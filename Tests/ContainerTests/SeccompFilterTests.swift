import CContainer
import CLinux
import OCI
import Testing

@testable import Container

/// What a filter is asked.
struct Call: Equatable {
  var number: UInt32
  var architecture: UInt32
  var arguments: [UInt64] = [0, 0, 0, 0, 0, 0]
}

/// Runs a BPF program as the kernel does (Documentation/networking/filter.rst): nil for one that the kernel would refuse.
func interpret(_ program: [BPFInstruction], _ call: Call) -> UInt32? {
  var data: [UInt8] = []
  func add(_ value: UInt64, _ size: Int) {
    for i in 0..<size { data.append(UInt8(truncatingIfNeeded: value >> (8 * i))) }
  }
  add(UInt64(call.number), 4)
  add(UInt64(call.architecture), 4)
  add(0x7fff_1234_5678, 8)
  for argument in call.arguments { add(argument, 8) }
  var accumulator: UInt32 = 0
  var at = 0
  while at < program.count {
    let i = program[at]
    switch i.code {
    case 0x20:
      guard i.k % 4 == 0, Int(i.k) + 4 <= data.count else { return nil }
      accumulator = (0..<4).reduce(0) { $0 | UInt32(data[Int(i.k) + $1]) << (8 * $1) }
    case 0x54: accumulator &= i.k
    case 0x05: at += Int(i.k)
    case 0x15: at += Int(accumulator == i.k ? i.jumpTrue : i.jumpFalse)
    case 0x25: at += Int(accumulator > i.k ? i.jumpTrue : i.jumpFalse)
    case 0x35: at += Int(accumulator >= i.k ? i.jumpTrue : i.jumpFalse)
    case 0x45: at += Int(accumulator & i.k != 0 ? i.jumpTrue : i.jumpFalse)
    case 0x06: return i.k
    default: return nil
    }
    at += 1
  }
  return nil
}

/// What a profile means, from its rules alone; nil when rules of different actions hold at once, which the profile leaves open.
struct Reference {
  let profile: Seccomp
  private let rules: [UInt64: [Seccomp.Rule]]
  private let highest: [UInt32: UInt32]
  private let hasX32: Bool
  private let hasX86: Bool

  static let tokens: [(token: UInt32, architecture: UInt32)] = [
    (ccontainer_arch_x86_64, ccontainer_audit_x86_64), (ccontainer_arch_x32, ccontainer_audit_x86_64),
    (ccontainer_arch_x86, ccontainer_audit_i386),
  ]

  init(_ profile: Seccomp) {
    self.profile = profile
    hasX32 = profile.architectures.contains("SCMP_ARCH_X32")
    hasX86 = profile.architectures.contains("SCMP_ARCH_X86")
    var rules: [UInt64: [Seccomp.Rule]] = [:]
    var highest: [UInt32: UInt32] = [:]
    for (token, architecture) in Self.tokens {
      // By number, since libseccomp gives the names of some of i386's calls two.
      let base: Int32 = token == ccontainer_arch_x32 ? 0x4000_0000 : 0
      for number in base..<(base + 1100) {
        guard let text = seccomp_syscall_resolve_num_arch(token, number) else { continue }
        let name = String(cString: text)
        free(text)
        for rule in profile.syscalls where rule.names.contains(name) {
          rules[UInt64(architecture) << 32 | UInt64(number), default: []].append(rule)
        }
      }
      for rule in profile.syscalls {
        for name in rule.names {
          let number = seccomp_syscall_resolve_name_arch(token, name)
          if number < 0 { continue }
          highest[token] = max(highest[token] ?? 0, UInt32(number))
        }
      }
    }
    self.rules = rules
    self.highest = highest
  }

  private func code(_ action: Seccomp.Action, _ errno: UInt32?) -> UInt32 {
    switch action {
    case .allow: return 0x7fff_0000
    case .killThread: return 0
    case .killProcess: return 0x8000_0000
    case .trap: return 0x0003_0000
    case .errno: return 0x0005_0000 | (errno ?? 1)
    case .trace: return 0x7ff0_0000 | (errno ?? 1)
    case .log: return 0x7ffc_0000
    case .notify: return 0x7fc0_0000
    }
  }

  func verdict(_ call: Call) -> UInt32? {
    let isX32 = call.architecture == ccontainer_audit_x86_64 && call.number >= 0x4000_0000
    if call.architecture != ccontainer_audit_x86_64 && !(call.architecture == ccontainer_audit_i386 && hasX86) {
      return 0
    }
    if isX32 && !hasX32 { return 0 }
    let token =
      call.architecture == ccontainer_audit_i386
      ? ccontainer_arch_x86 : isX32 ? ccontainer_arch_x32 : ccontainer_arch_x86_64
    let standard = code(profile.defaultAction, profile.defaultErrno)
    let isPermissive = [.allow, .log].contains(profile.defaultAction) || standard == 0x0005_0026
    if let last = highest[token], call.number > last, !isPermissive { return 0x0005_0026 }
    var unconditional: Set<UInt32> = []
    var found: Set<UInt32> = []
    for rule in rules[UInt64(call.architecture) << 32 | UInt64(call.number)] ?? [] {
      let value = code(rule.action, rule.errno)
      if value == standard { continue }
      if rule.args.isEmpty { unconditional.insert(value) }
      let isRepeated = Set(rule.args.map(\.index)).count < rule.args.count
      let results = rule.args.map { holds($0, call.arguments[Int($0.index)]) }
      if isRepeated ? results.contains(true) : !results.contains(false) { found.insert(value) }
    }
    if let one = unconditional.first { return unconditional.count == 1 ? one : nil }
    return found.count > 1 ? nil : found.first ?? standard
  }

  private func holds(_ argument: Seccomp.Argument, _ value: UInt64) -> Bool {
    switch argument.comparison {
    case .notEqual: return value != argument.value
    case .less: return value < argument.value
    case .lessOrEqual: return value <= argument.value
    case .equal: return value == argument.value
    case .greaterOrEqual: return value >= argument.value
    case .greater: return value > argument.value
    case .maskedEqual: return value & argument.value == argument.valueTwo & argument.value
    }
  }
}

/// Numbers around everything that a filter may compare with.
func interestingNumbers() -> [UInt32] {
  Array(0...1100) + Array(0x3fff_fff0...0x4000_0400) + [0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff]
}

func interestingArguments(_ profile: Seccomp, _ generator: inout some RandomNumberGenerator) -> [[UInt64]] {
  var values: Set<UInt64> = [0, 1, .max, 1 << 32, 0xffff_ffff, 0x7e02_0000, 0x1_0000_0010]
  for rule in profile.syscalls {
    for argument in rule.args {
      values.formUnion([
        argument.value, argument.value &+ 1, argument.value &- 1, argument.value ^ 1 << 40, argument.valueTwo,
      ])
    }
  }
  let list = values.sorted()
  var result = list.map { [UInt64](repeating: $0, count: 6) }
  for _ in 0..<12 { result.append((0..<6).map { _ in list[Int.random(in: list.indices, using: &generator)] }) }
  return result
}

extension Array {
  func random(_ generator: inout SplitMix) -> Element { self[Int.random(in: indices, using: &generator)] }
}

struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}

@Suite struct SeccompFilterTests {
  static var docker: Seccomp { DockerDefaults.seccomp(capabilities: DockerDefaults.capabilities) }

  @Test func dockersProfileDecidesAsItsRulesSay() throws {
    let program = BPFInstruction.decode(try SeccompCompiler.compile(Self.docker).code)
    let reference = Reference(Self.docker)
    var generator = SplitMix(state: 1)
    let arguments = interestingArguments(Self.docker, &generator)
    var verdicts: Set<UInt32> = []
    for architecture in [ccontainer_audit_x86_64, ccontainer_audit_i386, 0x4000_0028] {
      for number in interestingNumbers() {
        // i386 puts many calls into these two; libseccomp derives rules for them from those of the calls.
        if architecture == ccontainer_audit_i386 && (number == 102 || number == 117) { continue }
        for values in arguments {
          // Registers of 32-bit calls have 32 bits.
          let is32Bit = architecture == ccontainer_audit_i386 || number >= 0x4000_0000
          let call = Call(
            number: number, architecture: architecture,
            arguments: is32Bit ? values.map { $0 & 0xffff_ffff } : values)
          guard let expected = reference.verdict(call) else { continue }
          let verdict = interpret(program, call)
          verdicts.insert(verdict ?? 0xdead)
          if verdict != expected {
            Issue.record("\(call): \(String(describing: verdict)) instead of \(expected)")
            return
          }
        }
      }
    }
    #expect(verdicts.count >= 4)
    #expect(
      program.count < BPFInstruction.decode(
        try SeccompCompiler.librarysProgram(Self.docker, SeccompCompiler.used(Self.docker).map(\.token))
      ).count / 3)
  }

  /// The short program is libseccomp's own, number by number, for profiles of every kind.
  @Test func shortProgramsDecideAsLibrarysDo() throws {
    var generator = SplitMix(state: 7)
    for round in 0..<30 {
      let profile = Self.randomProfile(&generator)
      // All architectures in one program of the library's, and each by itself.
      let used = SeccompCompiler.used(profile)
      let long = BPFInstruction.decode(try SeccompCompiler.librarysProgram(profile, used.map(\.token)))
      let sources = try used.map { calls in
        FilterOptimizer.Source(
          program: BPFInstruction.decode(try SeccompCompiler.librarysProgram(profile, [calls.token])),
          architecture: calls.architecture, first: calls.first)
      }
      let short = try #require(FilterOptimizer.optimize(sources, stubs: []), "round \(round)")
      #expect(short.count < 2 * long.count + 100)
      let arguments = interestingArguments(profile, &generator)
      for architecture in [ccontainer_audit_x86_64, ccontainer_audit_i386, 0] {
        for number in stride(from: 0, to: 500, by: 1).map({ UInt32($0) }) + [
          0x3fff_ffff, 0x4000_0000, 0x4000_0001, 0x4000_0210, .max,
        ] {
          for values in arguments.prefix(10) + arguments.suffix(12) {
            let call = Call(number: number, architecture: architecture, arguments: values)
            let (a, b) = (interpret(long, call), interpret(short, call))
            if a != b || a == nil {

              Issue.record("round \(round) \(call): \(String(describing: b)) instead of \(String(describing: a))")
              return
            }
          }
        }
      }
    }
  }

  static func randomProfile(_ generator: inout SplitMix) -> Seccomp {
    let actions: [Seccomp.Action] = [.allow, .killThread, .killProcess, .trap, .errno, .trace, .log, .notify]
    let comparisons: [Seccomp.Comparison] = [
      .notEqual, .less, .lessOrEqual, .equal, .greaterOrEqual, .greater, .maskedEqual,
    ]
    var profile = Seccomp(defaultAction: Array(actions.dropLast()).random(&generator))
    if profile.defaultAction == .errno { profile.defaultErrno = UInt32.random(in: 1...200, using: &generator) }
    profile.architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"].filter { _ in
      Bool.random(using: &generator)
    }
    var names: [String] = []
    for number: Int32 in 0..<450 {
      if let text = seccomp_syscall_resolve_num_arch(ccontainer_arch_x86_64, number) {
        names.append(String(cString: text))
        free(text)
      }
    }
    names.append("no_such_call")
    var actionOf: [String: Int] = [:]
    for index in 0..<Int.random(in: 1...12, using: &generator) {
      let some = (0..<Int.random(in: 1...40, using: &generator)).map { _ in names.random(&generator) }
      var rule = Seccomp.Rule(names: some, action: actions.random(&generator))
      if rule.action == .errno || rule.action == .trace { rule.errno = UInt32.random(in: 0...400, using: &generator) }
      for _ in 0..<[0, 0, 1, 2, 3].random(&generator) {
        let value: UInt64 = [0, 1, 0xffff_ffff, 1 << 33, 0x7e02_0000, .max].random(&generator)
        rule.args.append(
          Seccomp.Argument(
            index: UInt32.random(in: 0...5, using: &generator), value: value,
            valueTwo: [0, value].random(&generator),
            comparison: comparisons.random(&generator)))
      }
      // A call has rules of one action here: what contradictions mean is libseccomp's to say, which refuses most.
      rule.names = rule.names.filter { actionOf[$0] == nil }
      for name in rule.names { actionOf[name] = index }
      if rule.names.isEmpty { continue }
      profile.syscalls.append(rule)
    }
    return profile
  }

  @Test func contradictionsAreRefusedAndRepetitionsAreNot() throws {
    var profile = Seccomp(defaultAction: .errno)
    profile.architectures = ["SCMP_ARCH_X86"]
    var first = Seccomp.Rule(names: ["read", "shmat"], action: .allow)
    first.args = [.init(index: 0, value: 5, comparison: .equal)]
    profile.syscalls = [first, first]
    let once = try SeccompCompiler.compile(profile)
    profile.syscalls = [first]
    #expect(try SeccompCompiler.compile(profile) == once)
    var second = first
    second.action = .trap
    profile.syscalls = [first, second]
    let error = #expect(throws: ContainerError.self) { try SeccompCompiler.compile(profile) }
    #expect(error?.kind == .invalid)
    #expect(error?.description.hasPrefix("linux.seccomp.syscalls[1].read: contradicts an earlier rule") == true)
  }

  static func whole(_ program: [BPFInstruction]) -> FilterOptimizer.Source {
    FilterOptimizer.Source(program: program, architecture: ccontainer_audit_x86_64, first: 0)
  }

  @Test func aProgramOfAnotherFormIsLeftAlone() {
    // Arithmetic on the number, a jump beyond the end, no end at all.
    let arithmetic = [
      BPFInstruction(code: 0x20, k: 0), BPFInstruction(code: 0x04, k: 1), BPFInstruction(code: 0x06, k: 0),
    ]
    #expect(FilterOptimizer.optimize([Self.whole(arithmetic)], stubs: []) == nil)
    #expect(FilterOptimizer.optimize([Self.whole([BPFInstruction(code: 0x05, k: .max)])], stubs: []) == nil)
    #expect(FilterOptimizer.optimize([Self.whole([BPFInstruction(code: 0x20, k: 0)])], stubs: []) == nil)
    #expect(FilterOptimizer.optimize([], stubs: []) == nil)
  }

  /// More than 255 instructions between a decision and its ends.
  @Test func longWaysAreJumpedOver() throws {
    var source = [BPFInstruction(code: 0x20, k: 0)]
    for number: UInt32 in 0..<900 {
      source.append(BPFInstruction(code: 0x15, jumpTrue: 0, jumpFalse: 1, k: number * 3))
      source.append(BPFInstruction(code: 0x06, k: 0x0005_0000 | number & 0xfff))
    }
    source.append(BPFInstruction(code: 0x06, k: 0x7fff_0000))
    let short = try #require(FilterOptimizer.optimize([Self.whole(source)], stubs: []))
    for number: UInt32 in 0..<2800 {
      let call = Call(number: number, architecture: ccontainer_audit_x86_64)
      #expect(interpret(short, call) == interpret(source, call))
    }
  }
}
