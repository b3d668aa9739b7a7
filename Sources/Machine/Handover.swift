import Boot

/// What vmrun hands to `vmrun-libvirt`: a launch that another process carries out. It travels in a file without a name
/// (memfd_create(2)); who reads it believes nothing in it.
public struct Handover: Sendable {
  /// What the probe says about KVM for stock kernels.
  public enum Acceleration: UInt8, Sendable {
    /// It serves them.
    case kvm = 0
    /// It cannot.
    case emulation = 1
    /// It could not be asked.
    case unknown = 2
  }

  /// What is launched; always with a kernel.
  public var configuration: Configuration
  /// CLOCK_MONOTONIC of vmrun's main, in nanoseconds.
  public var start: UInt64
  /// Why libvirt: one line for people.
  public var reason: String
  public var acceleration: Acceleration
  /// `--timings`: 0 none, 1 a table, 2 JSON.
  public var timings: UInt8

  public init(
    configuration: Configuration, start: UInt64, reason: String, acceleration: Acceleration, timings: UInt8 = 0
  ) {
    self.configuration = configuration
    self.start = start
    self.reason = reason
    self.acceleration = acceleration
    self.timings = timings
  }

  /// Longest encoding in bytes: more than any command line of Linux.
  public static let sizeLimit = 8 << 20

  private static let magic: UInt32 = 0x4852_4D56  // "VMRH"
  private static let version: UInt32 = 1

  /// The hand-over in bytes, little-endian. A string is its length (32 bits) and its UTF-8 or raw bytes, an optional one a byte 0 or 1
  /// before it: magic, version, start, acceleration, timings, reason; then the configuration in the order of its declaration.
  public func encoded() -> [UInt8] {
    var bytes = HandoverWriter()
    bytes.integer(Self.magic)
    bytes.integer(Self.version)
    bytes.integer(start)
    bytes.integer(acceleration.rawValue)
    bytes.integer(timings)
    bytes.string(reason)
    bytes.optional(configuration.kernel)
    bytes.integer(configuration.kernelPages.code)
    bytes.optional(configuration.initrd)
    bytes.string(configuration.append)
    bytes.integer(configuration.cpus)
    // 0 is no size of a memory and no time limit: both stand for "none given".
    bytes.integer(configuration.memory ?? 0)
    bytes.integer(configuration.boot.code)
    bytes.console(configuration.console)
    bytes.integer(UInt32(truncatingIfNeeded: configuration.disks.count))
    for disk in configuration.disks {
      bytes.string(disk.path)
      bytes.integer(disk.readOnly ? 1 : 0 as UInt8)
    }
    bytes.command(configuration.command)
    bytes.integer(configuration.timeout ?? 0)
    bytes.integer((configuration.verbose ? 1 : 0) | (configuration.quiet ? 2 : 0) as UInt8)
    return bytes.bytes
  }

  /// Reads and checks an encoded hand-over: every value is one that vmrun's own command line allows.
  public init(decoding bytes: [UInt8]) throws(HandoverError) {
    guard bytes.count <= Self.sizeLimit else { throw HandoverError("\(bytes.count) bytes are too many") }
    var reader = HandoverReader(bytes)
    guard try reader.integer(UInt32.self) == Self.magic else { throw HandoverError("wrong magic") }
    let version = try reader.integer(UInt32.self)
    guard version == Self.version else {
      throw HandoverError("version \(version) is not \(Self.version): vmrun and vmrun-libvirt are not of one build")
    }
    start = try reader.integer(UInt64.self)
    guard let acceleration = Acceleration(rawValue: try reader.integer(UInt8.self)) else {
      throw HandoverError("unknown acceleration")
    }
    self.acceleration = acceleration
    timings = try reader.integer(UInt8.self)
    guard timings <= 2 else { throw HandoverError("unknown timings") }
    reason = try reader.text("reason")
    configuration = try reader.configuration()
    guard reader.isAtEnd else { throw HandoverError("bytes follow its end") }
  }
}

