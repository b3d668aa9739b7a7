import CLinux
import Report

/// Section 6: what a process inside can change, and whether the host notices.
extension Comparison {
  func effects() -> IsolationSection {
    var rows = [
      crossing("Set the hostname", "hostname"),
      ability("Set the clock", "clock", note: "Asked with neither a time nor a zone, so that nothing is set."),
      ability("Raise its own priority", "nice"),
      ability("Write sysctl kernel.domainname", "domainname"),
      ability(
        "Write sysctl kernel.core_pattern", "core-pattern",
        note: "Opened for writing; nothing is written. It names a program that the kernel starts as root."),
      ability("Write sysctl vm.drop_caches", "drop-caches"),
      ability("Write /proc/sysrq-trigger", "sysrq"),
      ability("Write /sys/kernel/mm settings", "hugepages"),
      ability("Read the kernel's log", "log-read"), ability("Write the kernel's log", "log-write"),
      ability("Mount a tmpfs", "mount"),
    ]
    for (name, text) in [
      ("key", "Add a key to the user's keyring"), ("queue", "Make a SysV message queue"),
      ("mqueue", "Make a POSIX message queue"), ("socket", "Listen on an abstract socket"),
      ("tcp", "Listen on 127.0.0.1"),
    ] {
      rows.append(crossing(text, name))
    }
    rows.append(
      row("Mounts that propagate (shared or slave)") { side in
        guard let text = side.findings["mounts.shared"] else { return .unknown("section 4 was not run") }
        return .value(text, shared: isOnHostKernel(side) && text != "0")
      })
    return IsolationSection(
      number: 6, title: "Side effects that cross",
      introduction:
        "The probe tries to change things, and while they are changed the launcher looks from the host. On the host nothing is changed that stays.",
      rows: rows)
  }

  /// Something that would reach the whole of the kernel that answers.
  private func ability(_ question: String, _ name: String, note: String = "") -> IsolationRow {
    row(question, note: note) { side in
      guard let result = side.findings["effect.\(name)"] else { return .unknown("not tried") }
      guard result == "done" else { return .value(result == "not tried" ? result : "refused (\(result))") }
      if side.side == .host { return .value("yes") }
      return isOnHostKernel(side) ? .value("yes, the host's", shared: true) : .value("yes, the guest's own")
    }
  }

  /// Something that the launcher looked for on the host.
  private func crossing(_ question: String, _ name: String) -> IsolationRow {
    row(question) { side in
      guard let result = side.findings["effect.\(name)"] else { return .unknown("not tried") }
      let isDone = result == "done" || Text.number(result.utf8) != nil
      guard isDone else { return .value("refused (\(result))") }
      if side.side == .host { return .value("yes") }
      let isSeen = side.crossings[name] == "seen"
      return .value(isSeen ? "yes, and the host sees it" : "yes, for itself: not seen on the host", shared: isSeen)
    }
  }

  // MARK: Section 7

  func limits() -> IsolationSection {
    let rows = [
      row("Limits given") { side in
        switch side.side {
        case .host: return .unknown("no bomb is set off here")
        case .container: return .value("--pids 64 --memory 64M --cpus 0.5")
        case .vm: return .value("--memory 128M, 1 processor")
        }
      },
      bomb("Fork bomb, \(ProbeBombs.mostForks) at most: processes made", "fork") { "\($0)" },
      damaged("Processes and threads more on the host", "fork") { damage in
        "\(damage.tasksMost > damage.tasksBefore ? damage.tasksMost - damage.tasksBefore : 0)"
      },
      bomb("Memory bomb, \(ProbeBombs.mostMebibytes) MiB at most: MiB touched", "memory") { "\($0)" },
      damaged(
        "MiB less available on the host", "memory",
        note: machine == nil ? "" : "What a guest has touched stays the VM's until the VM ends."
      ) { damage in
        "\(damage.memoryBefore > damage.memoryLeast ? (damage.memoryBefore - damage.memoryLeast) >> 10 : 0)"
      },
      bomb(
        "Descriptors, \(ProbeBombs.mostDescriptors) sockets at most: opened", "descriptors",
        note: container == nil
          ? ""
          : "No limit of the container counts descriptors: what stops it is RLIMIT_NOFILE as it was passed on, and --memory, to which the kernel's objects are charged. They are files of the host's kernel; a VM's are its guest's."
      ) { "\($0)" },
      damaged("Open files more on the host", "descriptors") { damage in
        "\(damage.filesMost > damage.filesBefore ? damage.filesMost - damage.filesBefore : 0)"
      },
      bomb("\(ProbeBombs.spinners) processes that spin: ms of processor that they count", "processor") { "\($0)" },
      damaged("Processors' worth on the host") { damage in
        let hundredths = damage.processorTime * 100 / max(1, damage.milliseconds)
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
      },
      row("Launcher alive afterwards") { side in
        if side.side == .host || side.damage.isEmpty { return .unknown("no bomb was set off") }
        return .value(side.bombFailure == nil ? "yes, ended by itself" : "no: \(side.bombFailure ?? "")")
      },
    ]
    return IsolationSection(
      number: 7, title: "Limits that hold",
      introduction:
        "Bombs inside a sandbox that has limits, each bounded in size and time by itself as well; the host's figures are of all that happened meanwhile, other programs' too.",
      rows: rows)
  }

  private func bomb(_ question: String, _ name: String, note: String = "", _ text: (Int64) -> String) -> IsolationRow {
    row(question, note: note) { side in
      if side.side == .host { return .unknown("no bomb is set off here") }
      let fields = Text.fields(Array((side.bombs["bomb.\(name)"] ?? "").utf8)[...])
      guard fields.count == 3, let count = Text.signed(fields[0]), let error = Text.signed(fields[1]) else {
        return .unknown("not set off")
      }
      if error == 0 { return .value("\(text(count)), none refused") }
      let how = error < 0 ? "signal \(-error)" : ErrnoName.of(Int32(truncatingIfNeeded: error))
      return .value("\(text(count)), then \(how)")
    }
  }

  private func damaged(
    _ question: String, _ name: String = "processor", note: String = "", _ text: (Damage) -> String
  ) -> IsolationRow {
    row(question, note: note) { side in
      if side.side == .host { return .unknown("no bomb is set off here") }
      guard let damage = side.damage.first(where: { $0.name == name }) else {
        return .unknown("not set off")
      }
      return .value(text(damage))
    }
  }
}
