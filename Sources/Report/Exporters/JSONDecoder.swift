import JSON

extension BenchReport {
  /// Reads what `json()` wrote; members that are not known are passed over. The text is not trusted: a baseline may come from anywhere.
  /// - Throws: `ReportError`, which names the field ("series[3].wall[17]: expected ...").
  public static func decode(_ json: [UInt8]) throws(ReportError) -> BenchReport {
    let root = try Field.parse(json)
    try root.check(format: format, version: formatVersion)
    var report = BenchReport()
    report.version = try root["version"].string()
    report.date = try root["date"].signed()
    report.command = try root["command"].strings()
    report.seed = try root["seed"].word()
    report.reference = try root["reference"].string()
    report.isInterrupted = try root["interrupted"].boolean()
    report.environment = try root["environment"].facts()
    report.missing = try root["missing"].facts()
    for field in try root["arms"].elements() {
      let arm = try Arm(decoding: field)
      guard !report.arms.contains(where: { $0.id == arm.id }) else {
        throw field["id"].problem("two arms have this name")
      }
      report.arms.append(arm)
    }
    let arms = report.arms
    func known(_ field: Field) throws(ReportError) -> String {
      let id = try field.string()
      guard arms.contains(where: { $0.id == id }) else { throw field.problem("no arm has this name") }
      return id
    }
    if !report.reference.isEmpty { _ = try known(root["reference"]) }
    for field in try root["series"].elements() {
      report.series.append(try Series(decoding: field, arm: try known(field["arm"])))
    }
    for field in try root["concurrency"].optionalElements() {
      var latencies: [UInt64] = []
      for latency in try field["latencies"].elements() { latencies.append(try latency.count()) }
      report.concurrency.append(
        ConcurrencyPoint(
          arm: try known(field["arm"]), level: UInt32(try field["level"].count(most: UInt64(UInt32.max))),
          latencies: latencies, elapsed: try field["elapsed"].count()))
    }
    for field in try root["density"].optionalElements() {
      report.density.append(
        DensityPoint(
          arm: try known(field["arm"]), count: UInt32(try field["count"].count(most: UInt64(UInt32.max))),
          residentShare: try field["resident_share"].optionalCount(),
          availableChange: try field["available_change"].signed()))
    }
    if root["isolation"].value != nil { report.isolation = try IsolationReport(decoding: root["isolation"]) }
    return report
  }
}

extension Arm {
  fileprivate init(decoding field: Field) throws(ReportError) {
    let kindField = field["kind"]
    let kindName = try kindField.string()
    guard let kind = Kind(rawValue: kindName) else { throw kindField.problem("expected host, container or machine") }
    self.init(
      id: try field["id"].string(), name: try field["name"].string(), kind: kind, isPeer: try field["peer"].boolean(),
      command: try field["command"].strings(), note: try field["note"].string())
  }
}

extension Series {
  fileprivate init(decoding field: Field, arm: String) throws(ReportError) {
    let cacheField = field["cache"]
    let cacheName = try cacheField.string()
    guard let cache = PageCache(rawValue: cacheName) else { throw cacheField.problem("expected warm or cold") }
    self.init(
      arm: arm, cache: cache, samples: try Self.samples(field), bytesRead: try field["bytes_read"].optionalCount(),
      systemCalls: try field["system_calls"].optionalCount(),
      residentShare: try field["resident_share"].optionalCount())
  }

  private static func samples(_ field: Field) throws(ReportError) -> [Sample] {
    let wall = try field["wall"].elements()
    let order = try field["order"].elements(wall.count)
    let firstByte = try field["first_byte"].elements(wall.count)
    let user = try field["user"].elements(wall.count)
    let system = try field["system"].elements(wall.count)
    let peak = try field["peak_resident"].elements(wall.count)
    let codes = try field["exit_code"].elements(wall.count)
    let setOf = try field["phase_set"].elements(wall.count)
    let ends = try field["phase_ends"].elements(wall.count)
    var sets: [[String]] = []
    for set in try field["phase_sets"].elements() { sets.append(try set.strings()) }
    var samples: [Sample] = []
    samples.reserveCapacity(wall.count)
    for index in wall.indices {
      let set = try setOf[index].count()
      guard set < UInt64(sets.count) else { throw setOf[index].problem("there are only \(sets.count) sets of phases") }
      let names = sets[Int(set)]
      var phases: [PhaseEnd] = []
      for (place, end) in try ends[index].elements(names.count).enumerated() {
        phases.append(PhaseEnd(name: names[place], end: try end.count()))
      }
      samples.append(
        Sample(
          wall: try wall[index].count(), firstByte: try firstByte[index].optionalCount(), user: try user[index].count(),
          system: try system[index].count(), peakResident: try peak[index].count(), phases: phases,
          order: try order[index].count(), exitCode: Int32(try codes[index].signed(most: 1 << 30))))
    }
    return samples
  }
}

extension IsolationReport {
  /// Reads what `json()` wrote. The text is not trusted.
  /// - Throws: `ReportError`, which names the field.
  public static func decode(_ json: [UInt8]) throws(ReportError) -> IsolationReport {
    let root = try Field.parse(json)
    try root.check(format: format, version: formatVersion)
    return try IsolationReport(decoding: root)
  }

  init(decoding root: Field) throws(ReportError) {
    try root.checkObject()
    let sides = try root["sides"].strings()
    var sections: [IsolationSection] = []
    for field in try root["sections"].elements() {
      var rows: [IsolationRow] = []
      for row in try field["rows"].elements() { rows.append(try Self.row(row, sides: sides.count)) }
      sections.append(
        IsolationSection(
          number: UInt32(try field["number"].count(most: 1000)), title: try field["title"].string(),
          introduction: try field["introduction"].string(), rows: rows))
    }
    self.init(
      sides: sides, sections: sections, unmeasured: try root["unmeasured"].facts(),
      notShown: try root["not_shown"].strings(), environment: try root["environment"].facts())
  }

  private static func row(_ field: Field, sides: Int) throws(ReportError) -> IsolationRow {
    var findings: [Finding] = []
    for finding in try field["findings"].elements(sides) {
      if finding["unknown"].value != nil {
        findings.append(.unknown(try finding["unknown"].string()))
      } else {
        findings.append(.value(try finding["value"].string()))
      }
    }
    var shared: [Bool] = []
    for flag in try field["shared"].elements(sides) { shared.append(try flag.boolean()) }
    return IsolationRow(
      question: try field["question"].string(), findings: findings, isShared: shared, note: try field["note"].string())
  }
}
