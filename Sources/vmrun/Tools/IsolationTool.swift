import CLinux
import Devices
import Isolation
import JSON
import Kernels
import Report
import System

/// `vmrun isolation`.
enum IsolationTool {
  /// What the command line asks for.
  struct Request {
    var options = IsolationOptions()
    var kernel: String?
    var json: String?
    var html: String?
    var markdown: String?
  }

  /// Runs it with the words behind its name; returns the exit code.
  static func run(_ words: [[UInt8]]) -> Int32 {
    if words.contains(where: { $0.elementsEqual("--help".utf8) || $0.elementsEqual("-h".utf8) }) {
      return Output.standard(help)
    }
    do throws(UsageError) {
      return try compare(try parse(words))
    } catch {
      Log.message("\(error.message)\n       see vmrun isolation --help")
      return 125
    }
  }

  // MARK: Options

  static func parse(_ words: [[UInt8]]) throws(UsageError) -> Request {
    var request = Request()
    var index = 0
    while index < words.count {
      let word = words[index]
      index += 1
      let border = word.firstIndex(of: UInt8(ascii: "="))
      let name = text(border.map { word[..<$0] } ?? word[...])
      if name == "--quick" {
        guard border == nil else { throw UsageError("--quick takes no value") }
        request.options.isQuick = true
        continue
      }
      guard ["--kernel", "--json", "--html", "--markdown", "--only", "--sides"].contains(name) else {
        throw UsageError("isolation has no option '\(name)'")
      }
      let value: String
      if let border {
        value = text(word[(border + 1)...])
      } else {
        guard index < words.count else { throw UsageError("\(name) wants a value") }
        value = text(words[index][...])
        index += 1
      }
      guard !value.isEmpty else { throw UsageError("\(name) wants a value") }
      try take(name, value, &request)
    }
    return request
  }

  private static func take(_ name: String, _ value: String, _ request: inout Request) throws(UsageError) {
    switch name {
    case "--kernel": request.kernel = value
    case "--json": request.json = value
    case "--html": request.html = value
    case "--markdown": request.markdown = value
    case "--only":
      var sections: Set<UInt8> = []
      for part in value.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
        guard part.count == 1, let digit = part.first, digit >= 0x31, digit <= 0x38 else {
          throw UsageError("--only wants numbers of sections from 1 to 8, like 1,2,8, not '\(value)'")
        }
        sections.insert(digit - 0x30)
      }
      request.options.sections = sections
    default:
      var sides: [IsolationSide] = []
      for part in value.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
        guard let side = IsolationSide(rawValue: text(ArraySlice(part))) else {
          throw UsageError("--sides wants some of host,container,vm, not '\(value)'")
        }
        if !sides.contains(side) { sides.append(side) }
      }
      request.options.sides = IsolationSide.allCases.filter { sides.contains($0) }
    }
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

  // MARK: The comparison

  private static func compare(_ request: Request) throws(UsageError) -> Int32 {
    var options = request.options
    if options.sides.contains(.vm) {
      if let kernel = request.kernel {
        do throws(KernelsError) { options.kernel = try KernelCatalogue.resolve(kernel) } catch {
          throw UsageError("--kernel: \(error.description)")
        }
      } else {
        options.kernel = KernelCatalogue.defaultKernel()?.path
      }
    }
    let run = IsolationRun(options) { Log.raw("vmrun isolation: \($0)\n") }
    let report: IsolationReport
    do throws(IsolationError) { report = try run.run() } catch {
      Log.message(error.description)
      return 125
    }
    var code = Output.standard(report.terminalTable(width: width(), colour: wantsColour()))
    if let path = request.json { code = max(code, write(path, json(report, run))) }
    if let path = request.markdown { code = max(code, write(path, Array(report.markdown().utf8))) }
    if let path = request.html { code = max(code, write(path, Array(report.html().utf8))) }
    if let number = run.interruption { return 128 + number }
    return code
  }

  /// The report with every call of every side added.
  private static func json(_ report: IsolationReport, _ run: IsolationRun) -> [UInt8] {
    let text = Array(report.json().utf8)
    guard case .object(var members)? = try? JSON.parse(text) else { return text }
    members.append(JSON.Member("systemCalls", run.callDetails()))
    return JSON.object(members).serialized(pretty: true) + [UInt8(ascii: "\n")]
  }

  /// Writes a file ("-" is standard output): 0, or 125 when that fails.
  private static func write(_ path: String, _ bytes: [UInt8]) -> Int32 {
    if path == "-" { return Output.standard(String(decoding: bytes, as: UTF8.self)) }
    do throws(SystemError) {
      try FileDescriptor.create(path).writeFully(bytes)
      return 0
    } catch {
      Log.message(error.description)
      return 125
    }
  }

  private static func width() -> Int {
    guard let size = WindowSize(of: 1), size.columns >= 40 else { return 120 }
    return Int(size.columns)
  }

  private static func wantsColour() -> Bool {
    // unsafe: only whether the variable is there.
    let isUnwanted = unsafe getenv("NO_COLOR") != nil
    return isatty(1) == 1 && !isUnwanted
  }

  // MARK: Help

  static let help = """
    vmrun isolation: what keeps a container and a VM apart from this host, tried out and put side by side.

    usage:
      vmrun isolation [options]

    One static program, vmrun itself in another role, runs on the host, in a container (vmrun --container with its
    defaults) and in a VM (vmrun --kernel), looks around and tries things; the launcher watches from outside meanwhile.
    The table marks where a sandbox shares something with the host. There is no score.

      1  whose kernel answered              5  leaks: what of the host shows through
      2  every system call by number        6  side effects that cross
      3  what the host executed for it      7  limits that hold (bounded bombs)
      4  what is visible                    8  privileges inside, and the launcher's own

    options:
      --kernel NAME|FILE    the VM's kernel: a file, or a name of vmrun kernel list     [the newest that vmrun finds]
      --sides LIST          of host, container, vm                                      [host,container,vm]
      --only LIST           numbers of sections, like 1,2,8                             [all]
      --quick               without the bombs of section 7 and without the second look at files of section 5
      --json FILE           the report with every call of every side, as JSON           (FILE may be -)
      --html FILE           a page of its own
      --markdown FILE       tables for a job's summary
      --help, -h            this text

    It is safe to run where you work: system calls are tried with arguments that do nothing, each in a process of its
    own under a time limit (on the host in namespaces of their own, with root); nothing on the host is changed that
    stays; every bomb has a limit around it (container: 64 processes, 64 MiB, half a processor; VM: 128 MiB and one
    processor) and one in itself, and none is set off on the host. Ctrl-C ends it and cleans up.
    Root's rights and user's rights give different tables: without root the container is rootless.

    exit codes:
      0 compared, also when a side could not be run (the report names it); 125 usage, or nothing could be prepared;
      128+n ended by signal n.

    examples:
      vmrun isolation
      vmrun isolation --only 2 --json calls.json
      vmrun isolation --sides host,container --quick --markdown -

    """
}
