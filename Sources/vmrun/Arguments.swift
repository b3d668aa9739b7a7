import Boot
import Machine

/// A command line that vmrun cannot follow: what is wrong, and what would be right.
struct UsageError: Error {
  let message: String
  init(_ message: String) { self.message = message }
}

/// What one command line asks for.
enum Invocation {
  case help
  case version
  case launch(Configuration, backend: BackendChoice, timings: TimingsFormat?)
  case container(ContainerConfiguration, timings: TimingsFormat?)
}

/// Reads the words of a command line one by one.
struct ArgumentParser {
  private let words: [String]
  /// The same words as they came: what goes to a command need not be UTF-8.
  private let bytes: [[UInt8]]
  private var position = 0

  init(_ words: [String]) { self.init(words.map { Array($0.utf8) }) }

  init(_ bytes: [[UInt8]]) {
    self.bytes = bytes
    words = bytes.map { String(decoding: $0, as: UTF8.self) }
  }

  /// The whole command line as an `Invocation`.
  mutating func parse() throws(UsageError) -> Invocation {
    var options = LaunchOptions()
    var command: [[UInt8]]?

    while command == nil, let word = next() {
      if word == "--" {
        command = Array(bytes[position...])
        break
      }
      guard word.utf8.first == UInt8(ascii: "-"), word != "-" else {
        throw UsageError(
          "'\(word)' is not an option; a command comes behind '--': vmrun --kernel FILE --rootfs DIR -- \(word)")
      }
      let (name, attached) = Self.split(word)
      options.given.append(name)
      switch name {
      case "--container":
        try flag(name, attached)
        try options.choose(.container, name)
      case "--isolation":
        switch try value(name, attached, "KIND") {
        case "vm": try options.choose(.machine, "--isolation vm")
        case "container": try options.choose(.container, "--isolation container")
        case let other: throw UsageError("--isolation \(other): expected vm or container")
        }
      case "-h", "--help": return .help
      case "-V", "--version": return .version
      case "--kernel": options.machine.kernel = try path(name, attached, "FILE")
      case "--backend":
        let text = try value(name, attached, "NAME")
        guard let choice = BackendChoice(name: text) else {
          throw UsageError("--backend \(text): expected auto, kvm or libvirt")
        }
        options.backend = choice
      case "--initrd": options.machine.initrd = try path(name, attached, "FILE")
      case "--append":
        let text = try value(name, attached, "TEXT")
        options.machine.append += options.machine.append.isEmpty ? text : " " + text
      case "--cpus": options.cpus = try value(name, attached, "N")
      case "--memory": options.memory = try Self.size(name, value(name, attached, "SIZE"))
      case "--timeout": options.timeout = try Self.duration(name, value(name, attached, "SECONDS"))
      case "--boot":
        let text = try value(name, attached, "MODE")
        guard let mode = BootMode(name: text) else {
          throw UsageError("--boot \(text): expected auto, direct or decompress")
        }
        options.machine.boot = mode
      case "--kernel-pages":
        switch try value(name, attached, "MODE") {
        case "auto": options.machine.kernelPages = .automatic
        case "shared": options.machine.kernelPages = .shared
        case "copied": options.machine.kernelPages = .copied
        case let other: throw UsageError("--kernel-pages \(other): expected auto, shared or copied")
        }
      case "--console":
        switch try value(name, attached, "WHERE") {
        case "stdio": options.machine.console = .stdio
        case "stderr": options.machine.console = .standardError
        case "none": options.machine.console = Configuration.Console.none
        case "": throw UsageError("--console needs stdio, stderr, none or a file's path")
        case let path: options.machine.console = .file(path)
        }
      case "--disk": options.machine.disks.append(try Self.disk(value(name, attached, "FILE[,ro]")))
      case "--rootfs": options.rootfs = try path(name, attached, "DIR")
      case "--env", "-e":
        let text = try value(name, attached, "K=V")
        // The word itself, or what follows "--env=" in it.
        let raw = bytes[position - 1].dropFirst(attached == nil ? 0 : name.utf8.count + 1)
        options.set(variable: try Self.environment(text, Array(raw)))
      case "--workdir", "-w":
        options.command.workingDirectory = try value(name, attached, "DIR")
        guard options.command.workingDirectory.utf8.first == UInt8(ascii: "/") else {
          throw UsageError("--workdir \(options.command.workingDirectory): the path must be absolute in the guest")
        }
      case "--hostname":
        options.command.hostname = try Self.hostname(value(name, attached, "NAME"))
      case "--user", "-u":
        (options.command.user, options.command.group) = try Self.user(value(name, attached, "UID[:GID]"))
      case "--tty", "-t":
        try flag(name, attached)
        options.command.terminal = true
      case "--pids": options.processes = try Self.count(name, value(name, attached, "N"), most: 4_194_304)
      case "--volume": options.volumes.append(try Self.volume(value(name, attached, "SRC:DST[:ro]")))
      case "--net":
        switch try value(name, attached, "MODE") {
        case "none": options.network = ContainerConfiguration.Network.none
        case "host": options.network = .host
        case "bridge": options.network = .bridge
        case let other: throw UsageError("--net \(other): expected none, host or bridge")
        }
      case "--read-only":
        try flag(name, attached)
        options.isReadOnly = true
      case "--keep-changes": options.keptChanges = try path(name, attached, "DIR")
      case "--name": options.name = try Self.name(value(name, attached, "ID"))
      case "--timings":
        switch attached {
        case nil, "table": options.timings = .table
        case "json": options.timings = .json
        case let other?: throw UsageError("--timings=\(other): expected table or json")
        }
      case "--verbose", "-v":
        try flag(name, attached)
        options.machine.verbose = true
      case "--quiet", "-q":
        try flag(name, attached)
        options.machine.quiet = true
      default: throw UsageError("unknown option \(name)\(Self.suggestion(for: name))")
      }
    }

    return try options.invocation(command)
  }

  // MARK: Words

  private mutating func next() -> String? {
    guard position < words.count else { return nil }
    position += 1
    return words[position - 1]
  }

  /// "--name=value" in two, "--name" alone otherwise.
  private static func split(_ word: String) -> (name: String, value: String?) {
    guard word.utf8.starts(with: "--".utf8), let equals = word.utf8.firstIndex(of: UInt8(ascii: "=")) else {
      return (word, nil)
    }
    return (String(word[..<equals]), String(word[word.utf8.index(after: equals)...]))
  }

  private mutating func value(_ name: String, _ attached: String?, _ what: String) throws(UsageError) -> String {
    if let attached { return attached }
    guard let word = next() else { throw UsageError("\(name) needs a value: \(name) \(what)") }
    return word
  }

  /// A value that names a file: an empty one, as from a variable that is not set, names none.
  private mutating func path(_ name: String, _ attached: String?, _ what: String) throws(UsageError) -> String {
    let path = try value(name, attached, what)
    guard !path.isEmpty else { throw UsageError("\(name) was given an empty path: \(name) \(what)") }
    return path
  }

  private func flag(_ name: String, _ attached: String?) throws(UsageError) {
    if attached != nil { throw UsageError("\(name) takes no value") }
  }
}
