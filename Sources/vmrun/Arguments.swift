import Boot
import Machine

/// A command line that vmrun cannot follow: what is wrong, and what would be right.
struct UsageError: Error {
  let message: String
  init(_ message: String) { self.message = message }
}

/// How `--timings` is printed.
enum TimingsFormat { case table, json }

/// What one command line asks for.
enum Invocation {
  case help
  case version
  case launch(Configuration, timings: TimingsFormat?)
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
    var configuration = Configuration()
    var command: [[UInt8]]?
    var rootfs: String?
    var commandOptions = Configuration.Command(rootfs: "", arguments: [])
    var commandOption: String?
    var timings: TimingsFormat?

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
      switch name {
      case "-h", "--help": return .help
      case "-V", "--version": return .version
      case "--kernel": configuration.kernel = try path(name, attached, "FILE")
      case "--initrd": configuration.initrd = try path(name, attached, "FILE")
      case "--append":
        let text = try value(name, attached, "TEXT")
        configuration.append += configuration.append.isEmpty ? text : " " + text
      case "--cpus": configuration.cpus = try Self.count(name, value(name, attached, "N"), most: 255)
      case "--memory": configuration.memory = try Self.size(name, value(name, attached, "SIZE"))
      case "--timeout": configuration.timeout = try Self.duration(name, value(name, attached, "SECONDS"))
      case "--boot":
        let text = try value(name, attached, "MODE")
        guard let mode = BootMode(name: text) else {
          throw UsageError("--boot \(text): expected auto, direct or decompress")
        }
        configuration.boot = mode
      case "--kernel-pages":
        switch try value(name, attached, "MODE") {
        case "auto": configuration.kernelPages = .automatic
        case "shared": configuration.kernelPages = .shared
        case "copied": configuration.kernelPages = .copied
        case let other: throw UsageError("--kernel-pages \(other): expected auto, shared or copied")
        }
      case "--console":
        switch try value(name, attached, "WHERE") {
        case "stdio": configuration.console = .stdio
        case "stderr": configuration.console = .standardError
        case "none": configuration.console = Configuration.Console.none
        case "": throw UsageError("--console needs stdio, stderr, none or a file's path")
        case let path: configuration.console = .file(path)
        }
      case "--disk": configuration.disks.append(try Self.disk(value(name, attached, "FILE[,ro]")))
      case "--rootfs": rootfs = try path(name, attached, "DIR")
      case "--env", "-e":
        let text = try value(name, attached, "K=V")
        // The word itself, or what follows "--env=" in it.
        let raw = bytes[position - 1].dropFirst(attached == nil ? 0 : name.utf8.count + 1)
        commandOptions.environment.append(try Self.environment(text, Array(raw)))
        commandOption = name
      case "--workdir", "-w":
        commandOptions.workingDirectory = try value(name, attached, "DIR")
        guard commandOptions.workingDirectory.utf8.first == UInt8(ascii: "/") else {
          throw UsageError("--workdir \(commandOptions.workingDirectory): the path must be absolute in the guest")
        }
        commandOption = name
      case "--hostname":
        commandOptions.hostname = try Self.hostname(value(name, attached, "NAME"))
        commandOption = name
      case "--user", "-u":
        (commandOptions.user, commandOptions.group) = try Self.user(value(name, attached, "UID[:GID]"))
        commandOption = name
      case "--tty", "-t":
        try flag(name, attached)
        commandOptions.terminal = true
        commandOption = name
      case "--timings":
        switch attached {
        case nil, "table": timings = .table
        case "json": timings = .json
        case let other?: throw UsageError("--timings=\(other): expected table or json")
        }
      case "--verbose", "-v":
        try flag(name, attached)
        configuration.verbose = true
      case "--quiet", "-q":
        try flag(name, attached)
        configuration.quiet = true
      default: throw UsageError("unknown option \(name)\(Self.suggestion(for: name))")
      }
    }

    if let command {
      guard !command.isEmpty else { throw UsageError("a command is missing behind '--'") }
      guard let rootfs else {
        throw UsageError(
          "a command needs a root directory for the guest: --rootfs DIR (the directory is copied, never changed)")
      }
      guard configuration.kernel != nil else {
        throw UsageError("a command needs a Linux kernel: --kernel FILE (a bzImage, for example /boot/vmlinuz-*)")
      }
      commandOptions.rootfs = rootfs
      commandOptions.arguments = command
      configuration.command = commandOptions
    } else if rootfs != nil {
      throw UsageError("--rootfs needs a command: ... --rootfs DIR -- CMD ARGS")
    } else if let option = commandOption {
      throw UsageError("\(option) is for a command: ... --rootfs DIR -- CMD ARGS")
    }
    try Self.check(configuration)
    return .launch(configuration, timings: timings)
  }

  /// What no single option can know.
  private static func check(_ configuration: Configuration) throws(UsageError) {
    if configuration.kernel == nil {
      if configuration.initrd != nil { throw UsageError("--initrd needs --kernel FILE: the built-in guest takes none") }
      if !configuration.disks.isEmpty {
        throw UsageError("--disk needs --kernel FILE: the built-in guest has no drivers")
      }
      if configuration.cpus != 1 { throw UsageError("--cpus needs --kernel FILE: the built-in guest runs on one") }
    } else if let memory = configuration.memory, memory < Configuration.leastLinuxMemory {
      throw UsageError("--memory is below 64M, the least for a Linux kernel (Debian's need 80M)")
    }
    if configuration.command != nil, configuration.initrd != nil {
      throw UsageError("--initrd and --rootfs exclude each other: vmrun makes the initramfs from the directory")
    }
    if configuration.disks.count > Configuration.mostDisks {
      throw UsageError("at most \(Configuration.mostDisks) disks can be attached")
    }
    if configuration.command != nil, configuration.console == .stdio {
      throw UsageError(
        "--console stdio would mix the kernel's log with the command's output; use stderr, none or a file")
    }
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

  // MARK: Values

  private static func count(_ name: String, _ text: String, most: UInt32) throws(UsageError) -> UInt32 {
    guard let number = UInt32(text), number >= 1, number <= most else {
      throw UsageError("\(name) \(text): expected a whole number from 1 to \(most)")
    }
    return number
  }

  /// "64M", "2G", "1536MiB": binary units, which must be named.
  static func size(_ name: String, _ text: String) throws(UsageError) -> UInt64 {
    let digits = text.utf8.prefix { $0 >= 0x30 && $0 <= 0x39 }
    let number = UInt64(String(decoding: digits, as: UTF8.self))
    let shift: UInt64
    switch String(decoding: text.utf8.dropFirst(digits.count), as: UTF8.self) {
    case "K", "k", "KiB": shift = 10
    case "M", "m", "MiB": shift = 20
    case "G", "g", "GiB": shift = 30
    case "T", "t", "TiB": shift = 40
    case "" where number != nil: throw UsageError("\(name) \(text): name the unit: \(text)M for MiB, \(text)G for GiB")
    default: throw UsageError("\(name) \(text): expected a number and a unit, for example 64M, 512M or 2G")
    }
    guard digits.isEmpty || number != nil else { throw UsageError("\(name) \(text): more than a machine can address") }
    guard let number, number > 0 else {
      throw UsageError("\(name) \(text): expected more than nothing, for example 256M")
    }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    guard !overflow, bytes <= 1 << 46 else { throw UsageError("\(name) \(text): more than a machine can address") }
    guard bytes & 4095 == 0 else { throw UsageError("\(name) \(text): must be a multiple of 4K") }
    return bytes
  }

  /// Seconds with a decimal part, or with the unit ms, s, m or h; in nanoseconds.
  static func duration(_ name: String, _ text: String) throws(UsageError) -> UInt64 {
    let wrong = UsageError("\(name) \(text): expected seconds, for example 30, 1.5, 500ms or 2m")
    var whole: UInt64 = 0
    var fraction: UInt64 = 0
    var scale: UInt64 = 1_000_000_000
    var digits = 0
    var behindPoint = false
    var unit: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39 where unit.isEmpty:
        digits += 1
        guard digits <= 12 else { throw wrong }
        if behindPoint {
          scale /= 10
          fraction += UInt64(byte - 0x30) * scale
        } else {
          whole = whole * 10 + UInt64(byte - 0x30)
        }
      case UInt8(ascii: ".") where !behindPoint && unit.isEmpty: behindPoint = true
      default: unit.append(byte)
      }
    }
    let (seconds, nanoseconds): (UInt64, UInt64)
    switch String(decoding: unit, as: UTF8.self) {
    case "", "s": (seconds, nanoseconds) = (whole, fraction)
    case "ms": (seconds, nanoseconds) = (whole / 1000, whole % 1000 * 1_000_000 + fraction / 1000)
    case "m": (seconds, nanoseconds) = (whole * 60, fraction * 60)
    case "h": (seconds, nanoseconds) = (whole * 3600, fraction * 3600)
    default: throw wrong
    }
    guard digits > 0, seconds < 1 << 32 else { throw wrong }
    let total = seconds * 1_000_000_000 + nanoseconds
    guard total > 0 else { throw UsageError("\(name) \(text): must be more than 0") }
    return total
  }

  private static func disk(_ text: String) throws(UsageError) -> Configuration.Disk {
    var path = text
    var readOnly = false
    for (suffix, value) in [(",ro", true), (",rw", false)] where path.hasSuffix(suffix) {
      path = String(path.utf8.dropLast(3)) ?? path
      readOnly = value
      break
    }
    guard !path.isEmpty else { throw UsageError("--disk needs a file: --disk FILE or --disk FILE,ro") }
    return Configuration.Disk(path: path, readOnly: readOnly)
  }

  private static func environment(_ text: String, _ raw: [UInt8]) throws(UsageError) -> [UInt8] {
    let name = raw.prefix { $0 != UInt8(ascii: "=") }
    guard !name.isEmpty else { throw UsageError("--env \(text): expected NAME=VALUE") }
    if name.count < raw.count { return raw }
    // As docker does: a bare name passes vmrun's own value on, and nothing when there is none.
    guard let value = Environment.value(of: text) else {
      throw UsageError("--env \(text): \(text) is not set here; give a value: --env \(text)=VALUE")
    }
    return raw + [UInt8(ascii: "=")] + value
  }

  private static func hostname(_ text: String) throws(UsageError) -> String {
    let allowed = text.utf8.allSatisfy {
      switch $0 {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "."): return true
      default: return false
      }
    }
    guard allowed, !text.isEmpty, text.utf8.count <= 64 else {
      throw UsageError("--hostname \(text): expected 1 to 64 letters, digits, '-' and '.'")
    }
    return text
  }

  private static func user(_ text: String) throws(UsageError) -> (UInt32, UInt32) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2, let user = UInt32(String(parts[0])) else {
      throw UsageError("--user \(text): expected numbers: UID or UID:GID")
    }
    guard parts.count == 2 else { return (user, 0) }
    guard let group = UInt32(String(parts[1])) else {
      throw UsageError("--user \(text): expected numbers: UID or UID:GID")
    }
    return (user, group)
  }

  // MARK: Help for a slip

  static let options = [
    "--kernel", "--initrd", "--append", "--cpus", "--memory", "--timeout", "--boot", "--kernel-pages", "--console",
    "--disk", "--rootfs", "--env",
    "--workdir", "--hostname", "--user", "--tty", "--timings", "--verbose", "--quiet", "--help", "--version",
  ]

  /// ": did you mean --x?" when exactly one option is near.
  private static func suggestion(for name: String) -> String {
    for option in options where isNear(Array(name.utf8), Array(option.utf8)) { return ": did you mean \(option)?" }
    return ""
  }

  /// Whether one insertion, deletion, change or swap makes one word the other, or one begins with the other.
  static func isNear(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    if left.count >= 5, right.starts(with: left) { return true }
    guard left.count + 1 >= right.count, right.count + 1 >= left.count else { return false }
    var same = 0
    while same < left.count, same < right.count, left[same] == right[same] { same += 1 }
    let (a, b) = (left[same...], right[same...])
    if a.count == b.count {
      if a.dropFirst().elementsEqual(b.dropFirst()) { return true }
      return a.count >= 2 && a.first == b.dropFirst().first && b.first == a.dropFirst().first
        && a.dropFirst(2).elementsEqual(b.dropFirst(2))
    }
    return a.count > b.count ? a.dropFirst().elementsEqual(b) : a.elementsEqual(b.dropFirst())
  }
}
