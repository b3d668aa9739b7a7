import JSON

extension CgroupStatistics {
  /// The value of "data" in a line of `events`, as engines read it.
  public var json: JSON {
    var members = [JSON.Member("cpu", cpuJSON), JSON.Member("cpuset", .object([]))]
    if let memory {
      let kernel = Self.json(memory.kernel)
      members.append(
        JSON.Member(
          "memory",
          .object(
            [
              JSON.Member("cache", .of(memory.cache)), JSON.Member("usage", Self.json(memory.usage)),
              JSON.Member("swap", Self.json(memory.swap)), JSON.Member("kernel", kernel),
              JSON.Member("kernelTCP", Self.json(memory.kernelTCP)),
              JSON.Member("raw", .object(memory.raw.map { JSON.Member($0.name, .of($0.value)) })),
            ] + psi("memory"))))
    }
    if let pids {
      members.append(
        JSON.Member(
          "pids", .object([JSON.Member("current", .of(pids.current)), JSON.Member("limit", .of(pids.limit))])))
    }
    members.append(JSON.Member("blkio", blockIOJSON))
    members.append(
      JSON.Member(
        "hugetlb",
        .object(
          hugetlb.map { entry in
            JSON.Member(
              entry.pageSize,
              .object([
                JSON.Member("usage", .of(entry.counter.usage)), JSON.Member("max", .of(entry.counter.peak)),
                JSON.Member("failcnt", .of(entry.counter.failures)),
              ]))
          })))
    if !rdma.isEmpty {
      func table(_ limits: Bool) -> JSON {
        .array(
          rdma.filter { $0.isLimit == limits }.map { entry in
            .object([
              JSON.Member("device", .string(entry.device)), JSON.Member("hcaHandles", .of(entry.handles)),
              JSON.Member("hcaObjects", .of(entry.objects)),
            ])
          })
      }
      members.append(
        JSON.Member("rdma", .object([JSON.Member("current", table(false)), JSON.Member("limit", table(true))])))
    }
    members.append(JSON.Member("intel_rdt", .object([])))
    members.append(JSON.Member("network_interfaces", .null))
    return .object(members)
  }

  private var cpuJSON: JSON {
    var usage = [JSON.Member("total", .of(cpu.total))]
    if !cpu.perCPU.isEmpty { usage.append(JSON.Member("percpu", .array(cpu.perCPU.map { JSON.of($0) }))) }
    usage.append(JSON.Member("kernel", .of(cpu.kernel)))
    usage.append(JSON.Member("user", .of(cpu.user)))
    let throttling = JSON.object([
      JSON.Member("periods", .of(cpu.periods)), JSON.Member("throttledPeriods", .of(cpu.throttledPeriods)),
      JSON.Member("throttledTime", .of(cpu.throttledTime)),
    ])
    return .object([JSON.Member("usage", .object(usage)), JSON.Member("throttling", throttling)] + psi("cpu"))
  }

  private var blockIOJSON: JSON {
    var tables: [JSON.Member] = []
    for (name, table) in [
      ("ioServiceBytesRecursive", "io_service_bytes_recursive"), ("ioServicedRecursive", "io_serviced_recursive"),
    ] {
      let rows = blockIO.filter { $0.table == table }.map { row in
        JSON.object([
          JSON.Member("major", .of(row.major)), JSON.Member("minor", .of(row.minor)),
          JSON.Member("op", .string(row.operation)), JSON.Member("value", .of(row.value)),
        ])
      }
      if !rows.isEmpty { tables.append(JSON.Member(name, .array(rows))) }
    }
    return .object(tables + psi("io"))
  }

  private func psi(_ resource: String) -> [JSON.Member] {
    let entries = pressure.filter { $0.resource == resource }
    guard !entries.isEmpty else { return [] }
    return [
      JSON.Member(
        "psi",
        .object(
          entries.map { entry in
            var members: [JSON.Member] = []
            for (name, value) in zip(["avg10", "avg60", "avg300"], entry.averages) {
              members.append(JSON.Member(name, .number(Double(value) / 100)))
            }
            members.append(JSON.Member("total", .of(entry.total)))
            return JSON.Member(entry.share, .object(members))
          }))
    ]
  }

  private static func json(_ counter: Counter) -> JSON {
    .object([
      JSON.Member("limit", .of(counter.limit)), JSON.Member("usage", .of(counter.usage)),
      JSON.Member("max", .of(counter.peak)), JSON.Member("failcnt", .of(counter.failures)),
    ])
  }
}

extension JSON {
  /// A number that may need all 64 bits.
  static func of(_ value: UInt64) -> JSON { Int64(exactly: value).map { .integer($0) } ?? .unsigned(value) }
}
