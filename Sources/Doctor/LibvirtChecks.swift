import CLinux
import JSON
import Kernels
import System

/// libvirt, asked by vmrun's helper, and QEMU.
enum LibvirtChecks {
  /// The time that the helper gets, in milliseconds.
  static let patience = 8000

  /// Starts the question, which may take its time.
  static func ask(_ helper: String?) -> Running? {
    helper.flatMap { try? Running($0, ["--check"]) }
  }

  static func findings(_ question: Running?, _ helper: String?, _ trial: Trial, _ caller: Caller) -> [Finding] {
    guard let helper else { return [noHelper] }
    guard let question else {
      return [
        .lacks(
          "libvirt.helper", .libvirt, "helper", "\(helper) cannot be executed", cost: cost, remedy: build)
      ]
    }
    return answer(
      question.finish(milliseconds: patience, interruption: trial.interruption), helper, caller)
  }

  static let cost = "Linux kernels where KVM cannot run them"
  static let build =
    "swift build -c release --product vmrun-libvirt   (packages libvirt-dev, libvirt-daemon-driver-qemu, qemu-system-x86)"

  static var noHelper: Finding {
    .lacks(
      "libvirt.helper", .libvirt, "helper", "vmrun-libvirt is neither beside vmrun nor in a libexec folder", cost: cost,
      remedy: build)
  }

  /// What the helper's answer means: one JSON object with library, uri, connected, error, hypervisor, kvm, emulation, machines, fix.
  static func answer(_ outcome: Program.Outcome, _ helper: String, _ caller: Caller) -> [Finding] {
    if outcome.ending == .timedOut {
      return [
        .lacks(
          "libvirt.connect", .libvirt, "libvirt", "no answer within \(patience / 1000) s", cost: cost,
          remedy: caller.asRoot("systemctl restart libvirtd"))
      ]
    }
    guard let answer = try? JSON.parse(outcome.output), case .object = answer else {
      return [
        .lacks(
          "libvirt.helper", .libvirt, "helper", "\(helper) does not answer: \(outcome.complaint)", cost: cost,
          remedy: build)
      ]
    }
    let fix = string(answer["fix"])
    var findings = [Finding.works("libvirt.helper", .libvirt, "helper", helper)]
    guard answer["connected"] == .boolean(true) else {
      let error = string(answer["error"])
      findings.append(
        .lacks(
          "libvirt.connect", .libvirt, "libvirt",
          "\(string(answer["uri"])): \(error.isEmpty ? "no connection" : error)", cost: cost,
          remedy: fix.isEmpty ? caller.asRoot("systemctl start libvirtd") : fix))
      return findings
    }
    var text = "library \(string(answer["library"])), connected to \(string(answer["uri"]))"
    let hypervisor = string(answer["hypervisor"])
    if !hypervisor.isEmpty { text += ", \(hypervisor)" }
    findings.append(.works("libvirt.connect", .libvirt, "libvirt", text))
    let (kvm, emulation) = (answer["kvm"] == .boolean(true), answer["emulation"] == .boolean(true))
    let machines = names(answer["machines"])
    guard kvm || emulation else {
      findings.append(
        .lacks(
          "libvirt.guests", .libvirt, "guests", "libvirt offers no x86-64 guests", cost: cost,
          remedy: fix.isEmpty ? caller.asRoot("apt-get install qemu-system-x86") : fix))
      return findings
    }
    let way = kvm && emulation ? "KVM and emulation" : kvm ? "KVM" : "emulation"
    findings.append(
      .works("libvirt.guests", .libvirt, "guests", way + (machines.isEmpty ? "" : ", machines \(Text.join(machines))")))
    return findings
  }

  private static func string(_ value: JSON?) -> String {
    switch value {
    case .string(let text)?: return Printable.text(text.utf8, limit: 300)
    case .integer(let number)?: return String(number)
    case .unsigned(let number)?: return String(number)
    default: return ""
    }
  }

  /// The machines that vmrun's helper uses, of those in a list of names or a text.
  private static func names(_ value: JSON?) -> [String] {
    if case .string(let text)? = value { return Text.split(Printable.text(text.utf8, limit: 80), " ") }
    guard case .array(let values)? = value else { return [] }
    let all = values.map { string($0) }
    return ["microvm", "q35"].filter { name in all.contains(name) }
  }

  // MARK: QEMU

  static func qemu(_ trial: Trial, _ caller: Caller) -> Finding {
    guard let path = Program.find("qemu-system-x86_64") else { return qemu(nil, nil, caller) }
    let version = try? Program.run(path, ["--version"], milliseconds: 3000, interruption: trial.interruption)
    let machines = try? Program.run(path, ["-machine", "help"], milliseconds: 3000, interruption: trial.interruption)
    return qemu(version, machines, caller)
  }

  /// - Parameters: what the program says to --version and to -machine help; nil when it could not be executed.
  static func qemu(_ version: Program.Outcome?, _ machines: Program.Outcome?, _ caller: Caller) -> Finding {
    let cost = "libvirt's virtual machines"
    guard let version else {
      return .lacks(
        "qemu", .libvirt, "QEMU", "there is no qemu-system-x86_64", cost: cost,
        remedy: caller.asRoot("apt-get install qemu-system-x86"))
    }
    guard version.succeeded, let line = Text.lines(version.output).first else {
      return .lacks(
        "qemu", .libvirt, "QEMU", "qemu-system-x86_64 does not run: \(version.complaint)", cost: cost,
        remedy: caller.asRoot("apt-get install --reinstall qemu-system-x86"))
    }
    // "QEMU emulator version 7.2.22 (Debian 1:7.2+...)".
    let words = Text.split(line, " ")
    let number = words.firstIndex(of: "version").flatMap { $0 + 1 < words.count ? words[$0 + 1] : nil } ?? line
    let text = "version \(Printable.text(number.utf8, limit: 40))"
    let has = Text.lines(machines?.output ?? []).contains { Text.split($0, " ").first == "microvm" }
    return has
      ? .works("qemu", .libvirt, "QEMU", text + ", with the machine microvm")
      : .works("qemu", .libvirt, "QEMU", text + ", without the machine microvm: q35 is used, which starts slower")
  }
}
