import JSON
import Testing

@testable import Doctor

@Suite struct DiagnosisTests {
  /// Findings of these IDs, all of which work but those in `failing`.
  private func diagnosis(failing: [String] = [], user: UInt32 = 0) -> Diagnosis {
    let ids = [
      "kvm.device", "kvm.machine", "kvm.guest", "kvm.probe", "libvirt.helper", "libvirt.connect", "libvirt.guests",
      "kernels.default", "linux.boot", "namespace.pid", "namespace.user", "seccomp.filter",
      "overlay", "overlay.rootless", "container", "cgroup.memory", "cgroup.delegation",
    ]
    return Diagnosis(
      ids.map { id in
        failing.contains(id)
          ? .lacks(id, .kvm, id, "broken \(id)", cost: "much", remedy: "mend it") : .works(id, .kvm, id, "fine")
      }, Caller(user: user))
  }

  private func job(_ diagnosis: Diagnosis, _ id: String) throws -> Diagnosis.Job {
    try #require(diagnosis.jobs.first { $0.id == id })
  }

  @Test func everythingWorks() throws {
    let all = diagnosis()
    #expect(all.isWell)
    #expect(all.jobs.map(\.id) == ["built-in-guest", "linux-vm", "container", "rootless-container"])
    #expect(!all.jobs.contains { !$0.works })
    #expect(try job(all, "linux-vm").text == "on KVM")
  }

  @Test func theLadder() throws {
    let emulated = diagnosis(failing: ["kvm.probe"])
    #expect(emulated.isWell)
    #expect(
      try job(emulated, "linux-vm").text.hasPrefix("by libvirt and QEMU's emulation, since KVM, kvm.probe: broken"))
    #expect(try job(emulated, "built-in-guest").works)
    let none = diagnosis(failing: ["kvm.probe", "libvirt.connect", "libvirt.guests", "linux.boot"])
    #expect(!none.isWell)
    #expect(try job(none, "linux-vm").text.contains("broken libvirt.connect"))
    #expect(try !job(diagnosis(failing: ["kvm.device", "kvm.guest"]), "built-in-guest").works)
  }

  @Test func aMissingKernelIsNamed() throws {
    let one = diagnosis(failing: ["kernels.default", "linux.boot"])
    #expect(!one.isWell)
    #expect(try job(one, "linux-vm").text.contains("vmrun kernel fetch debian"))
  }

  @Test func aKernelThatDoesNotBootIsNoMainJob() throws {
    let one = diagnosis(failing: ["linux.boot"])
    #expect(!one.isWell)
    #expect(try job(one, "linux-vm").text == "KVM, linux.boot: broken linux.boot")
  }

  @Test func containers() throws {
    let broken = diagnosis(failing: ["seccomp.filter", "container", "overlay.rootless"])
    #expect(!broken.isWell)
    #expect(try job(broken, "container").text.contains("broken seccomp.filter"))
    let rootless = diagnosis(failing: ["container", "namespace.pid"])
    #expect(rootless.isWell)
    #expect(try !job(diagnosis(failing: ["container"], user: 1000), "rootless-container").works)
    #expect(
      try job(diagnosis(failing: ["cgroup.memory"], user: 1000), "rootless-container").text.contains("without limits"))
  }

  @Test func screen() {
    let findings: [Finding] = [
      .works("a", .kvm, "device", "/dev/kvm opens"),
      .lacks(
        "b", .kvm, "probe", String(repeating: "long ", count: 40), cost: String(repeating: "cost ", count: 30),
        remedy: String(repeating: "mend ", count: 30)),
      .works("c", .cgroups, "cpu", "made", group: "limits"), .works("d", .cgroups, "memory", "made", group: "limits"),
      .lacks("e", .cgroups, "pids", "absent", state: .missing, cost: "--pids", group: "limits"),
    ]
    for width in [20, 60, 80, 100] {
      let plain = Screen(width: width, hasColour: false).text(Diagnosis(findings, Caller(user: 0)))
      for line in plain.split(separator: "\n") { #expect(line.utf8.count <= max(60, width), "\(line)") }
      #expect(plain.contains("  ok  device             /dev/kvm opens\n"))
      #expect(plain.contains("  NO  probe"))
      #expect(plain.contains("  ok  limits             cpu memory\n"))
      #expect(plain.contains("  --  limits             pids: absent\n      costs  --pids\n"))
      #expect(!plain.utf8.contains(0x1B))
      let coloured = Screen(width: width, hasColour: true).text(Diagnosis(findings, Caller(user: 0)))
      #expect(coloured.replacing(#/\u{1B}\[[0-9;]*m/#, with: "") == plain)
    }
  }

  @Test func json() throws {
    let text = diagnosis(failing: ["kvm.probe"]).json.serialized(pretty: true)
    let parsed = try JSON.parse(text)
    #expect(parsed["version"] == .integer(1))
    #expect(parsed["works"] == .boolean(true))
    guard case .array(let findings)? = parsed["findings"], case .array(let jobs)? = parsed["jobs"] else {
      Issue.record("no findings or no jobs")
      return
    }
    #expect(findings.count == 17 && jobs.count == 4)
    let probe = findings.first { $0["id"] == .string("kvm.probe") }
    #expect(probe?["state"] == .string("no"))
    #expect(probe?["costs"] == .string("much"))
    #expect(probe?["mend"] == .string("mend it"))
  }
}
