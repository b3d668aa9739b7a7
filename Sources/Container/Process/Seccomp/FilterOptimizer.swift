import CContainer

/// Makes a filter that libseccomp compiled short.
///
/// libseccomp compares the number with every system call of the profile. A profile treats long runs of numbers alike, so a search
/// over the runs takes a tenth of the instructions. The kernel checks, compiles and, for every number, walks through a filter
/// when a process installs it: for docker's profile that took longer than mounting the container's root.
struct FilterOptimizer {
  /// A run of system call numbers of one architecture, up to the next run's first, and what decides about them.
  private struct Run {
    let first: UInt32
    let node: FilterGraph.Index
  }

  private let sources: [Source]
  private let stubs: [Stub]
  /// The program that is looked through.
  private var source: [BPFInstruction] = []
  private var graph = FilterGraph()
  /// Nodes by their instruction in `source`, within one system call.
  private var known: [Int: FilterGraph.Index] = [:]

  /// What decides about the numbers from `first` on of an architecture.
  struct Source {
    let program: [BPFInstruction]
    let architecture: UInt32
    let first: UInt32
  }

  /// Numbers from `first` to `last` of an architecture get `action`, whatever the filter says.
  struct Stub: Equatable {
    let architecture: UInt32
    let first: UInt32
    let last: UInt32
    let action: UInt32
  }

  /// AUDIT_ARCH_ of system calls that this kernel can report.
  private static let architectures = [ccontainer_audit_x86_64, ccontainer_audit_i386]

  private init(_ sources: [Source], _ stubs: [Stub]) {
    self.sources = sources
    self.stubs = stubs
  }

  /// A program that decides as `sources` do where no stub applies: the last one whose numbers they are, or the first one.
  /// - Returns: nil when a source is not of the form that libseccomp writes.
  static func optimize(_ sources: [Source], stubs: [Stub]) -> [BPFInstruction]? {
    var optimizer = FilterOptimizer(sources, stubs)
    return optimizer.run()
  }

  private mutating func run() -> [BPFInstruction]? {
    guard !sources.isEmpty else { return nil }
    // An architecture that no comparison names stands for all the others.
    guard var root = remainder(0, architecture: 0) else { return nil }
    for architecture in Self.architectures.reversed() {
      guard let bounds = bounds(architecture), let runs = runs(architecture, bounds) else { return nil }
      let tree = tree(runs, 0, runs.count)
      let number = graph.add(.init(code: BPFInstruction.load, k: BPFInstruction.numberOffset, ifTrue: tree))
      root = graph.add(.init(code: BPFInstruction.jumpEqual, k: architecture, ifTrue: number, ifFalse: root))
    }
    root = graph.add(.init(code: BPFInstruction.load, k: BPFInstruction.architectureOffset, ifTrue: root))
    return graph.program(from: root)
  }

  /// The numbers at which the filter's answer can change; nil when it does more with numbers than compare them.
  private func bounds(_ architecture: UInt32) -> [UInt32]? {
    var bounds: Set<UInt32> = [0]
    for (index, source) in sources.enumerated() where index == 0 || source.architecture == architecture {
      bounds.insert(source.first)
      for instruction in source.program {
        switch instruction.code {
        case BPFInstruction.jumpEqual, BPFInstruction.jumpGreater, BPFInstruction.jumpGreaterOrEqual:
          bounds.insert(instruction.k)
          if instruction.k < .max { bounds.insert(instruction.k + 1) }
        case BPFInstruction.load, BPFInstruction.and, BPFInstruction.jump, BPFInstruction.jumpSet, BPFInstruction.give:
          break
        default: return nil
        }
      }
    }
    for stub in stubs where stub.architecture == architecture {
      bounds.insert(stub.first)
      if stub.last < .max { bounds.insert(stub.last + 1) }
    }
    return bounds.sorted()
  }

  private mutating func runs(_ architecture: UInt32, _ bounds: [UInt32]) -> [Run]? {
    var runs: [Run] = []
    for number in bounds {
      let node: FilterGraph.Index
      if let stub = stubs.first(where: { $0.architecture == architecture && $0.first <= number && number <= $0.last }) {
        node = graph.add(.init(code: BPFInstruction.give, k: stub.action))
      } else if let rest = remainder(number, architecture: architecture) {
        node = rest
      } else {
        return nil
      }
      if runs.last?.node != node { runs.append(Run(first: number, node: node)) }
    }
    return runs
  }

  /// A balanced search over runs `low` up to `high`, with the number in the accumulator.
  private mutating func tree(_ runs: [Run], _ low: Int, _ high: Int) -> FilterGraph.Index {
    if high - low == 1 { return runs[low].node }
    // A single number within a run takes one comparison instead of two.
    if high - low == 3, runs[low].node == runs[low + 2].node, runs[low + 1].first &+ 1 == runs[low + 2].first {
      return graph.add(
        .init(
          code: BPFInstruction.jumpEqual, k: runs[low + 1].first, ifTrue: runs[low + 1].node, ifFalse: runs[low].node))
    }
    let middle = low + (high - low) / 2
    let above = tree(runs, middle, high)
    let below = tree(runs, low, middle)
    return graph.add(
      .init(code: BPFInstruction.jumpGreaterOrEqual, k: runs[middle].first, ifTrue: above, ifFalse: below))
  }

  /// What remains to be decided about one system call: only loads of its arguments and what depends on them.
  private mutating func remainder(_ number: UInt32, architecture: UInt32) -> FilterGraph.Index? {
    known = [:]
    source = (sources.last { $0.architecture == architecture && $0.first <= number } ?? sources[0]).program
    return walk(0, accumulator: 0, number, architecture)
  }

  /// From instruction `start` on; `accumulator` is nil when it depends on the arguments. Jumps go forward only, so this ends.
  private mutating func walk(_ start: Int, accumulator: UInt32?, _ number: UInt32, _ architecture: UInt32)
    -> FilterGraph.Index?
  {
    var accumulator = accumulator
    var at = start
    while source.indices.contains(at) {
      let instruction = source[at]
      switch instruction.code {
      case BPFInstruction.give: return graph.add(.init(code: instruction.code, k: instruction.k))
      case BPFInstruction.jump:
        guard instruction.k < UInt32(source.count) else { return nil }
        at += Int(instruction.k)
      case BPFInstruction.load where instruction.k == BPFInstruction.numberOffset: accumulator = number
      case BPFInstruction.load where instruction.k == BPFInstruction.architectureOffset: accumulator = architecture
      case BPFInstruction.load, BPFInstruction.and:
        if instruction.code == BPFInstruction.and && accumulator != nil { return nil }
        if let node = known[at] { return node }
        guard let rest = walk(at + 1, accumulator: nil, number, architecture) else { return nil }
        let node = graph.add(.init(code: instruction.code, k: instruction.k, ifTrue: rest))
        known[at] = node
        return node
      default:
        if let value = accumulator {
          guard instruction.code != BPFInstruction.jumpSet,
            let isTrue = BPFInstruction.decides(instruction.code, value, instruction.k)
          else { return nil }
          at += Int(isTrue ? instruction.jumpTrue : instruction.jumpFalse)
        } else {
          if let node = known[at] { return node }
          guard let yes = walk(at + 1 + Int(instruction.jumpTrue), accumulator: nil, number, architecture),
            let no = walk(at + 1 + Int(instruction.jumpFalse), accumulator: nil, number, architecture)
          else { return nil }
          let node = graph.add(.init(code: instruction.code, k: instruction.k, ifTrue: yes, ifFalse: no))
          known[at] = node
          return node
        }
      }
      at += 1
    }
    return nil
  }
}
