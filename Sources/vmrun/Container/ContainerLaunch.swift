import CLinux
import Container
import Devices
import Machine
import Network
import OCI
import System

/// Runs a validated container to its end.
struct ContainerLaunch {
  private let configuration: ContainerConfiguration
  private let start: UInt64
  private let clock: SetupClock?

  /// How many SIGINTs end the container whatever the command does: as many as end a virtual machine.
  private static let patience = 3

  /// How a launch ended: the exit code, and what standard error is told.
  struct Ending: Equatable {
    let exitCode: Int32
    let message: String?
  }

  /// - Parameter start: when vmrun began, on CLOCK_MONOTONIC.
  init(_ configuration: ContainerConfiguration, start: UInt64, clock: SetupClock?) {
    self.configuration = configuration
    self.start = start
    self.clock = clock
  }

  /// Starts the container and waits for its end.
  func run() -> Ending {
    StandardStreams.hold()
    do throws(ContainerError) {
      return try launch()
    } catch {
      let text = geteuid() == 0 ? error.description : RootlessCheck.explain(error.description)
      return Ending(exitCode: Self.exitCode(of: error.kind), message: text)
    }
  }

  /// As a shell and docker count.
  static func exitCode(of kind: ContainerError.Kind) -> Int32 {
    switch kind {
    case .commandNotFound: return 127
    case .commandNotExecutable: return 126
    default: return 125
    }
  }

  private func launch() throws(ContainerError) -> Ending {
    let host = try self.host()
    let root = try Self.folder(configuration.rootfs, "--rootfs")
    var builder = ContainerSpec(configuration: configuration, host: host, root: root)
    for volume in configuration.volumes {
      builder.sources.append(try Self.real(volume.source, "--volume \(volume.source):\(volume.destination)"))
    }
    let engine = EngineOptions()
    let id: String
    if let name = configuration.name { id = name } else { id = try Self.makeName() }
    var relay: TerminalSession?
    if configuration.hasTerminal {
      relay = try naming("--tty") { () throws(SystemError) in try TerminalSession() }
      builder.window = TerminalSession.window.map { Process.ConsoleSize(height: $0.rows, width: $0.columns) }
    }
    var files: [GeneratedFile] = []
    switch configuration.network {
    case .none: break
    case .host: files = Self.hostFiles()
    case .bridge:
      let network = BridgeNetwork(folder: engine.root)
      let connection = try naming("--net bridge") { () throws(NetworkError) in
        try network.connect(name: hostname(id))
      }
      builder.networkPath = "/proc/self/fd/\(connection.namespace.descriptor.rawValue)"
      files = generatedFiles(connection, id)
      let ending: Ending
      do throws(ContainerError) {
        ending = try run(id, builder, engine, relay, files)
      } catch {
        // The first failure is the one to tell.
        try? network.disconnect(connection)
        throw error
      }
      try naming("--net bridge") { () throws(NetworkError) in try network.disconnect(connection) }
      return ending
    }
    return try run(id, builder, engine, relay, files)
  }

  /// With everything in place that has to be given back afterwards, but the upper layer.
  private func run(
    _ id: String, _ builder: ContainerSpec, _ engine: EngineOptions, _ relay: TerminalSession?, _ files: [GeneratedFile]
  ) throws(ContainerError) -> Ending {
    let spec: Spec
    do throws(UsageError) { spec = try builder.make() } catch { throw ContainerError(.invalid, error.message) }
    var request = CreateRequest(id: id, bundle: builder.root, spec: spec)
    request.usesBridge = configuration.network == .bridge
    guard let path = configuration.keptChanges else {
      request.source = .scratch(lower: builder.root, files: files)
      return try run(request, engine, relay)
    }
    let layer = try KeptLayer(path, over: builder.root, files: files)
    request.source = layer.source(over: builder.root)
    let ending: Ending
    do throws(ContainerError) {
      ending = try run(request, engine, relay)
    } catch {
      try? layer.finish()
      throw error
    }
    try layer.finish()
    return ending
  }

  private func run(
    _ request: CreateRequest, _ engine: EngineOptions, _ relay: TerminalSession?
  ) throws(ContainerError) -> Ending {
    var options = RunOptions()
    options.timeout = configuration.timeout
    options.diesWithParent = true
    options.patience = Self.patience
    options.hasReaper = true
    options.clock = clock
    options.terminal = relay
    let outcome = try Engine(engine).run(request, options)
    return ending(outcome, relay)
  }