/// Why bytes are not a hand-over.
public struct HandoverError: Error, Equatable, CustomStringConvertible {
  public let description: String
  init(_ reason: String) { description = "hand-over: \(reason)" }
}

extension Configuration.KernelPages {
  fileprivate var code: UInt8 {
    switch self {
    case .automatic: 0
    case .shared: 1
    case .copied: 2
    }
  }

  fileprivate init?(code: UInt8) {
    switch code {
    case 0: self = .automatic
    case 1: self = .shared
    case 2: self = .copied
    default: return nil
    }
  }
}

extension BootMode {
  fileprivate var code: UInt8 {
    switch self {
    case .auto: 0
    case .direct: 1
    case .decompress: 2
    }
  }

  fileprivate init?(code: UInt8) {
    switch code {
    case 0: self = .auto
    case 1: self = .direct
    case 2: self = .decompress
    default: return nil
    }
  }
}

/// Puts a hand-over's fields behind each other.
private struct HandoverWriter {
  private(set) var bytes: [UInt8] = []

  mutating func integer<Value: FixedWidthInteger>(_ value: Value) {
    var rest = value
    for _ in 0..<Value.bitWidth / 8 {
      bytes.append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  mutating func string(_ text: [UInt8]) {
    integer(UInt32(truncatingIfNeeded: text.count))
    bytes.append(contentsOf: text)
  }

  mutating func string(_ text: String) { string(Array(text.utf8)) }

  mutating func optional(_ text: String?) {
    integer(text == nil ? 0 : 1 as UInt8)
    if let text { string(text) }
  }

  mutating func console(_ console: Configuration.Console?) {
    switch console {
    case nil: integer(0 as UInt8)
    case .stdio?: integer(1 as UInt8)
    case .standardError?: integer(2 as UInt8)
    case Configuration.Console.none?: integer(3 as UInt8)
    case .file(let path)?:
      integer(4 as UInt8)
      string(path)
    }
  }

  mutating func command(_ command: Configuration.Command?) {
    integer(command == nil ? 0 : 1 as UInt8)
    guard let command else { return }
    string(command.rootfs)
    strings(command.arguments)
    strings(command.environment)
    string(command.workingDirectory)
    string(command.hostname)
    integer(command.user)
    integer(command.group)
    integer(command.terminal ? 1 : 0 as UInt8)
  }

  private mutating func strings(_ list: [[UInt8]]) {
    integer(UInt32(truncatingIfNeeded: list.count))
    for text in list { string(text) }
  }
}

/// Takes a hand-over's fields off its bytes; nothing is read past the end, and no count is believed that the rest could not hold.
private struct HandoverReader {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { position == bytes.count }
  private var left: Int { bytes.count - position }

  mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(_ type: Value.Type) throws(HandoverError) -> Value {
    let size = Value.bitWidth / 8
    guard left >= size else { throw HandoverError("truncated") }
    var value: Value = 0
    for index in 0..<size {
      value |= Value(truncatingIfNeeded: bytes[position + index]) << Value(truncatingIfNeeded: 8 * index)
    }
    position += size
    return value
  }

  /// A string that C can hold.
  mutating func string(_ name: String) throws(HandoverError) -> [UInt8] {
    let count = try integer(UInt32.self)
    guard count <= left else { throw HandoverError("truncated") }
    let text = Array(bytes[position..<position + Int(count)])
    position += Int(count)
    guard !text.contains(0) else { throw HandoverError("the \(name) contains a zero byte") }
    return text
  }

  mutating func text(_ name: String) throws(HandoverError) -> String {
    let raw = try string(name)
    let text = String(decoding: raw, as: UTF8.self)
    // What is not UTF-8 would name another file than was meant.
    guard text.utf8.elementsEqual(raw) else { throw HandoverError("the \(name) is not UTF-8") }
    return text
  }

  private mutating func path(_ name: String) throws(HandoverError) -> String {
    let path = try text(name)
    guard !path.isEmpty else { throw HandoverError("the \(name) is empty") }
    return path
  }

  mutating func flag(_ name: String) throws(HandoverError) -> Bool {
    switch try integer(UInt8.self) {
    case 0: return false
    case 1: return true
    default: throw HandoverError("the \(name) is neither 0 nor 1")
    }
  }

  /// A count of entries, each of which needs at least `entrySize` of the bytes that are left.
  private mutating func count(entrySize: Int) throws(HandoverError) -> Int {
    let value = Int(try integer(UInt32.self))
    guard value <= left / entrySize else { throw HandoverError("truncated") }
    return value
  }

  private mutating func strings(_ name: String) throws(HandoverError) -> [[UInt8]] {
    var result: [[UInt8]] = []
    for _ in 0..<(try count(entrySize: 4)) { result.append(try string(name)) }
    return result
  }

  mutating func configuration() throws(HandoverError) -> Configuration {
    var result = Configuration()
    guard try flag("kernel") else { throw HandoverError("there is no kernel") }
    result.kernel = try path("kernel")
    guard let pages = Configuration.KernelPages(code: try integer(UInt8.self)) else {
      throw HandoverError("unknown kernel pages")
    }
    result.kernelPages = pages
    if try flag("initrd") { result.initrd = try path("initrd") }
    result.append = try text("kernel command line")
    result.cpus = try integer(UInt32.self)
    guard (1...255).contains(result.cpus) else { throw HandoverError("\(result.cpus) processors") }
    let memory = try integer(UInt64.self)
    if memory != 0 {
      guard memory & 4095 == 0, (Configuration.leastLinuxMemory...1 << 46).contains(memory) else {
        throw HandoverError("\(memory) bytes of memory")
      }
      result.memory = memory
    }
    guard let boot = BootMode(code: try integer(UInt8.self)) else { throw HandoverError("unknown boot mode") }
    result.boot = boot
    result.console = try console()
    let disks = try count(entrySize: 5)
    guard disks <= Configuration.mostDisks else { throw HandoverError("\(disks) disks") }
    for _ in 0..<disks {
      result.disks.append(Configuration.Disk(path: try path("disk"), readOnly: try flag("disk's access")))
    }
    if try flag("command") { result.command = try command() }
    guard result.command == nil || result.initrd == nil else { throw HandoverError("a command and an initrd") }
    guard result.command == nil || result.console != .stdio else {
      throw HandoverError("a command and the console on standard output")
    }
    let timeout = try integer(UInt64.self)
    if timeout != 0 { result.timeout = timeout }
    let flags = try integer(UInt8.self)
    guard flags <= 3 else { throw HandoverError("unknown flags \(flags)") }
    (result.verbose, result.quiet) = (flags & 1 != 0, flags & 2 != 0)
    return result
  }

  private mutating func console() throws(HandoverError) -> Configuration.Console? {
    switch try integer(UInt8.self) {
    case 0: return nil
    case 1: return .stdio
    case 2: return .standardError
    case 3: return Configuration.Console.none
    case 4: return .file(try path("console's file"))
    default: throw HandoverError("unknown console")
    }
  }

  private mutating func command() throws(HandoverError) -> Configuration.Command {
    let rootfs = try path("rootfs")
    let arguments = try strings("command")
    guard !arguments.isEmpty else { throw HandoverError("an empty command") }
    var result = Configuration.Command(rootfs: rootfs, arguments: arguments)
    result.environment = try strings("environment")
    for variable in result.environment {
      guard let sign = variable.firstIndex(of: UInt8(ascii: "=")), sign > 0 else {
        throw HandoverError("a variable is not NAME=value")
      }
    }
    result.workingDirectory = try path("working directory")
    guard result.workingDirectory.utf8.first == UInt8(ascii: "/") else {
      throw HandoverError("the working directory is not absolute")
    }
    result.hostname = try text("host name")
    guard (1...64).contains(result.hostname.utf8.count) else { throw HandoverError("the host name's length") }
    result.user = try integer(UInt32.self)
    result.group = try integer(UInt32.self)
    guard result.user != .max, result.group != .max else { throw HandoverError("4294967295 is no user or group") }
    result.terminal = try flag("terminal")
    return result
  }
}
