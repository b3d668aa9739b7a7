import Statistics

@testable import Report

/// Reports made of seeded numbers, shaped like real ones.
enum Synthetic {
  private struct Plan {
    var arm: Arm
    /// Milliseconds.
    var wall: Double
    var resident: Double
    var phases: [(String, Double)]
    var isBimodal = false
  }

  private static let machinePhases = [
    ("parse", 0.02), ("open KVM", 0.03), ("create VM", 0.12), ("memory", 0.05), ("load kernel", 0.13), ("vCPU", 0.1),
    ("first entry", 0.05), ("kernel start", 0.3), ("init", 0.08), ("payload", 0.04), ("exit", 0.03),
  ]
  private static let containerPhases = [
    ("parse", 0.03), ("clone", 0.12), ("namespaces", 0.22), ("cgroup", 0.14), ("mounts", 0.16), ("pivot", 0.05),
    ("seccomp", 0.04), ("exec", 0.12), ("payload", 0.06), ("exit", 0.04),
  ]

  private static let plans: [Plan] = [
    Plan(
      arm: Arm(
        id: "host", name: "Host process", kind: .host, isPeer: false, command: ["images/payload/first-byte"]),
      wall: 0.92,
      resident: 0.9, phases: []),
    Plan(
      arm: Arm(
        id: "container", name: "Container, vmrun", kind: .container, isPeer: false,
        command: ["vmrun", "--container", "--", "/payload"]), wall: 3.9, resident: 2.1, phases: containerPhases),
    Plan(
      arm: Arm(
        id: "vm", name: "vmrun VM, built-in guest", kind: .machine, isPeer: false,
        command: ["vmrun", "--quiet", "--", "/payload"]), wall: 2.7, resident: 3.4, phases: machinePhases),
    Plan(
      arm: Arm(
        id: "vm-linux", name: "VM, Debian kernel 6.1 (libvirt, TCG)", kind: .machine, isPeer: false,
        command: ["vmrun", "--kernel", "6.1.0-49-cloud-amd64", "--memory", "128M", "--", "/payload"],
        note: "run by libvirt with QEMU's emulation: no hardware virtualisation here"), wall: 2110, resident: 8.61,
      phases: machinePhases, isBimodal: true),
    Plan(
      arm: Arm(id: "crun", name: "crun 1.8.1", kind: .container, isPeer: true, command: ["crun", "run", "bench-1"]),
      wall: 22.9, resident: 3.4, phases: []),
    Plan(
      arm: Arm(id: "runc", name: "runc 1.1.5", kind: .container, isPeer: true, command: ["runc", "run", "bench-1"]),
      wall: 37.4, resident: 10, phases: []),
    Plan(
      arm: Arm(
        id: "bwrap", name: "bubblewrap 0.8.0", kind: .container, isPeer: true,
        command: ["bwrap", "--unshare-all", "--ro-bind", "root fs", "/", "/payload"]), wall: 6.5, resident: 2,
      phases: []),
    Plan(
      arm: Arm(
        id: "qemu", name: "QEMU 7.2 microvm", kind: .machine, isPeer: true,
        command: ["qemu-system-x86_64", "-M", "microvm", "-nodefaults", "-append", "console=ttyS0 quiet"]), wall: 38.2,
      resident: 47, phases: []),
  ]

  static func bench(runs: Int = 60, isWithIsolation: Bool = true) -> BenchReport {
    var random = Random(seed: 5)
    // About normal.
    func noise() -> Double { (0..<6).reduce(0) { sum, _ in sum + random.uniform() } / 6 - 0.5 }
    var report = BenchReport()
    report.version = "0.5.0"
    report.date = 1_787_493_900
    report.command = [
      "vmrun", "bench", "--runs", "\(runs)", "--seed", "5", "--concurrency", "1,2,4,8", "--html", "my report.html",
    ]
    report.seed = 5
    report.reference = "host"
    report.arms = plans.map { $0.arm }
    report.environment = [
      Fact("processor", "AMD EPYC 7B13 (2 of 64 hardware threads)"), Fact("kernel", "6.8.0-1021 x86_64"),
      Fact("KVM", "kvm_amd, nested: yes"), Fact("governor", "not readable"), Fact("transparent huge pages", "madvise"),
      Fact("cgroup version", "1"), Fact("mitigations", "Spectre v2: Retpolines; IBPB: conditional; STIBP: disabled"),
      Fact("payload", "static, 21,344 bytes, sha256 0a6b1f3c77d81a5d2f3f0b9e8cbb9a60f9e2a2f1c4a55de1a8f7e6c1b2d3e4f5"),
    ]
    report.missing = [Fact("podman", "not installed"), Fact("docker", "installed, but its daemon does not answer")]
    for (place, plan) in plans.enumerated() {
      for cache in [PageCache.warm, .cold] where cache == .warm || place < 4 {
        let base = plan.wall * (cache == .cold ? 1.6 : 1)
        var samples: [Sample] = []
        for run in 0..<runs {
          var wall = base * (1 + noise() * 0.3)
          if plan.isBimodal, run % 3 == 1 { wall *= 1.5 }
          if run % 29 == 17 { wall *= 1.8 }
          let share = plan.phases.reduce(0) { $0 + $1.1 }
          var end = 0.0
          let phases = plan.phases.map { name, part in
            end += wall * part / share * 0.93
            return PhaseEnd(name: name, end: UInt64(end * 1e6))
          }
          samples.append(
            Sample(
              wall: UInt64(wall * 1e6), firstByte: UInt64(wall * 0.82e6), user: UInt64(wall * 0.2e6),
              system: UInt64(wall * 0.55e6), peakResident: UInt64(plan.resident * (1.2 + noise() * 0.02) * 1_048_576),
              phases: phases, order: UInt64(run * plans.count + place)))
        }
        report.series.append(
          Series(
            arm: plan.arm.id, cache: cache, samples: samples,
            bytesRead: cache == .cold ? UInt64(plan.resident * 300_000) : 0,
            systemCalls: place == 3 ? nil : UInt64(40 + 60 * place),
            residentShare: place == 7 ? nil : UInt64(plan.resident * 1_048_576)))
      }
      guard place < 6 else { continue }
      for level in [1, 2, 4, 8] as [UInt32] {
        let slow = 1 + Double(level - 1) * (place == 5 ? 0.7 : 0.42)
        let latencies = (0..<64).map { _ in UInt64(plan.wall * slow * (1 + noise() * 0.5) * 1e6) }
        report.concurrency.append(
          ConcurrencyPoint(
            arm: plan.arm.id, level: level, latencies: latencies,
            elapsed: latencies.reduce(0, +) / UInt64(level) * 21 / 20))
      }
      guard place > 0, place < 5 else { continue }
      for count in [1, 2, 4, 8, 16, 32] as [UInt32] {
        let bytes = plan.resident * Double(count) * 1_048_576
        report.density.append(
          DensityPoint(
            arm: plan.arm.id, count: count, residentShare: place == 4 ? nil : UInt64(bytes),
            availableChange: Int64(bytes * 1.3) - 1_000_000))
      }
    }
    if isWithIsolation { report.isolation = isolation }
    return report
  }

