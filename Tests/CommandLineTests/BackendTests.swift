import Machine
import Testing

@testable import vmrun

@Suite struct BackendTests {
  private func verdict(_ ability: KVMProbe.Ability, _ reason: String = "why", remedy: String = "") -> KVMProbe.Verdict {
    KVMProbe.Verdict(
      ability: ability, reason: reason, remedy: remedy, module: "kvm_test", isRemembered: false, nanoseconds: 1)
  }

  private func parse(_ words: [String]) throws -> (Configuration, BackendChoice) {
    var parser = ArgumentParser(words)
    guard case .launch(let configuration, let backend, _) = try parser.parse() else { throw UsageError("not a launch") }
    return (configuration, backend)
  }

  private func message(_ words: [String]) -> String {
    do {
      _ = try parse(words)
      return ""
    } catch { return (error as? UsageError)?.message ?? "\(error)" }
  }

  @Test func theChoiceIsRead() throws {
    #expect(try parse([]).1 == .auto)
    #expect(try parse(["--kernel", "k"]).1 == .auto)
    #expect(try parse(["--kernel", "k", "--backend", "auto"]).1 == .auto)
    #expect(try parse(["--kernel", "k", "--backend", "kvm"]).1 == .kvm)
    #expect(try parse(["--kernel", "k", "--backend=libvirt"]).1 == .libvirt)
    #expect(try parse(["--backend=libvirt", "--rootfs", "r", "--", "x"]).1 == .libvirt)
    // The built-in guest takes KVM anyway.
    #expect(try parse(["--backend", "kvm"]).1 == .kvm)
    #expect(try parse(["--backend", "auto"]).1 == .auto)
  }

  @Test(arguments: [
    (["--backend"], "--backend needs a value"),
    (["--backend="], "--backend : expected auto, kvm or libvirt"),
    (["--kernel", "k", "--backend", "qemu"], "--backend qemu: expected auto, kvm or libvirt"),
    (["--backend", "libvirt"], "the built-in guest runs on KVM alone"),
    (
      ["--container", "--backend", "kvm", "--rootfs", "r", "--", "x"],
      "--backend is for a VM and means nothing for a container"
    ),
    (["--backend", "auto", "--isolation", "container", "--rootfs", "r", "--", "x"], "means nothing for a container"),
    (["--bakend", "kvm"], "did you mean --backend?"),
  ])
  func wrongChoices(words: [String], expected: String) {
    #expect(message(words).contains(expected), "\(message(words))")
  }

  /// A command that names no kernel is a Linux machine's all the same.
  @Test func aCommandNeedsNoKernelsName() throws {
    let (configuration, _) = try parse(["--rootfs", "r", "--cpus", "2", "--disk", "d", "--", "x"])
    #expect(configuration.kernel == nil && configuration.command?.rootfs == "r" && configuration.cpus == 2)
    #expect(message(["--rootfs", "r", "--memory", "32M", "--", "x"]).contains("below 64M"))
    #expect(message(["--rootfs", "r", "--initrd", "i", "--", "x"]).contains("exclude each other"))
  }

  private func choose(
    _ choice: BackendChoice, kernel: String? = "/k", _ verdict: KVMProbe.Verdict?, timings: TimingsFormat? = nil
  ) -> Backend {
    var configuration = Configuration()
    configuration.kernel = kernel
    return Backend.choose(choice, configuration, timings: timings, start: 7) {
      guard let verdict else {
        Issue.record("nobody should have asked")
        return self.verdict(.unanswered)
      }
      return verdict
    }
  }

  @Test func theBuiltInGuestTakesKVMUnasked() {
    for choice in [BackendChoice.auto, .kvm] {
      guard case .direct(let report) = choose(choice, kernel: nil, nil) else {
        Issue.record("not direct")
        continue
      }
      #expect(report.name == "kvm" && report.kernel == nil)
    }
  }

  @Test func explicitKVMIsNotProbed() {
    guard case .direct(let report) = choose(.kvm, nil) else {
      Issue.record("not direct")
      return
    }
    #expect(report.kernel == "/k" && report.reason == "asked for by --backend" && report.acceleration == "kvm")
  }

  @Test func theProbeDecides() {
    guard case .direct(let report) = choose(.auto, verdict(.capable, "it ran")) else {
      Issue.record("not direct")
      return
    }
    #expect(report.reason == "it ran" && report.machine == "microvm")
    for (ability, acceleration) in [
      (KVMProbe.Ability.incapable, Handover.Acceleration.emulation), (.unanswered, .unknown),
    ] {
      guard case .helper(let handover) = choose(.auto, verdict(ability, "it cannot"), timings: .json) else {
        Issue.record("not the helper")
        continue
      }
      #expect(handover.reason == "it cannot" && handover.acceleration == acceleration)
      #expect(handover.start == 7 && handover.timings == 2 && handover.configuration.kernel == "/k")
    }
    guard case .helper(let handover) = choose(.auto, verdict(.unanswered, "denied", remedy: "usermod")) else {
      Issue.record("not the helper")
      return
    }
    #expect(handover.reason == "denied (to mend it: usermod)" && handover.timings == 0)
  }

  @Test func explicitLibvirtIsTakenAndToldWhatKVMCan() {
    for (ability, acceleration) in [
      (KVMProbe.Ability.capable, Handover.Acceleration.kvm), (.incapable, .emulation), (.unanswered, .unknown),
    ] {
      guard case .helper(let handover) = choose(.libvirt, verdict(ability), timings: .table) else {
        Issue.record("not the helper")
        continue
      }
      #expect(handover.reason == Handover.asked && handover.acceleration == acceleration && handover.timings == 1)
    }
  }

  @Test func theHelperIsLookedForBesideVmrunFirst() {
    #expect(
      HelperPlace.all(executable: "/opt/x/bin/vmrun") == [
        "/opt/x/bin/vmrun-libvirt", "/opt/x/libexec/vmrun/vmrun-libvirt", "/opt/x/libexec/vmrun-libvirt",
        "/usr/local/libexec/vmrun-libvirt", "/usr/libexec/vmrun-libvirt",
      ])
    #expect(
      HelperPlace.all(executable: "/usr/bin/vmrun") == [
        "/usr/bin/vmrun-libvirt", "/usr/libexec/vmrun/vmrun-libvirt", "/usr/libexec/vmrun-libvirt",
        "/usr/local/libexec/vmrun-libvirt",
      ])
    #expect(HelperPlace.all(executable: "/vmrun").first == "/vmrun-libvirt")
    #expect(HelperPlace.all(executable: nil).count == 2)
  }

  @Test func whereNothingServesBothCausesAreNamed() {
    var configuration = Configuration()
    configuration.kernel = "/k"
    var handover = Handover(configuration: configuration, start: 0, reason: "no KVM", acceleration: .unknown)
    let text = MachineLaunch.failure(handover, "no helper")
    #expect(text.contains("no VM can run this kernel here: no KVM;") && text.contains("no helper"))
    handover.reason = Handover.asked
    #expect(MachineLaunch.failure(handover, "no helper") == "--backend libvirt: no helper")
  }
}
