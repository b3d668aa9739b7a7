import CLinux
import System
import Testing

@testable import Doctor

/// What the doctor does on the machine that the tests run on.
@Suite(.serialized) struct LiveTests {
  @Test func trials() {
    let trial = Trial(interruption: nil)
    #expect(trial.run { () in "fine" } == .done("fine"))
    #expect(trial.run { () throws(DoctorError) in throw DoctorError("broken") } == .failed(DoctorError("broken")))
    let refused = trial.run { () throws(DoctorError) in
      clinux_set_errno(EACCES)
      throw DoctorError(refused: "open", "it")
    }
    #expect(refused.errno == .accessDenied)
    #expect(refused.text == "open it: Permission denied")
    let start = Clock.now()
    #expect(
      trial.run(milliseconds: 200) { () in
        while true { _ = pause() }
        return ""
      } == .hung(200))
    #expect(Clock.now() - start < 2_000_000_000)
    #expect(
      trial.run { () in
        _ = kill(getpid(), SIGKILL)
        return ""
      } == .failed(DoctorError("the trial died of signal 9")))
    #expect(trial.run { () in _exit(0) } == .failed(DoctorError("the trial ended without an answer")))
    // A long answer is cut, and what does not belong on a terminal is replaced.
    #expect(trial.run { () in String(repeating: "x", count: 100_000) }.text.utf8.count < 4096)
    #expect(trial.run { () in "a\u{1B}b" } == .done("a?b"))
  }

  @Test func aTrialChangesNothingHere() {
    let before = (getpid(), geteuid(), umask(0o22))
    _ = Trial(interruption: nil).run { () throws(DoctorError) in
      try Stage.becomeNobody()
      _ = umask(0o77)
      return ""
    }
    #expect(getpid() == before.0 && geteuid() == before.1 && umask(before.2) == 0o22)
  }

  /// Everything but what needs vmrun's own program, which the end-to-end tests have.
  @Test func everyLineIsThereAndProven() throws {
    let folders = Folder.names(in: "/sys/fs/cgroup")
    let mounts = HostText.lines("/proc/self/mountinfo")
    let diagnosis = try #require(Doctor(executable: "/nonexistent/vmrun", interruption: nil).examine())
    let ids = diagnosis.findings.map(\.id)
    #expect(Set(ids).count == ids.count)
    for id in [
      "kvm.device", "kvm.guest", "qemu", "kernels.default", "namespace.pid", "namespace.net", "namespace.ipc",
      "namespace.mnt", "namespace.uts", "namespace.cgroup", "namespace.time",
      "namespace.user", "cgroup.layout", "cgroup.cpu", "cgroup.memory", "cgroup.pids", "cgroup.cpuset", "cgroup.io",
      "cgroup.freezer", "cgroup.delegation", "cgroup.favordynmods",
      "seccomp.filter", "seccomp.flags", "seccomp.notify", "overlay", "overlay.rootless", "container", "network.bridge",
      "network.tap", "memlock",
    ] { #expect(ids.contains(id), "\(id)") }
    #expect(ids.contains("libvirt.helper") || ids.contains("libvirt.connect"))
    for finding in diagnosis.findings {
      #expect(!finding.text.isEmpty, "\(finding)")
      #expect(finding.cost.isEmpty == (finding.state == .works), "\(finding)")
    }
    #expect(diagnosis.findings.first { $0.id == "container" }?.state == .fails)
    // Nothing is left, and nothing is mounted.
    #expect(Folder.names(in: "/sys/fs/cgroup").sorted() == folders.sorted())
    #expect(HostText.lines("/proc/self/mountinfo") == mounts)
    for tree in CgroupTree.parse(mounts: mounts, memberships: HostText.lines("/proc/self/cgroup")) {
      #expect(Folder.names(in: tree.mountPoint).filter { $0 == "vmrun-doctor-\(getpid())" }.isEmpty)
      #expect(Folder.names(in: tree.mountPoint + tree.own).filter { $0 == "vmrun-doctor-\(getpid())" }.isEmpty)
    }
    let text = Screen(width: 100, hasColour: false).text(diagnosis)
    for line in text.split(separator: "\n") where !line.contains("/") { #expect(line.utf8.count <= 100, "\(line)") }
  }
}
