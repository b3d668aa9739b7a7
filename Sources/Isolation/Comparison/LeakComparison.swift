import Report

/// Section 5: what of the host shows through.
extension Comparison {
  /// The files of one side by what they have in common with the host's.
  private struct Files {
    var read = 0
    var same: [String] = []
    var together: [String] = []
  }

  func leaks() -> IsolationSection {
    let compared = sides.map { files($0) }
    func found(_ side: SideResult) -> Files? {
      sides.firstIndex { $0.side == side.side }.flatMap { compared[$0] }
    }
    var rows = [
      row("Files of /proc and /sys that it can read") { side in .number(side.findings.all("file1").count) },
      row(
        "Of them with the host's content",
        note: machine == nil
          ? ""
          : "Two Linux kernels share many defaults: equal content alone is no leak, which is why the host changes things."
      ) { side in
        if side.side == .host { return .value("-") }
        return found(side).map { .number($0.same.count + $0.together.count) } ?? .unknown("not read")
      },
    ]
    if !options.isQuick {
      rows.append(
        row(
          "Of them changing with the host",
          note: container == nil
            ? "" : "No namespace covers these files: they are the host kernel's own counters."
        ) { side in
          if side.side == .host { return .value("-") }
          guard let files = found(side) else { return .unknown("not read") }
          return .value("\(files.together.count)", shared: !files.together.isEmpty)
        })
      rows.append(
        row("Which") { side in
          if side.side == .host { return .value("-") }
          guard let files = found(side) else { return .unknown("not read") }
          return .value(
            files.together.isEmpty ? "none" : Text.list(files.together, most: 16), shared: !files.together.isEmpty)
        })
    }
    for (name, text) in Canaries.all {
      rows.append(
        row("Canary: \(text)", note: Self.note(name)) { side in
          guard let found = side.findings["canary.\(name)"] else { return .unknown("not looked for") }
          // Seen on the host itself, or it proves nothing.
          if side.side != .host, let control = host?.findings["canary.\(name)"], control != "found" {
            return .unknown("the host does not see it either: \(control)")
          }
          return .value(found == "found" ? "found" : "hidden (\(found))", shared: found == "found")
        })
    }
    rows.append(said("Hostname", "canary.hostname", marks: true))
    return IsolationSection(
      number: 5, title: "Leaks",
      introduction: options.isQuick
        ? "Canaries are planted on the host, and looked for inside."
        : "Files are read twice, and between the two the host \(HostLoad.text): a number that stands as high on both sides and goes as far is the same kernel's. Canaries are planted on the host, and looked for inside.",
      rows: rows)
  }

  private static func note(_ name: String) -> String {
    name == "key"
      ? "Docker's profile filters keyctl. Without the filter the keyring would be found: keyrings belong to user namespaces, and root's container is in the host's."
      : ""
  }

  private func files(_ side: SideResult) -> Files? {
    guard side.side != .host, side.failure == nil, !side.hostFiles.isEmpty else { return nil }
    var result = Files()
    var second: [String: FileSample] = [:]
    for text in side.findings.all("file2") {
      if let sample = try? FileSample(text) { second[sample.path] = sample }
    }
    var hosts: [[String: FileSample]] = []
    for samples in side.hostFiles {
      var byPath: [String: FileSample] = [:]
      for sample in samples { byPath[sample.path] = sample }
      hosts.append(byPath)
    }
    for text in side.findings.all("file1") {
      guard let first = try? FileSample(text) else { continue }
      result.read += 1
      guard let host = hosts[0][first.path] else { continue }
      if hosts.count > 1, let later = second[first.path], let hostLater = hosts[1][first.path] {
        switch FileVerdict.of(inside: (first, later), host: (host, hostLater)) {
        case .same: result.same.append(first.path)
        case .changesTogether: result.together.append(first.path)
        case .hidden, .different: break
        }
      } else if first == host, first.size > 0 {
        result.same.append(first.path)
      }
    }
    return result
  }
}
