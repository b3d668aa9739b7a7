import CLinux
import Kernels
import System

/// A Linux kernel in a virtual machine as a whole: the main job.
enum BootChecks {
  /// The time that it gets, in milliseconds: an emulation on a busy machine is slow.
  static let patience = 45000

  /// Boots the default kernel and runs a command in it, by the rung that vmrun takes. Nothing where a part of it is known not to work.
  static func findings(after earlier: [Finding], _ trial: Trial, executable: String) -> [Finding] {
    func works(_ id: String) -> Bool { earlier.contains { $0.id == id && $0.state == .works } }
    guard works("kernels.default"), works("kvm.probe") || works("libvirt.guests") else { return [] }
    let kernel = KernelCatalogue.defaultKernel()?.name ?? ""
    do throws(DoctorError) { return [finding(.done(try boot(executable, trial)), kernel: kernel)] } catch {
      return [finding(.failed(error), kernel: kernel)]
    }
  }

  /// The command is the guest's init once more, in an empty root, so that nothing has to be made for it.
  private static func boot(_ executable: String, _ trial: Trial) throws(DoctorError) -> String {
    var template = Array("/tmp/vmrun-doctor.XXXXXX".utf8) + [0]
    // unsafe: the template ends in NUL and is changed in place; characters and bytes have one layout.
    let isMade = unsafe template.withUnsafeMutableBytes { bytes in
      guard let start = bytes.baseAddress else { return false }
      return unsafe mkdtemp(start.assumingMemoryBound(to: CChar.self)) != nil
    }
    guard isMade else { throw DoctorError(refused: "make a folder", "in /tmp") }
    let folder = String(decoding: template.dropLast(), as: UTF8.self)
    // unsafe: the path is NUL-terminated for the call.
    defer { _ = unsafe rmdir(folder) }
    let start = Clock.now()
    let outcome = try naming { () throws(KernelsError) in
      try Program.run(
        executable, ["--quiet", "--timeout", "40", "--rootfs", folder, "--", "/proc/1/exe", "--version"],
        milliseconds: patience, interruption: trial.interruption)
    }
    guard outcome.succeeded else { throw DoctorError(outcome.complaint) }
    guard outcome.output.starts(with: "vmrun version ".utf8) else { throw DoctorError("its output was lost") }
    let tenths = (Clock.now() - start + 50_000_000) / 100_000_000
    return "one booted, ran a command and ended in \(tenths / 10).\(tenths % 10) s"
  }

  static func finding(_ result: TrialResult, kernel: String) -> Finding {
    if case .done(let text) = result { return .works("linux.boot", .kernels, "boot", text) }
    return .lacks(
      "linux.boot", .kernels, "boot", result.text, cost: "Linux kernels in a virtual machine",
      remedy: "vmrun --kernel \(kernel)   (shows how far it comes)")
  }
}
