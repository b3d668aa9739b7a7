import CLinux
import GuestMemory
import Hypervise
import KernelCache
import ProbeGuest
import ProbeGuestABI
import System
import Testing

@testable import Machine

@Suite struct ProbeTraceTests {
  private static let subject = "KVM here (kvm_test)"

  private func verdict(
    _ step: Int, _ fastest: UInt64?, _ ending: ProbeTrace.Ending
  ) -> (ability: KVMProbe.Ability, reason: String) {
    var trace = ProbeTrace()
    (trace.step, trace.fastest, trace.ending) = (step, fastest, ending)
    return trace.verdict(Self.subject)
  }

  @Test func whatRanAllStepsFastEnoughIsCapable() {
    // 20,000 instructions: 60 ns each is the most.
    for fastest in [UInt64(1), 20_000, 100_000, 1_200_000] {
      let verdict = verdict(PROBE_STEP_DONE, fastest, .done)
      #expect(verdict.ability == .capable && verdict.reason == "the probe guest ran what stock kernels do")
    }
  }

  @Test(arguments: [
    (PROBE_STEP_DONE, 1_200_001, ProbeTrace.Ending.done, "emulates guest code, 0.06 us per instruction"),
    (PROBE_STEP_DONE, 22_000_000, .done, "emulates guest code, 1.1 us per instruction"),
    (
      PROBE_STEP_CMPXCHG16B, 13_000_000, .gaveUp,
      "emulates guest code, 0.65 us per instruction, and cannot execute lock cmpxchg16b"
    ),
    (PROBE_STEP_CMPXCHG16B, 20_000, .gaveUp, "cannot execute lock cmpxchg16b"),
    (PROBE_STEP_XSAVE, 20_000, .shutdown, "shuts the processor down at xsetbv, xsave and xrstor"),
    (PROBE_STEP_MSR, 20_000, .wrong, "does the model-specific registers that kernels set first wrong"),
    (PROBE_STEP_EXCEPTION, 20_000, .stuck, "does not get over an exception and iretq"),
    (PROBE_STEP_SPEED, nil, .stuck, "emulates guest code, more than 2.5 us per instruction"),
    (PROBE_STEP_SPEED, 26_000_000, .stuck, "emulates guest code, 1.3 us per instruction"),
    (PROBE_STEP_SPEED, nil, .gaveUp, "cannot execute a plain loop"),
    (PROBE_STEP_ENTRY, nil, .stuck, "does not get over the first instruction in 64-bit mode"),
    (0, nil, .shutdown, "shuts the processor down at what stock kernels do first"),
    (4_294_967_295, 1, .gaveUp, "cannot execute what stock kernels do first"),
    (0, nil, .refused("lacks KVM_CAP_SPLIT_IRQCHIP"), "lacks KVM_CAP_SPLIT_IRQCHIP"),
  ] as [(Int, UInt64?, ProbeTrace.Ending, String)])
  func everyFailureHasItsReason(step: Int, fastest: UInt64?, ending: ProbeTrace.Ending, reason: String) {
    let verdict = verdict(step, fastest, ending)
    #expect(verdict.ability == .incapable)
    #expect(verdict.reason == "\(Self.subject) \(reason)")
  }

  @Test func whatSaysNothingAboutKVMIsNoVerdict() {
    #expect(verdict(PROBE_STEP_SPEED, nil, .starved).ability == .unanswered)
    let failed = verdict(0, nil, .failed("KVM_CREATE_VM: Cannot allocate memory"))
    #expect(failed.ability == .unanswered && failed.reason == "KVM_CREATE_VM: Cannot allocate memory")
  }

