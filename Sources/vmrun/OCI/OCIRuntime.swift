import CLinux
import Container
import JSON
import OCI
import System

/// The OCI runtime's command line: what `vmrun VERB` does.
struct OCIRuntime {
  private let globals: OCIGlobals
  private let log: OCILog
  private let engine: Engine
  private let options: EngineOptions

  /// Follows the command line `words`, and returns the exit code.
  /// - Parameter protect: keeps containers from overwriting this program; it may execute the program anew, so that nothing
  ///   must be open or done before.
  static func main(_ words: [[UInt8]], protect: () throws(ContainerError) -> Void) -> Int32 {
    var parser = OCIParser(words)
    do throws(UsageError) {
      switch try parser.parse() {
      case .help(let verb): return Output.standard(verb.map { OCIHelp.text($0) } ?? OCIHelp.global)
      case .version: return Output.standard(Help.version)
      case .verb(let verb, let arguments):
        if verb == .create || verb == .run || verb == .exec { closeInheritedDescriptors(words, arguments) }
        let runtime = try OCIRuntime(parser.globals)
        if verb == .create || verb == .run || verb == .exec {
          do throws(ContainerError) { try protect() } catch {
            runtime.log.error(error.description)
            return 1
          }
        }
        return runtime.perform(verb, arguments)
      }
    } catch {
      let pointer = OCIHelp.pointer(words.lazy.compactMap { OCIVerb(word: $0) }.first)
      let message = "\(error.message); \(pointer)"
      // The log itself may be what is wrong.
      if let log = try? OCILog(parser.globals) { log.error(message) } else { Log.message(message) }
      return 1
    }
  }

  /// What the caller left open beyond what it means to pass on must reach no container, not even one that waits for its start.
  private static func closeInheritedDescriptors(_ words: [[UInt8]], _ arguments: OCIWords) {
    // A path like /dev/fd/63, as a shell makes them of <(...), names one that is still wanted.
    let folder = Array("/fd/".utf8)
    let isNamed = words.contains { word in
      word.count >= folder.count && (0...word.count - folder.count).contains { word[$0...].starts(with: folder) }
    }
    guard !isNamed, let preserved = try? arguments.integer("--preserve-fds", 0...65536) ?? 0 else { return }
    InheritedDescriptors.close(from: UInt32(3 + preserved + Int64(OCIActivation.count())))
  }

  private init(_ globals: OCIGlobals) throws(UsageError) {
    self.globals = globals
    log = try OCILog(globals)
    var options = EngineOptions()
    if let root = globals.root {
      do throws(ContainerError) { options.root = try OCIInput.absolute(root) } catch {
        throw UsageError("--root: \(error)")
      }
    }
    options.systemdCgroup = globals.systemdCgroup
    options.rootless = globals.rootless
    self.options = options
    engine = Engine(options)
  }

  private func perform(_ verb: OCIVerb, _ words: OCIWords) -> Int32 {
    log.debug("\(verb.rawValue) \(words.id) (root \(options.root))")
    do throws(ContainerError) {
      let code = try carryOut(verb, words)
      log.debug("\(verb.rawValue) \(words.id): done, exit code \(code)")
      return code
    } catch {
      log.error(error.description)
      // As runc: only exec tells its own failure from that of what it ran.
      return verb == .exec ? 255 : 1
    }
  }

  private func carryOut(_ verb: OCIVerb, _ words: OCIWords) throws(ContainerError) -> Int32 {
    let id = words.id
    switch verb {
    case .create:
      try engine.create(try request(words))
    case .run: return try run(words)
    case .start: try engine.start(id)
    case .state: return print(pretty: OCIStatus.json(try engine.state(id)))
    case .kill:
      let name = words.operands.count > 1 ? String(decoding: words.operands[1], as: UTF8.self) : "TERM"
      let signal = try checked { () throws(UsageError) in try OCISignals.number(name) }
      try engine.kill(id, signal: signal, all: words.has("--all"))
    case .delete: try engine.delete(id, force: words.has("--force"))
    case .exec: return try exec(words)
    case .list: return try list(words)
    case .ps: return try processes(words)
    case .pause: try engine.pause(id)
    case .resume: try engine.resume(id)
    case .update:
      let resources = try OCIUpdate.resources(words)
      try engine.update(id, resources)
    case .events: return try events(words)
    case .spec: try OCITemplateFile.write(words)
    case .features: return print(pretty: OCIFeatures.json)
    case .checkpoint, .restore:
      throw ContainerError(
        .notSupported, "\(verb.rawValue) is not supported: vmrun cannot save or load processes (it has no CRIU)")
    }
    return 0
  }

  // MARK: create and run

  /// What `create` and `run` ask the engine for.
  private func request(_ words: OCIWords) throws(ContainerError) -> CreateRequest {
    guard StateRoot.isValid(id: words.id) else {
      throw ContainerError(
        .invalid, "invalid container ID '\(words.id)': use 1 to 1024 letters, digits and _ + - . (and not . or ..)")
    }
    let bundle = try OCIInput.absolute(try checked { () throws(UsageError) in try words.path("--bundle") } ?? ".")
    let path = "\(bundle)/config.json"
    let bytes = try OCIInput.configuration(path)
    let spec = try OCIInput.decode(path, bytes) { (json) throws(SpecError) in try Spec(decoding: json) }
    guard spec.process != nil else {
      throw ContainerError(.invalid, "\(path): process: missing, but vmrun needs to know what to run")
    }
    for warning in spec.warnings { log.warning("\(path): \(warning)") }
    var request = CreateRequest(id: words.id, bundle: bundle, spec: spec)
    request.configuration = bytes
    request.onWarning = { [log] in log.warning($0) }
    request.pidFile = try checked { () throws(UsageError) in try words.path("--pid-file") }
    request.consoleSocket = try checked { () throws(UsageError) in try words.path("--console-socket") }
    request.preservedDescriptors = try preservedDescriptors(words)
    request.noPivot = words.has("--no-pivot")
    request.noNewKeyring = words.has("--no-new-keyring")
    let activated = OCIActivation.count()
    if activated > 0 {
      // sd_listen_fds(3): the sockets come first, and the process learns of them.
      request.preservedDescriptors += activated
      for variable in ["LISTEN_FDS=\(activated)", "LISTEN_PID=1"] {
        request.spec.process?.env.append(Array(variable.utf8))
      }
    }
    return request
  }

