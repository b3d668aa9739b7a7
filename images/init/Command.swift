import CGuestInit
import CLinux
import GuestProtocol
import System

/// A running command and init's ends of what it is connected to.
struct Command: ~Copyable {
  /// Its process id, which is also the number of its session and of its first process group.
  let process: pid_t
  /// Where its input goes, and where its output and its error output come from; see `Wiring`.
  var input: FileDescriptor?
  var output: FileDescriptor?
  var errorOutput: FileDescriptor?

  /// Starts the command. When this returns, its program has been executed.
  /// - Throws: `Failure` with code 127 when there is no such program, 126 when it cannot be executed, 125 otherwise.
  static func start(_ configuration: CommandConfiguration) throws(Failure) -> Command {
    let environment = CommandEnvironment(configuration)
    let directory = configuration.workingDirectory.isEmpty ? [UInt8(ascii: "/")] : configuration.workingDirectory
    createFolders(directory)
    let wiring = try Wiring.make(configuration)
    let attempt = Attempt(configuration, environment, directory)
    let process = try attempt.spawn(wiring.commandEnds)
    return Command(process: process, input: wiring.input, output: wiring.output, errorOutput: wiring.errorOutput)
  }

  /// Creates a folder and those above it where they are missing, as container runtimes do for a working directory. Whether
  /// the command can go there shows later.
  private static func createFolders(_ path: [UInt8]) {
    let strings = CStrings([path])
    guard let start = unsafe strings.first else { return }
    // Mostly it is there.
    // unsafe: the string lives until the end of the function.
    if unsafe access(start, F_OK) == 0 { return }
    for index in path.indices where index > 0 && path[index] == UInt8(ascii: "/") {
      // unsafe: index is inside the string, which is this function's own copy.
      unsafe start[index] = 0
      _ = unsafe mkdir(start, 0o755)
      unsafe start[index] = CChar(bitPattern: UInt8(ascii: "/"))
    }
    _ = unsafe mkdir(start, 0o755)
  }
}

/// One start of a program, with what is needed to explain why it did not work.
private struct Attempt {
  private let configuration: CommandConfiguration
  private let environment: CommandEnvironment
  private let directory: [UInt8]
  private let name: [UInt8]
  private let candidates: [[UInt8]]

  init(_ configuration: CommandConfiguration, _ environment: CommandEnvironment, _ directory: [UInt8]) {
    self.configuration = configuration
    self.environment = environment
    self.directory = directory
    name = configuration.arguments.first ?? []
    candidates = environment.candidates(for: name)
  }

  /// Starts the program with the three descriptors as its 0, 1 and 2.
  func spawn(_ descriptors: (Int32, Int32, Int32)) throws(Failure) -> pid_t {
    let paths = CStrings(candidates)
    let arguments = CStrings(configuration.arguments)
    let variables = CStrings(environment.variables)
    let folder = CStrings([directory])
    var groups = configuration.supplementaryGroups
    let groupCount = groups.count
    var request = unsafe spawn_request()
    // unsafe: the strings and the groups live until the end of the closure, and the child has its own by then.
    let process = unsafe groups.withUnsafeMutableBufferPointer { groups in
      unsafe request.candidates = paths.constants
      unsafe request.arguments = arguments.array
      unsafe request.environment = variables.array
      unsafe request.directory = UnsafePointer(folder.first)
      unsafe request.descriptors = descriptors
      unsafe request.takes_terminal = configuration.hasTerminal ? 1 : 0
      unsafe request.user = configuration.userID
      unsafe request.group = configuration.groupID
      unsafe request.groups = UnsafePointer(groups.baseAddress)
      unsafe request.group_count = groupCount
      return unsafe spawn_command(&request)
    }
    guard process < 0 else { return process }
    throw unsafe failure(spawn_stage(rawValue: UInt32(request.stage)), Errno(rawValue: request.error))
  }

  private func failure(_ stage: spawn_stage, _ error: Errno) -> Failure {
    let command = String(decoding: name, as: UTF8.self)
    switch stage {
    case SPAWN_STAGE_EXECUTE: return executionFailure(command, error)
    case SPAWN_STAGE_DIRECTORY:
      return Failure("working directory \(String(decoding: directory, as: UTF8.self)): \(error)")
    case SPAWN_STAGE_USER: return Failure("cannot become user \(configuration.userID): \(error)")
    case SPAWN_STAGE_GROUPS: return Failure("cannot take on group \(configuration.groupID): \(error)")
    case SPAWN_STAGE_TERMINAL: return Failure("cannot give \(command) its terminal: \(error)")
    case SPAWN_STAGE_SESSION: return Failure("cannot give \(command) its session: \(error)")
    case SPAWN_STAGE_DESCRIPTORS: return Failure("cannot connect \(command): \(error)")
    default: return Failure("cannot start \(command): \(error)")
    }
  }

  /// Codes and words as a shell's.
  private func executionFailure(_ command: String, _ error: Errno) -> Failure {
    guard error == .notFound else { return Failure(code: 126, "\(command): \(error)") }
    if candidates.contains(where: exists) {
      return Failure(code: 127, "\(command): found, but the interpreter or the dynamic loader that it names is missing")
    }
    if name.contains(UInt8(ascii: "/")) { return Failure(code: 127, "\(command): \(error)") }
    let path = String(decoding: environment.value(of: "PATH") ?? [], as: UTF8.self)
    return Failure(code: 127, "\(command): command not found in \(path)")
  }

  private func exists(_ path: [UInt8]) -> Bool {
    let strings = CStrings([path])
    guard let start = unsafe strings.first else { return false }
    // unsafe: the string lives until the end of the function.
    return unsafe access(start, F_OK) == 0
  }
}