  @Test func everyStepHasAName() {
    for step in PROBE_STEP_ENTRY..<PROBE_STEP_DONE { #expect(ProbeStep.name(step) != nil) }
    for step in [0, PROBE_STEP_DONE, -1, Int.max] { #expect(ProbeStep.name(step) == nil) }
  }

  @Test func theImageFitsItsPlace() {
    #expect(ProbeGuest.size > 500 && ProbeGuest.size <= 4096)
    #expect(PROBE_LOAD_ADDRESS + 4096 <= PROBE_MEMORY && PROBE_STATE + 4096 <= PROBE_LOAD_ADDRESS)
  }

  @Test(arguments: [
    (KVMError.absent(path: "/dev/kvm"), "/dev/kvm is not there", "modprobe"),
    (.notPermitted(path: "/dev/kvm"), "/dev/kvm: permission denied", "usermod -aG kvm"),
    (.busy(path: "/dev/kvm"), "/dev/kvm is busy", ""),
    (.apiVersion(path: "/dev/kvm", -1), "does not answer as KVM", ""),
    (.open(path: "/dev/kvm", .ioError), "cannot open /dev/kvm", ""),
  ] as [(KVMError, String, String)])
  func whoCannotBeAskedIsToldApart(error: KVMError, reason: String, remedy: String) {
    let verdict = KVMProbe.verdict(error)
    #expect(verdict.ability == .unanswered && !verdict.isCapable && !verdict.isRemembered)
    #expect(verdict.reason.contains(reason), "\(verdict.reason)")
    #expect(remedy.isEmpty ? verdict.remedy.isEmpty : verdict.remedy.contains(remedy), "\(verdict.remedy)")
  }
}

/// The probe guest on this machine's own KVM, of whatever kind that is.
@Suite(.serialized) struct ProbeGuestTests {
  /// What this machine's KVM must turn out to be, from what sysfs and the device node say; nil when it cannot be known beforehand.
  private static let expected: KVMProbe.Ability? = {
    guard let node = try? FileDescriptor.open("/dev/kvm", O_RDWR) else { return .unanswered }
    _ = node
    func loaded(_ name: String) -> Bool { access("/sys/module/\(name)", F_OK) == 0 }
    let (intel, amd) = (clinux_cpuid(1, 0).ecx & 1 << 5 != 0, clinux_cpuid(0x8000_0001, 0).ecx & 1 << 2 != 0)
    if intel && loaded("kvm_intel") || amd && loaded("kvm_amd") { return .capable }
    return loaded("kvm_pvm") ? .incapable : nil
  }()

  @Test func itTellsHardwareFromEmulation() throws {
    let verdict = KVMProbe.run()
    print("probe: \(verdict)")
    #expect(!verdict.isRemembered && !verdict.reason.isEmpty)
    if let expected = Self.expected { #expect(verdict.ability == expected, "\(verdict.reason)") }
    switch verdict.ability {
    case .capable: #expect(verdict.reason == KVMProbe.proven && verdict.nanoseconds > 0)
    case .incapable:
      #expect(verdict.reason.hasPrefix("KVM here (\(KVMProbe.module()))"), "\(verdict.reason)")
      if verdict.module == "kvm_pvm" { #expect(verdict.reason.contains("emulates guest code"), "\(verdict.reason)") }
    case .unanswered: #expect(access("/dev/kvm", R_OK | W_OK) != 0, "\(verdict.reason)")
    }
    // A second each way is for a busy machine; the processor time is bounded to a few tenths of it.
    #expect(verdict.nanoseconds < 5_000_000_000)
  }

  @Test func itLeavesTheSignalAsItWas() throws {
    _ = KVMProbe.run()
    var action = sigaction()
    #expect(sigaction(SIGALRM, nil, &action) == 0)
    #expect(action.__sigaction_handler.sa_handler == nil, "SIGALRM has its default meaning")
  }

  @Test func theAnswerIsRememberedUntilItNoLongerFits() throws {
    guard Self.expected != .unanswered else {
      // Then nothing may be kept.
      let folder = try TemporaryFolder()
      #expect(KVMProbe.verdict(memory: ProbeMemory(folder: folder.path, boot: ProbeRecordTests.boot)).ability == .unanswered)
      #expect(access(folder.path + "/kvm-probe", F_OK) != 0)
      return
    }
    let folder = try TemporaryFolder()
    let memory = ProbeMemory(folder: folder.path, boot: ProbeRecordTests.boot)
    let first = KVMProbe.verdict(memory: memory)
    let second = KVMProbe.verdict(memory: memory)
    #expect(!first.isRemembered && second.isRemembered)
    #expect(second.ability == first.ability && second.reason == first.reason && second.nanoseconds == first.nanoseconds)
    #expect(!KVMProbe.verdict(memory: ProbeMemory(folder: folder.path, boot: "another")).isRemembered)
  }
}

@Suite struct ProbeRecordTests {
  static let boot = "d249e1ba-afa5-4496-860d-7c186529addd"
  private static let module = KVMModule(name: "kvm_amd", generation: 8977)
  private static let record = ProbeRecord(
    boot: boot, module: module, ability: .capable, nanoseconds: 1234, reason: KVMProbe.proven)
  private static let text = """
    vmrun-kvm-probe 1
    boot d249e1ba-afa5-4496-860d-7c186529addd
    module kvm_amd
    generation 8977
    verdict capable
    took 1234
    reason the probe guest ran what stock kernels do

    """

  @Test func theFileIsAsItWasDesigned() {
    #expect(String(decoding: Self.record.bytes(), as: UTF8.self) == Self.text)
    #expect(ProbeRecord(Array(Self.text.utf8)) == Self.record)
  }

  @Test(arguments: [
    ("vmrun-kvm-probe 1", "vmrun-kvm-probe 2"), ("vmrun-kvm-probe 1", "vmrun-kvm-probe 01"),
    ("vmrun-kvm-probe 1", "vmrun-kvm-probe  1"), ("vmrun-kvm-probe 1\n", ""), ("vmrun-kvm-probe 1", "\nvmrun-kvm-probe 1"),
    ("boot ", "Boot "), ("boot d249e1ba-afa5-4496-860d-7c186529addd", "boot "), ("boot d249", "boot\td249"),
    ("module kvm_amd\n", ""), ("module kvm_amd", "module"), ("generation 8977", "generation -1"),
    ("generation 8977", "generation +1"), ("generation 8977", "generation 08977"),
    ("generation 8977", "generation 18446744073709551616"), ("generation 8977", "generation 0x1"),
    ("verdict capable", "verdict unanswered"), ("verdict capable", "verdict CAPABLE"),
    ("verdict capable", "verdict capable "), ("took 1234", "took"), ("took 1234", "took 1234 "),
    ("took 1234", "took 1e3"), ("reason the", "reason \u{1B}[2Jthe"), ("reason the", "reason thé"),
    ("do\n", "do"), ("do\n", "do\n\n"), ("do\n", "do\nmore 1\n"), ("do\n", "do\r\n"), ("do\n", "do\u{0}\n"),
    ("reason the probe guest ran what stock kernels do", "reason "),
    ("reason the probe", "reason " + String(repeating: "x", count: 1024)),
  ])
  func whatVmrunDidNotWriteIsNotBelieved(old: String, new: String) {
    let text = Self.text.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false).joined(separator: new)
    #expect(text != Self.text)
    #expect(ProbeRecord(Array(text.utf8)) == nil, "\(text)")
  }

  @Test func everyCutAndEveryFlippedBitIsAnswered() {
    let bytes = Self.record.bytes()
    for count in 0..<bytes.count { #expect(ProbeRecord(Array(bytes[..<count])) == nil) }
    for index in bytes.indices {
      for bit in 0..<8 {
        var changed = bytes
        changed[index] ^= 1 << UInt8(bit)
        // Some are other records; none is this one, and what they hold can be shown.
        if let record = ProbeRecord(changed) {
          #expect(record != Self.record)
          #expect(record.reason.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F })
        }
      }
    }
  }

  private func verdict(_ ability: KVMProbe.Ability, _ reason: String = "why") -> KVMProbe.Verdict {
    .init(ability: ability, reason: reason, remedy: "", module: "kvm_amd", isRemembered: false, nanoseconds: 5)
  }

  @Test func onlyTheSameBootAndModuleRecall() throws {
    let folder = try TemporaryFolder()
    let place = folder.path + "/new/folders"
    let memory = ProbeMemory(folder: place, boot: Self.boot)
    #expect(memory.recall(Self.module) == nil)
    memory.keep(verdict(.incapable), Self.module)
    let recalled = try #require(memory.recall(Self.module))
    #expect(recalled.isRemembered && recalled.ability == .incapable && recalled.reason == "why" && recalled.nanoseconds == 5)
    #expect(ProbeMemory(folder: place, boot: "another").recall(Self.module) == nil)
    #expect(ProbeMemory(folder: place, boot: nil).recall(Self.module) == nil)
    #expect(memory.recall(KVMModule(name: "kvm_intel", generation: 8977)) == nil)
    #expect(memory.recall(KVMModule(name: "kvm_amd", generation: 8978)) == nil)
    memory.keep(verdict(.capable, "now"), Self.module)
    #expect(memory.recall(Self.module)?.reason == "now")
    // Replaced, with nothing left beside it.
    let names = try #require(opendir(place))
    defer { closedir(names) }
    var count = 0
    while readdir(names) != nil { count += 1 }
    #expect(count == 3)
  }

  @Test func whatCannotBeKeptIsNot() throws {
    let folder = try TemporaryFolder()
    let memory = ProbeMemory(folder: folder.path, boot: Self.boot)
    memory.keep(verdict(.unanswered), Self.module)
    memory.keep(verdict(.capable, "two\nlines"), Self.module)
    memory.keep(verdict(.capable, String(repeating: "x", count: 2000)), Self.module)
    #expect(access(folder.path + "/kvm-probe", F_OK) != 0)
    // No folder, and one that cannot be made.
    ProbeMemory(folder: nil, boot: Self.boot).keep(verdict(.capable), Self.module)
    ProbeMemory(folder: "/proc/none", boot: Self.boot).keep(verdict(.capable), Self.module)
  }

  @Test func nobodyElseCanHaveWrittenIt() throws {
    let folder = try TemporaryFolder()
    let memory = ProbeMemory(folder: folder.path, boot: Self.boot)
    let path = folder.path + "/kvm-probe"
    memory.keep(verdict(.capable), Self.module)
    #expect(memory.recall(Self.module) != nil)
    for mode in [0o620, 0o602, 0o666] as [mode_t] {
      #expect(chmod(path, mode) == 0)
      #expect(memory.recall(Self.module) == nil)
    }
    #expect(chmod(path, 0o600) == 0)
    if geteuid() == 0 {
      #expect(chown(path, 65534, 65534) == 0)
      #expect(memory.recall(Self.module) == nil)
      #expect(chown(path, 0, 0) == 0)
    }
    #expect(memory.recall(Self.module) != nil)
    #expect(rename(path, folder.path + "/other") == 0)
    try folder.link("kvm-probe", to: "other")
    #expect(memory.recall(Self.module) == nil)
    #expect(unlink(path) == 0 && mkfifo(path, 0o600) == 0)
    #expect(memory.recall(Self.module) == nil)
    #expect(unlink(path) == 0 && mkdir(path, 0o700) == 0)
    #expect(memory.recall(Self.module) == nil)
    // A folder that others may write to gets nothing.
    #expect(rmdir(path) == 0 && chmod(folder.path, 0o777) == 0)
    memory.keep(verdict(.capable), Self.module)
    #expect(access(path, F_OK) != 0)
  }

  @Test func theBootHasItsNumber() throws {
    let boot = try #require(ProbeMemory.bootID())
    #expect(boot.utf8.count == 36 && boot == ProbeMemory.bootID())
  }

  @Test(arguments: [
    (nil, nil, nil), ("/x", "/h", "/x/vmrun"), ("x", "/h", "/h/.cache/vmrun"), (nil, "/h", "/h/.cache/vmrun"),
    ("", "h", nil),
  ] as [(String?, String?, String?)])
  func theFolderFollowsTheEnvironment(cache: String?, home: String?, folder: String?) {
    #expect(CacheNote.folder(xdgCacheHome: cache, home: home) == folder)
    #expect(KernelCache.defaultFolder(xdgCacheHome: cache, home: home) == folder.map { $0 + "/kernels" })
  }
}

@Suite struct BackendReportTests {
  @Test func itsJSONIsJSON() {
    let report = BackendReport(
      name: "libvirt", acceleration: "emulation", machine: "q35", reason: "a \"b\" \\ \n\u{1} é", kernel: "/k")
    #expect(
      report.json
        == #""backend":{"name":"libvirt","acceleration":"emulation","machine":"q35","reason":"a \"b\" \\ \u000a\u0001 é"},"kernel":"/k""#
    )
    #expect(BackendReport.direct(reason: "r", kernel: nil).json.hasSuffix("\"kernel\":null"))
    #expect(BackendReport.direct(reason: "r", kernel: "/k").line == "backend kvm (microvm, kvm): r\n")
  }
}