  private func preservedDescriptors(_ words: OCIWords) throws(ContainerError) -> Int32 {
    // As many as a process can have open by far.
    Int32(try checked { () throws(UsageError) in try words.integer("--preserve-fds", 0...65536) } ?? 0)
  }

  private func run(_ words: OCIWords) throws(ContainerError) -> Int32 {
    let request = try request(words)
    var options = RunOptions()
    options.detach = words.has("--detach")
    options.keep = words.has("--keep")
    options.noSubreaper = words.has("--no-subreaper")
    options.terminal = try relay(
      terminal: request.spec.process?.terminal ?? false, socket: request.consoleSocket, detach: options.detach)
    return try engine.run(request, options).exitCode
  }

  /// What stands between this terminal and the container's, when nobody else takes that.
  private func relay(terminal: Bool, socket: String?, detach: Bool) throws(ContainerError) -> (any TerminalRelay)? {
    guard terminal, socket == nil, !detach else { return nil }
    do throws(SystemError) { return try TerminalSession() } catch { throw ContainerError("terminal", error) }
  }

  // MARK: exec

  private func exec(_ words: OCIWords) throws(ContainerError) -> Int32 {
    let id = words.id
    // An unknown container is told of before a bad process.
    _ = try engine.state(id)
    var request = ExecRequest(
      process: try OCIExecProcess.make(words) { () throws(ContainerError) in
        let path = "\(options.root)/\(id)/config.json"
        let spec = try OCIInput.decode(path, OCIInput.read(path)) { (json) throws(SpecError) in try Spec(decoding: json)
        }
        return spec.process ?? Process()
      })
    for warning in request.process.warnings { log.warning("process.\(warning)") }
    request.onWarning = { [log] in log.warning($0) }
    request.detach = words.has("--detach")
    request.pidFile = try checked { () throws(UsageError) in try words.path("--pid-file") }
    request.consoleSocket = try checked { () throws(UsageError) in try words.path("--console-socket") }
    request.preservedDescriptors = try preservedDescriptors(words)
    request.ignorePaused = words.has("--ignore-paused")
    request.cgroup = words.value("--cgroup")
    request.terminal = try relay(
      terminal: request.process.terminal, socket: request.consoleSocket, detach: request.detach)
    return try engine.exec(id, request).exitCode
  }

  // MARK: What is printed

  private func list(_ words: OCIWords) throws(ContainerError) -> Int32 {
    let asJSON = try isJSON(words)
    let all = try engine.list()
    if words.has("--quiet") {
      var text = ""
      for status in all { text += status.id + "\n" }
      return written(text)
    }
    if asJSON { return print(.array(all.map { OCIStatus.json($0) })) }
    return written(OCIStatus.table(all))
  }

  private func processes(_ words: OCIWords) throws(ContainerError) -> Int32 {
    let asJSON = try isJSON(words)
    try checked { () throws(UsageError) in try OCIProcessTable.check(options: words.operands.dropFirst()) }
    let pids = try engine.processes(words.id)
    if asJSON { return print(.array(pids.map { .integer(Int64($0)) })) }
    return written(try OCIProcessTable.text(pids))
  }

  private func events(_ words: OCIWords) throws(ContainerError) -> Int32 {
    let placement = try engine.placement(words.id)
    if words.has("--stats") { return print(OCIEvents.statistics(words.id, try placement.statistics())) }
    let text = words.value("--interval") ?? "5s"
    let interval = try checked { () throws(UsageError) in try ArgumentParser.duration("--interval", text) }
    return try OCIEvents.follow(words.id, placement, interval: interval, engine) { print($0) }
  }

  private func isJSON(_ words: OCIWords) throws(ContainerError) -> Bool {
    switch words.value("--format") {
    case nil, "table": return false
    case "json": return true
    case let other?: throw ContainerError(.invalid, "--format \(other): expected table or json")
    }
  }

  private func print(_ json: JSON) -> Int32 { written(String(decoding: json.serialized(), as: UTF8.self) + "\n") }

  private func print(pretty json: JSON) -> Int32 {
    written(String(decoding: json.serialized(pretty: true), as: UTF8.self) + "\n")
  }

  private func written(_ text: String) -> Int32 { Output.standard(text) == 0 ? 0 : 1 }
}

/// Runs `body`, of which a wrong option is an invalid argument.
func checked<Value>(_ body: () throws(UsageError) -> Value) throws(ContainerError) -> Value {
  do throws(UsageError) { return try body() } catch { throw ContainerError(.invalid, error.message) }
}

/// Sockets that a service manager passed to this process (sd_listen_fds(3)).
enum OCIActivation {
  /// How many there are from descriptor 3 on.
  static func count() -> Int32 {
    guard let count = number("LISTEN_FDS"), let process = number("LISTEN_PID"), process == getpid() else { return 0 }
    return (1...1024).contains(count) ? count : 0
  }

  private static func number(_ name: String) -> Int32? {
    Environment.value(of: name).flatMap { Int32(String(decoding: $0, as: UTF8.self)) }
  }
}