  /// What the exit code and standard error say about `outcome`.
  private func ending(_ outcome: ExitOutcome, _ relay: TerminalSession?) -> Ending {
    switch (outcome, relay?.lostOutput) {
    case (.escape, .readerGone?): return Ending(exitCode: 128 + SIGPIPE, message: nil)
    case (.escape, .failed(let errno)?):
      return Ending(exitCode: 125, message: "cannot write the command's output: \(errno)")
    default: return Self.ending(outcome, timeout: configuration.timeout)
    }
  }

  static func ending(_ outcome: ExitOutcome, timeout: UInt64?) -> Ending {
    let message: String?
    switch outcome {
    case .exited, .killed, .detached: message = nil
    case .timeout:
      message =
        "the container was still running after \(Duration.text(timeout ?? 0)); ended by --timeout (exit code 124)"
    case .escape: message = "ended by the console's escape"
    case .signal(let number): message = "ended by signal \(number)"
    }
    return Ending(exitCode: outcome.exitCode, message: message)
  }

  // MARK: The host

  private func host() throws(ContainerError) -> ContainerSpec.Host {
    var host = ContainerSpec.Host(user: geteuid(), group: getegid())
    if host.isRoot { return host }
    if let obstacle = RootlessCheck.obstacle() { throw ContainerError(.notSupported, obstacle) }
    if configuration.network == .bridge {
      throw ContainerError(
        .notSupported,
        "--net bridge needs root, since the bridge is an interface of the host; use --net host or --net none")
    }
    if SubordinateIDs.haveHelpers {
      let name = SubordinateIDs.name(of: host.user)
      host.subordinateUsers = SubordinateIDs.read("/etc/subuid", user: host.user, name: name)
      host.subordinateGroups = SubordinateIDs.read("/etc/subgid", user: host.user, name: name)
      // One without the other could not be mapped in one go.
      if host.subordinateUsers.isEmpty || host.subordinateGroups.isEmpty {
        host.subordinateUsers = []
        host.subordinateGroups = []
      }
    }
    return host
  }

  private func hostname(_ id: String) -> String {
    // All containers that were not named otherwise are "vmrun" to themselves; to their neighbours they must differ.
    configuration.hostname == "vmrun" ? id : configuration.hostname
  }

  private func generatedFiles(_ connection: borrowing BridgeNetwork.Connection, _ id: String) -> [GeneratedFile] {
    let hosts = HostFiles.hosts(
      name: configuration.hostname, address: connection.address, gateway: connection.gateway,
      neighbours: connection.neighbours)
    return [
      GeneratedFile(folder: "etc", name: "hosts", content: hosts),
      GeneratedFile(folder: "etc", name: "hostname", content: HostFiles.hostname(configuration.hostname)),
    ]
  }

  /// What the host's network is used with, as far as the host has it.
  private static func hostFiles() -> [GeneratedFile] {
    ["resolv.conf", "hosts"].compactMap { name in
      (try? HostFile.read("/etc/\(name)", limit: 1 << 20)).map { GeneratedFile(folder: "etc", name: name, content: $0) }
    }
  }

  /// The absolute path of what `path` leads to.
  private static func real(_ path: String, _ option: String) throws(ContainerError) -> String {
    // unsafe: realpath returns a string of its own, which is freed here.
    guard let found = unsafe realpath(path, nil) else {
      throw ContainerError(.notFound, "\(option): \(Errno.current)")
    }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
  }

  private static func folder(_ path: String, _ option: String) throws(ContainerError) -> String {
    let found = try real(path, "\(option) \(path)")
    var status = stat()
    // unsafe: stat fills the one struct it is given.
    guard unsafe stat(found, &status) == 0, clinux_s_isdir(status.st_mode) else {
      throw ContainerError(.invalid, "\(option) \(path): not a directory")
    }
    return found
  }

  /// A name that no other container has: 48 random bits.
  private static func makeName() throws(ContainerError) -> String {
    var number: UInt64 = 0
    // unsafe: getrandom fills the eight bytes of `number`.
    guard unsafe getrandom(&number, 8, 0) == 8 else { throw ContainerError("", SystemError("getrandom", "", .current)) }
    let digits = String(number >> 16, radix: 16)
    return "vmrun-" + String(repeating: "0", count: 12 - digits.utf8.count) + digits
  }

  /// Runs `body`, whose error becomes a container's.
  private func naming<Value: ~Copyable, Failure: Error & CustomStringConvertible>(
    _ context: String, _ body: () throws(Failure) -> Value
  ) throws(ContainerError) -> Value {
    do { return try body() } catch { throw ContainerError(.system, "\(context): \(error.description)") }
  }
}
