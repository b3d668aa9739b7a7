import CLinux
import Kernels
import Machine
import System

/// What `--backend` asks for.
enum BackendChoice {
  /// KVM where it is proven to run stock kernels, else libvirt.
  case auto
  /// KVM in this process, come what may.
  case kvm
  /// QEMU by libvirt, come what may.
  case libvirt

  /// The choice by its name on the command line.
  init?(name: String) {
    switch name {
    case "auto": self = .auto
    case "kvm": self = .kvm
    case "libvirt": self = .libvirt
    default: return nil
    }
  }
}

/// Which rung carries out a machine, and why: a virtual machine on KVM in this process, or one that libvirt runs. Never a container: who asks
/// for a machine gets one, or an error.
enum Backend {
  /// KVM in this process.
  case direct(BackendReport)
  /// QEMU by libvirt, through the helper.
  case helper(Handover)

  /// The rung for `configuration`, whose kernel is a path, by `choice`. `probe` is asked only when its answer matters.
  static func choose(
    _ choice: BackendChoice, _ configuration: Configuration, timings: TimingsFormat?, start: UInt64,
    probe: () -> KVMProbe.Verdict
  ) -> Backend {
    guard let kernel = configuration.kernel else {
      return .direct(.direct(reason: "the built-in guest runs on any KVM", kernel: nil))
    }
    if choice == .kvm { return .direct(.direct(reason: Handover.asked, kernel: kernel)) }
    let verdict = probe()
    if choice == .auto, verdict.isCapable { return .direct(.direct(reason: verdict.reason, kernel: kernel)) }
    return .helper(
      Handover(
        configuration: configuration, start: start, reason: choice == .libvirt ? Handover.asked : reason(of: verdict),
        acceleration: acceleration(of: verdict), timings: code(of: timings)))
  }

  /// Why KVM cannot serve, with the command that mends it where there is one.
  private static func reason(of verdict: KVMProbe.Verdict) -> String {
    verdict.remedy.isEmpty ? verdict.reason : "\(verdict.reason) (to mend it: \(verdict.remedy))"
  }

  private static func acceleration(of verdict: KVMProbe.Verdict) -> Handover.Acceleration {
    switch verdict.ability {
    case .capable: return .kvm
    case .incapable: return .emulation
    case .unanswered: return .unknown
    }
  }

  private static func code(of timings: TimingsFormat?) -> UInt8 {
    switch timings {
    case nil: return 0
    case .table: return 1
    case .json: return 2
    }
  }
}

/// One launch of a machine, from its kernel's name to its exit code.
struct MachineLaunch {
  let configuration: Configuration
  let backend: BackendChoice
  let timings: TimingsFormat?
  let timeline: Timeline

  /// Runs it, tells what there is to tell, and returns the exit code.
  func run() -> Int32 {
    var configuration = configuration
    do throws(KernelsError) {
      configuration.kernel = try Self.kernel(of: configuration)
    } catch {
      Log.message(error.description)
      return 125
    }
    let rung = Backend.choose(backend, configuration, timings: timings, start: timeline.start) { KVMProbe.verdict() }
    timeline.end(.backend)
    switch rung {
    case .helper(var handover):
      handover.parsed = timeline.reached(.parse) ?? 0
      handover.chosen = timeline.reached(.backend) ?? 0
      // It comes back only when there is nobody to hand over to; a kernel that is not there is then still the first thing to tell.
      let problem = LibvirtHelper.execute(handover)
      if let path = configuration.kernel, let errno = Self.obstacle(path) {
        Log.message("--kernel \(path): \(errno)")
      }
      Log.message(Self.failure(handover, problem))
      return 125
    case .direct(let report):
      if backend == .auto, configuration.kernel != nil, !configuration.quiet {
        Log.message("backend kvm: \(report.reason)")
      }
      let outcome = Launcher.run(configuration, timeline: timeline)
      timeline.end(.teardown)
      if let message = outcome.message { Log.message(message) }
      TimingsReport(timeline, backend: report).print(timings, exitCode: outcome.exitCode)
      return outcome.exitCode
    }
  }

  /// The kernel's path: of the file or name that was given, of the default one for a command without, nil for the built-in guest.
  private static func kernel(of configuration: Configuration) throws(KernelsError) -> String? {
    if let name = configuration.kernel {
      do throws(KernelsError) { return try KernelCatalogue.resolve(name) } catch {
        throw KernelsError("--kernel \(error.description)")
      }
    }
    guard configuration.command != nil else { return nil }
    guard let entry = KernelCatalogue.defaultKernel() else {
      throw KernelsError("a command in a VM needs a Linux kernel, and \(KernelCatalogue.noKernel)")
    }
    return entry.path
  }

  /// What keeps the file from being read; nil for nothing.
  private static func obstacle(_ path: String) -> Errno? {
    // unsafe: the path is NUL-terminated for the call.
    unsafe access(path, R_OK) == 0 ? nil : .current
  }

  /// What is said when the helper cannot be executed.
  static func failure(_ handover: Handover, _ problem: String) -> String {
    handover.reason == Handover.asked
      ? "--backend libvirt: \(problem)"
      : "no VM can run this kernel here: \(handover.reason);\n       \(problem)"
  }
}
