import CContainer
import JSON
import Report

/// Section 2: every system call number on every side.
enum CallComparison {
  /// All calls of all sides, for the JSON: what a number did on each side that was run.
  static func details(_ sides: [SideResult]) -> JSON {
    let tried = sides.filter { !$0.calls.calls.isEmpty }
    guard let most = tried.map({ $0.calls.calls.count }).max() else { return .array([]) }
    var rows: [JSON] = []
    for number in 0..<UInt32(most) {
      var members = [
        JSON.Member("number", .integer(Int64(number))), JSON.Member("name", .string(CallName.of(number))),
      ]
      var isAnywhere = false
      for side in tried {
        guard let call = side.calls[number] else { continue }
        if call.callClass != .missing { isAnywhere = true }
        members.append(
          JSON.Member(
            side.side.title,
            .object([
              JSON.Member("class", .string(call.callClass.rawValue)), JSON.Member("detail", .string(call.detail)),
            ])))
      }
      // Numbers that no side has say nothing.
      if isAnywhere { rows.append(.object(members)) }
    }
    return .array(rows)
  }
}

extension Comparison {
  /// The highest number that any side's kernel has.
  var highest: UInt32? { sides.compactMap { $0.calls.highest }.max() }

  func calls() -> IsolationSection {
    let top = highest ?? 0
    var rows = [
      row("Highest number that the kernel has") { side in
        guard let highest = side.calls.highest else { return .unknown("nothing was tried") }
        let isHidden = side.calls.calls.contains { $0.number > highest && $0.callClass == .filtered }
        return .value(isHidden ? "\(highest) or more: filtered above" : "\(highest)")
      },
      row("Filters could be asked") { side in
        .value(side.calls.calls.contains { $0.isFilterKnown } ? "yes" : "no: EPERM may be a filter's")
      },
    ]
    for kind in [CallClass.reached, .denied, .filtered, .missing] {
      let note = Self.note(kind, container)
      rows.append(
        row("0 to \(top): \(kind.rawValue)", note: note) { side in
          if side.calls.calls.isEmpty { return .unknown("nothing was tried") }
          let count = side.calls.calls.reduce(0) { $1.number <= top && $1.callClass == kind ? $0 + 1 : $0 }
          return .value("\(count)", shared: kind == .reached && count > 0 && isOnHostKernel(side))
        })
    }
    rows += entries()
    rows.append(untried())
    rows += differences()
    return IsolationSection(
      number: 2, title: "System calls by number",
      introduction:
        "Each number from 0 to \(Int(IsolationRun.calls) - 1) in a process of its own, with arguments that do nothing. First the filters are asked: a filter of the probe's own turns whatever the others let through into a notification, so nothing runs, and any other answer is a filter's. What they let through is then called: EPERM is now the call's own, for want of a capability.",
      rows: rows)
  }

  private static func note(_ kind: CallClass, _ container: SideResult?) -> String {
    guard let container, !container.calls.calls.isEmpty else { return "" }
    switch kind {
    case .reached: return "What is reached in a container is code of the host's kernel, in a VM code of the guest's."
    case .denied where container.calls.count(.denied) == 0:
      return
        "None in the container: docker's profile filters just the calls that its capabilities would not pass, so that the second wall stands behind the first unseen."
    case .missing:
      return
        "A filter answers first, also for numbers that no kernel has: in the container some of them count as filtered."
    default: return ""
    }
  }

  /// The two other ways into an x86 kernel.
  private func entries() -> [IsolationRow] {
    let names = ["x32 calls (getpid)", "32-bit calls by int 0x80 (getpid)"]
    return names.enumerated().map { index, name in
      let note =
        index == 1 && container != nil
        ? "Docker's profile permits the 32-bit entry too, by the same names: a second way into the same kernel." : ""
      return row(name, note: note) { side in
        guard index < side.calls.extra.count else { return .unknown("not tried") }
        let call = side.calls.extra[index]
        switch call.callClass {
        case .reached:
          return .value("answered: \(call.detail)", shared: isOnHostKernel(side) && call.detail == "success")
        default: return .value("\(call.callClass.rawValue): \(call.detail)")
        }
      }
    }
  }

  private func untried() -> IsolationRow {
    row("Permitted, but not run or not tried") { side in
      let names = side.calls.calls.filter {
        $0.callClass == .untried || $0.detail == "permitted by the filters; not run"
      }.map { CallName.of($0.number) }
      return .value(names.isEmpty ? "none" : Text.list(names, most: 6))
    }
  }

  /// Which calls differ from the host's, and how.
  private func differences() -> [IsolationRow] {
    guard let host, !host.calls.calls.isEmpty else { return [] }
    func names(_ side: SideResult, _ wanted: (CallOutcome, CallOutcome) -> Bool) -> Cell {
      if side.side == .host { return .value("-") }
      if side.calls.calls.isEmpty { return .unknown("nothing was tried") }
      var found: [String] = []
      for call in side.calls.calls {
        guard let other = host.calls[call.number], wanted(call, other) else { continue }
        found.append(CallName.of(call.number))
      }
      return .value(found.isEmpty ? "none" : "\(found.count): \(Text.list(found, most: 24))")
    }
    return [
      row("Filtered; the host has them") { side in
        names(side) { $0.callClass == .filtered && $1.callClass != .missing }
      },
      row(
        "Filtered with another answer than EPERM",
        note: container == nil
          ? ""
          : "ENOSYS: clone3, as docker's profile has it, and all numbers above those that the profile knows, so that programs take older calls instead."
      ) { side in
        let found = side.calls.calls.filter { $0.callClass == .filtered && $0.detail != "a filter answers EPERM" }
        return .value(
          found.isEmpty ? "none" : Text.list(found.map { "\(CallName.of($0.number)): \($0.detail)" }, most: 4))
      },
      row(
        "Denied by a capability; reached on the host",
        note: container == nil
          ? "" : "These stand behind one check of a capability: the call's code begins to run in the host's kernel."
      ) { side in names(side) { $0.callClass == .denied && $1.callClass == .reached } },
      row("Reached; denied on the host") { side in
        names(side) { $0.callClass == .reached && $1.callClass == .denied }
      },
      row(
        "In this kernel, not in the host's",
        note: machine == nil ? "" : "The guest's kernel is another version with another configuration."
      ) { side in names(side) { $0.callClass != .missing && $0.callClass != .filtered && $1.callClass == .missing } },
      row("In the host's kernel, not in this") { side in
        names(side) { $0.callClass == .missing && $1.callClass != .missing }
      },
    ]
  }
}