  static var isolation: IsolationReport {
    func row(
      _ question: String, _ host: String, _ container: String, _ machine: String, shared: Bool = false,
      note: String = ""
    ) -> IsolationRow {
      IsolationRow(
        question: question, findings: [.value(host), .value(container), .value(machine)],
        isShared: [false, shared, false], note: note)
    }
    let titles = [
      "Whose kernel answered", "System calls that are reachable", "System calls on the sandbox's behalf",
      "What is visible",
      "Leaks", "Side effects that cross", "Limits that hold", "Privilege",
    ]
    return IsolationReport(
      sides: ["host", "container", "VM"],
      sections: titles.enumerated().map { index, title in
        IsolationSection(
          number: UInt32(index + 1), title: title,
          introduction: "The same questions on each side; what is asked here shows \(title.lowercased()).",
          rows: [
            row(
              "boot id", "6f1c22aa", "6f1c22aa", "c09d1e7b", shared: true,
              note: "A container has no kernel of its own: it is the host's that answers."),
            row("kernel release", "6.8.0-1021-generic", "6.8.0-1021-generic", "6.1.0-49-cloud-amd64", shared: true),
            row("processes that can be seen", "214", "2", "1"),
            row("page size", "4096", "4096", "4096"),
            IsolationRow(
              question: "system calls reached, of 462",
              findings: [
                .value("431 reached, 31 no such call"), .value("318 reached, 96 filtered, 48 denied"),
                .unknown("the guest has no fork(2)"),
              ], isShared: [false, false, false]),
            IsolationRow(
              question: "host's kernel log",
              findings: [
                .value("readable"), .unknown("needs CAP_SYSLOG, which the container lacks"),
                .value("its own, 61 lines"),
              ], isShared: [false, false, false], note: "What the guest logs never reaches the host's log."),
          ])
      },
      unmeasured: [Fact("VM exits by reason", "tracefs is not mounted")],
      notShown: [
        "Faults in the hypervisor or the host's kernel that nobody knows yet.",
        "Side channels through caches, memory and branch predictors.",
      ],
      environment: [Fact("kernel", "6.8.0-1021 x86_64")])
  }

  /// Two arms, three runs each: small enough to be read.
  static var small: BenchReport {
    var report = BenchReport()
    report.version = "0.5.0"
    report.date = 1_787_493_900
    report.command = ["vmrun", "bench", "--runs", "3"]
    report.seed = 1
    report.reference = "host"
    report.arms = [
      Arm(id: "host", name: "Host process", kind: .host, isPeer: false, command: ["/payload"]),
      Arm(id: "vm", name: "VM", kind: .machine, isPeer: false, command: ["vmrun", "--", "/payload"], note: "a note"),
    ]
    report.environment = [Fact("kernel", "6.8")]
    report.missing = [Fact("runc", "not installed")]
    func sample(_ wall: UInt64, _ order: UInt64, phases: [PhaseEnd] = []) -> Sample {
      Sample(
        wall: wall, firstByte: order == 0 ? nil : wall / 2, user: wall / 4, system: wall / 2, peakResident: 1_048_576,
        phases: phases, order: order)
    }
    report.series = [
      Series(arm: "host", cache: .warm, samples: [sample(1_000_000, 0), sample(1_100_000, 2), sample(900_000, 4)]),
      Series(
        arm: "vm", cache: .warm,
        samples: [
          sample(
            2_500_000, 1, phases: [PhaseEnd(name: "open, KVM", end: 500_000), PhaseEnd(name: "run", end: 2_000_000)]),
          sample(
            2_600_000, 3, phases: [PhaseEnd(name: "open, KVM", end: 600_000), PhaseEnd(name: "run", end: 2_100_000)]),
          sample(2_400_000, 5),
        ], bytesRead: 4096, systemCalls: 40, residentShare: 2_097_152),
    ]
    return report
  }

  /// Names that would break what does not escape them.
  static let hostile = "<script>alert(\"1\")</script> & 'x' | `y` \u{1B}[31m \u{0} \u{202E} @everyone, \n# h"
}
