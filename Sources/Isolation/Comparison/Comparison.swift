import Report
import System

/// One finding, and whether it shows something of the host's that should be apart.
struct Cell {
  var finding: Finding
  var isShared = false

  static func value(_ text: String, shared: Bool = false) -> Cell { Cell(finding: .value(text), isShared: shared) }
  static func number(_ number: Int) -> Cell { .value("\(number)") }
  static func unknown(_ reason: String) -> Cell { Cell(finding: .unknown(reason)) }
}

/// Puts the sides beside each other.
struct Comparison {
  let sides: [SideResult]
  let options: IsolationOptions
  private(set) var sections: [IsolationSection] = []

  init(_ sides: [SideResult], _ options: IsolationOptions) {
    self.sides = sides
    self.options = options
  }

  var host: SideResult? { sides.first { $0.side == .host } }
  var container: SideResult? { sides.first { $0.side == .container && $0.failure == nil } }
  var machine: SideResult? { sides.first { $0.side == .vm && $0.failure == nil } }

  /// The boot ID that the host's kernel shows: whoever shows the same runs on it.
  private let hostBoot = SystemFile.line("/proc/sys/kernel/random/boot_id")

  func isOnHostKernel(_ side: SideResult) -> Bool {
    side.side == .host || (!hostBoot.isEmpty && side.findings["kernel.boot"] == hostBoot)
      || (side.side == .container && side.findings["kernel.boot"] == nil)
  }

  /// A row of one question; sides that were not run say so.
  func row(_ question: String, note: String = "", _ cell: (SideResult) -> Cell) -> IsolationRow {
    var findings: [Finding] = []
    var shared: [Bool] = []
    for side in sides {
      let found = side.failure == nil ? cell(side) : .unknown("not run")
      findings.append(found.finding)
      shared.append(found.isShared && side.side != .host)
    }
    return IsolationRow(question: question, findings: findings, isShared: shared, note: note)
  }

  /// A row of what the probe said under `name`; what is the host's too is marked when `marks`.
  func said(_ question: String, _ name: String, note: String = "", marks: Bool = false) -> IsolationRow {
    row(question, note: note) { side in
      guard let text = side.findings[name] else { return .unknown("not readable") }
      let isSame = marks && !text.isEmpty && text == host?.findings[name]
      return .value(text.isEmpty ? "none" : text, shared: isSame)
    }
  }

  // MARK: The report

  func report() -> IsolationReport {
    var comparison = self
    let parts: [(UInt8, () -> IsolationSection)] = [
      (1, kernels), (2, calls), (3, work), (4, visible), (5, leaks), (6, effects), (7, limits), (8, privileges),
    ]
    for (number, make) in parts where options.sections.contains(number) {
      if number == 7, options.isQuick { continue }
      comparison.sections.append(make())
    }
    return IsolationReport(
      sides: sides.map { $0.title }, sections: comparison.sections, unmeasured: unmeasured(),
      notShown: Self.notShown, environment: environment())
  }

  private func environment() -> [Fact] {
    var facts = [
      Fact("host kernel", SystemFile.line("/proc/sys/kernel/osrelease")),
      Fact("started as", isRoot ? "root" : "a user without root's rights: the container is rootless"),
    ]
    if sides.contains(where: { $0.side == .container }) {
      facts.append(Fact("container", "vmrun --container with its defaults, which are docker's"))
    }
    if let machine = sides.first(where: { $0.side == .vm }) {
      let backend = machine.backend.isEmpty ? "KVM, by vmrun itself" : machine.backend
      facts.append(Fact("VM", machine.failure == nil ? backend : "not run"))
      facts.append(Fact("VM's kernel", options.kernel ?? "none"))
    }
    facts.append(Fact("sections", Text.list(options.sections.sorted().map { "\($0)" }, most: 8)))
    if options.isQuick { facts.append(Fact("quick", "without bombs and without a second look at files")) }
    return facts
  }

  private var isRoot: Bool { SystemFile.isRoot }

  private func unmeasured() -> [Fact] {
    var facts: [Fact] = []
    for side in sides {
      if let failure = side.failure { facts.append(Fact(side.side.title, failure)) }
      if let failure = side.bombFailure { facts.append(Fact("\(side.side.title): limits", failure)) }
      if let counted = side.counted, counted.threads == 0 {
        facts.append(
          Fact("\(side.side.title): system calls on the host", "ptrace was refused: \(ErrnoName.of(counted.refusal))"))
      }
    }
    if let machine, options.sections.contains(3), machine.exits == nil, !machine.isEmulated {
      facts.append(Fact("VM exits by reason", "KVM's counters need debugfs at /sys/kernel/debug, and root"))
    }
    if options.sections.contains(7), options.isQuick { facts.append(Fact("limits", "left out by --quick")) }
    if options.sections.contains(7), !options.isQuick, sides.contains(where: { $0.side == .host }) {
      facts.append(Fact("host: limits", "no bomb is set off where nothing limits it"))
    }
    return facts
  }

  private static let notShown = [
    "bugs: of the host's kernel that a container's calls reach, of KVM and the VMM that a guest's exits reach",
    "side channels: caches, branch predictors, memory deduplication, timing; both share the processor with the host",
    "what the processor's microcode, firmware and devices with DMA do",
    "what a network, a shared volume or a disk brings: here there is none",
    "weight: the figures are counts, and one reachable call can matter more than a hundred; there is no score",
  ]
}
