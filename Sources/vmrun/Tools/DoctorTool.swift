import CLinux
import Doctor
import JSON
import Kernels
import System

/// `vmrun doctor`.
enum DoctorTool {
  /// Runs it with the words behind its name; returns the exit code.
  static func run(_ words: [[UInt8]]) -> Int32 {
    var asJSON = false
    for word in words {
      switch String(decoding: word, as: UTF8.self) {
      case "--help", "-h": return Output.standard(help)
      case "--json": asJSON = true
      default:
        Log.message("doctor: unknown argument '\(Printable.text(word, limit: 60))'\n       see vmrun doctor --help")
        return 125
      }
    }
    let interruption: Interruption
    do throws(KernelsError) { interruption = try Interruption() } catch {
      Log.message(error.description)
      return 125
    }
    let isWatched = isatty(2) == 1
    let doctor = Doctor(executable: OwnProgram.path() ?? "/proc/self/exe", interruption: interruption) { step in
      if isWatched { Log.raw("\r\u{1B}[Kvmrun: trying \(step) ...") }
    }
    let diagnosis = doctor.examine()
    if isWatched { Log.raw("\r\u{1B}[K") }
    guard let diagnosis else {
      Log.message("interrupted; nothing was changed")
      return 128 + (interruption.received ?? SIGINT)
    }
    let code: Int32
    if asJSON {
      code = Output.standard(KernelTool.json(diagnosis.json))
    } else {
      code = Output.standard(Screen(width: width(), hasColour: hasColour()).text(diagnosis))
    }
    return code != 0 ? code : diagnosis.isWell ? 0 : 1
  }

  /// Columns of the terminal on standard output, at most 100.
  private static func width() -> Int {
    var size = winsize()
    // unsafe: the request fills the one struct it is given.
    guard unsafe clinux_ioctl_pointer(1, UInt(clinux_request.tiocgwinsz.rawValue), &size) == 0, size.ws_col > 0 else {
      return 100
    }
    return min(100, Int(size.ws_col))
  }

  /// Whether standard output is a terminal that shows colour, and nobody minds (no-color.org).
  private static func hasColour() -> Bool {
    guard isatty(1) == 1 else { return false }
    if let wish = Environment.value(of: "NO_COLOR"), !wish.isEmpty { return false }
    return Environment.value(of: "TERM").map { !$0.elementsEqual("dumb".utf8) } ?? false
  }

  static let help = """
    vmrun doctor tries what vmrun needs and says what works here, what each missing thing costs, and the command that mends it.

    usage:
      vmrun doctor [--json]

    Each line is proven by doing it: KVM runs the built-in guest and a probe of what Linux kernels do, vmrun-libvirt connects, each
    namespace is made, a cgroup is made for each controller, a filter refuses a call, an overlay is written to, a bridge, a veth
    pair and a tap device are made in a network of their own, a container is run, and the default kernel runs a command in a virtual
    machine. This happens in children, each under a time limit; nothing is changed, and nothing is left behind.

      ok  it works
      --  it does not, and only something beside the main jobs is lost
      NO  it does not, and a main job suffers

    options:
      --json  the same as one JSON object: works, jobs and findings, each with a stable id

    exit codes:
      0    a Linux kernel can run in a virtual machine, on KVM or by libvirt, and a container
      1    one of them cannot
      125  wrong use
      130, 143, 129  ended by SIGINT, SIGTERM, SIGHUP

    examples:
      vmrun doctor
      vmrun doctor --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["works"])'

    """
}
