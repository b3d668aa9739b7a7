import CContainer
import CLinux
import JSON
import Report
import System

/// What is compared, and how much of it.
public struct IsolationOptions: Sendable {
  public var sides: [IsolationSide] = IsolationSide.allCases
  /// The kernel of the VM; nil when there is none.
  public var kernel: String?
  /// 1 to 8.
  public var sections: Set<UInt8> = [1, 2, 3, 4, 5, 6, 7, 8]
  /// Without the bombs and without the second look at files.
  public var isQuick = false

  public init() {}
}

/// Runs the probe on every side, one after the other, and watches from outside.
public final class IsolationRun {
  private let options: IsolationOptions
  private let progress: (String) -> Void
  private let signals: SharedFile
  private var results: [SideResult] = []
  /// The signal that ended the run early.
  public private(set) var interruption: Int32?

  /// What one sandbox's observer gathers.
  static let calls: UInt32 = 512
  private static let second: UInt64 = 1_000_000_000
  /// A VM without hardware virtualisation takes its time to boot.
  private static let bootPatience = 75 * second
  private static let mainPatience = 100 * second
  private static let bombPatience = 100 * second

  /// - Parameter progress: is told what is being done, a line at a time.
  public init(_ options: IsolationOptions, progress: @escaping (String) -> Void) {
    self.options = options
    self.progress = progress
    signals = SharedFile(FileDescriptor(owning: cisolation_watch_signals()))
  }

  /// Measures, and compares. Sides that could not be run are named in the report.
  /// - Throws: `IsolationError` when nothing could be prepared.
  public func run() throws(IsolationError) -> IsolationReport {
    let workspace = try Workspace()
    for side in options.sides where interruption == nil {
      var result = SideResult(side)
      progress("\(side.title): looking around")
      try look(&result, workspace)
      if interruption == nil, options.sections.contains(7), !options.isQuick, side != .host, result.failure == nil {
        progress("\(side.title): limits (bounded bombs)")
        try bomb(&result, workspace)
      }
      if let failure = result.failure { progress("\(side.title): \(failure)") }
      results.append(result)
    }
    return Comparison(results, options).report()
  }

  /// Every call of every side, for the JSON.
  public func callDetails() -> JSON { CallComparison.details(results) }

  // MARK: One side

  private func look(_ result: inout SideResult, _ workspace: Workspace) throws(IsolationError) {
    if result.side == .vm, options.kernel == nil {
      result.failure = "there is no kernel for it (vmrun kernel fetch brings one, --kernel FILE names one)"
      return
    }
    var order = ProbeOrder()
    order.isHost = result.side == .host
    order.sections = options.sections.subtracting([7])
    order.isQuick = options.isQuick
    order.token = try Self.token()
    order.file = workspace.canary
    order.calls = Self.calls
    let canaries = Canaries(order)
    let observer = SideObserver(result, canaries.order, progress: progress)
    var words = launch(result.side, workspace, [])
    words += ["__isolation-probe"] + canaries.order.words
    let variables = Environment.all + ["\(order.variable)=1"]
    let sandbox = try Sandbox(words, variables: variables, signals: signals)
    let ending = sandbox.run(observer, startPatience: Self.bootPatience, patience: Self.mainPatience)
    result = observer.result
    result.findings = sandbox.reader.findings
    result.backend = Self.backend(sandbox.errors)
    switch ending {
    case .complete: break
    case .interrupted(let number):
      interruption = number
      result.failure = "ended by signal \(number)"
    case .failed(let reason): result.failure = reason
    }
    guard result.failure == nil, interruption == nil else { return }
    do throws(IsolationError) {
      result.calls = try CallTable(result.findings, count: Self.calls)
    } catch {
      result.failure = "the probe said what no probe says: \(error.description)"
    }
  }

  private func bomb(_ result: inout SideResult, _ workspace: Workspace) throws(IsolationError) {
    var order = ProbeOrder()
    order.sections = [7]
    let limits =
      result.side == .container
      ? ["--pids", "64", "--memory", "64M", "--cpus", "0.5", "--timeout", "60"]
      : ["--memory", "128M", "--timeout", "100"]
    let observer = SideObserver(result, order, progress: progress)
    let words = launch(result.side, workspace, limits) + ["__isolation-probe"] + order.words
    let sandbox = try Sandbox(words, variables: Environment.all, signals: signals)
    let ending = sandbox.run(observer, startPatience: Self.bootPatience, patience: Self.bombPatience)
    result = observer.result
    result.bombs = sandbox.reader.findings
    switch ending {
    case .complete: break
    case .interrupted(let number):
      interruption = number
      result.bombFailure = "ended by signal \(number)"
    case .failed(let reason): result.bombFailure = reason
    }
  }

  /// The words that start a program on `side`, up to its own name.
  private func launch(_ side: IsolationSide, _ workspace: Workspace, _ limits: [String]) -> [String] {
    switch side {
    case .host: return ["vmrun"]
    case .container:
      return ["vmrun", "--container", "--rootfs", workspace.root, "--quiet"] + limits + ["--", "/vmrun"]
    case .vm:
      var words = ["vmrun", "--kernel", options.kernel ?? "", "--rootfs", workspace.root, "--console", "none"]
      words += ["--quiet", "--timings=json"]
      return words + limits + ["--", "/vmrun"]
    }
  }

  /// Twelve hexadecimal digits that no other run has.
  private static func token() throws(IsolationError) -> String {
    var number: UInt64 = 0
    // unsafe: getrandom fills the eight bytes of `number`.
    guard unsafe getrandom(&number, 8, 0) == 8 else { throw IsolationError("getrandom: \(Errno.current)") }
    let digits = String(number >> 16, radix: 16)
    return String(repeating: "0", count: 12 - digits.utf8.count) + digits
  }

  /// What `--timings=json` says about how a VM was run; empty when it does not.
  private static func backend(_ errors: [UInt8]) -> String {
    for line in Text.lines(errors) where line.first == UInt8(ascii: "{") {
      guard let json = try? JSON.parse(Array(line)), let backend = json["backend"] else { continue }
      var text = ""
      for name in ["name", "acceleration", "machine"] {
        guard case .string(let value)? = backend[name], !value.isEmpty else { continue }
        if !text.isEmpty { text += ", " }
        text += Text.string(value.utf8.prefix(40))
      }
      return text
    }
    return ""
  }
}

/// The process's own variables.
enum Environment {
  static var all: [String] {
    var variables: [String] = []
    // unsafe: the C library's array, which ends in a null pointer and which nobody changes.
    guard let array = unsafe clinux_environment() else { return [] }
    var index = 0
    while let text = unsafe array[index] {
      unsafe variables.append(String(cString: text))
      index += 1
    }
    return variables
  }
}
