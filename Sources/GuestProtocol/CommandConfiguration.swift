/// The command that init runs, and as what. vmrun writes it into the initramfs, where init reads it.
///
/// Arguments, variables and paths are bytes, since Linux does not promise that they are UTF-8.
public struct CommandConfiguration: Equatable, Sendable {
  /// Where the initramfs holds the encoded configuration.
  public static let path = "/vmrun/config"
  /// Where the initramfs holds init itself: the kernel's `rdinit=`.
  public static let initPath = "/vmrun/init"
  /// Where the initramfs holds what becomes the command's root.
  public static let rootPath = "/vmrun/root"
  /// Longest encoding in bytes; Linux itself takes less for arguments and variables together.
  public static let sizeLimit = 4 << 20
  /// Most supplementary groups (NGROUPS_MAX).
  public static let groupLimit = 65536

  /// The command's name or path, and its arguments; at least one.
  public var arguments: [[UInt8]]
  /// Variables as "NAME=value".
  public var environment: [[UInt8]]
  /// The folder in which the command starts; empty for the root.
  public var workingDirectory: [UInt8]
  /// The guest's host name, at most 64 bytes; empty to leave the kernel's.
  public var hostname: [UInt8]
  public var userID: UInt32
  public var groupID: UInt32
  public var supplementaryGroups: [UInt32]
  /// Whether the command gets a terminal instead of three pipes.
  public var hasTerminal: Bool
  /// The terminal's size at the start.
  public var windowSize: WindowSize

  /// A command of root without a terminal.
  public init(
    arguments: [[UInt8]], environment: [[UInt8]] = [], workingDirectory: [UInt8] = [], hostname: [UInt8] = [],
    userID: UInt32 = 0, groupID: UInt32 = 0, supplementaryGroups: [UInt32] = [], hasTerminal: Bool = false,
    windowSize: WindowSize = WindowSize()
  ) {
    self.arguments = arguments
    self.environment = environment
    self.workingDirectory = workingDirectory
    self.hostname = hostname
    self.userID = userID
    self.groupID = groupID
    self.supplementaryGroups = supplementaryGroups
    self.hasTerminal = hasTerminal
    self.windowSize = windowSize
  }

  private static let magic: UInt32 = 0x4352_4D56  // "VMRC"
  private static let version: UInt32 = 1

  /// The configuration in bytes, little-endian: magic, version, flags, window size, user, group, then the strings, each as
  /// its length and bytes: host name, folder, counted arguments, counted variables; then the counted groups.
  public func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(little: Self.magic)
    bytes.append(little: Self.version)
    bytes.append(little: hasTerminal ? 1 : 0 as UInt32)
    bytes.append(little: windowSize.rows)
    bytes.append(little: windowSize.columns)
    bytes.append(little: windowSize.xPixels)
    bytes.append(little: windowSize.yPixels)
    bytes.append(little: userID)
    bytes.append(little: groupID)
    bytes.append(string: hostname)
    bytes.append(string: workingDirectory)
    bytes.append(little: UInt32(truncatingIfNeeded: arguments.count))
    for argument in arguments { bytes.append(string: argument) }
    bytes.append(little: UInt32(truncatingIfNeeded: environment.count))
    for variable in environment { bytes.append(string: variable) }
    bytes.append(little: UInt32(truncatingIfNeeded: supplementaryGroups.count))
    for group in supplementaryGroups { bytes.append(little: group) }
    return bytes
  }

  /// Reads and checks an encoded configuration.
  public init(decoding bytes: [UInt8]) throws(ConfigurationError) {
    guard bytes.count <= Self.sizeLimit else { throw .tooLarge(bytes.count) }
    var reader = ConfigurationReader(bytes)
    guard try reader.integer(UInt32.self) == Self.magic else { throw .notAConfiguration }
    let version = try reader.integer(UInt32.self)
    guard version == Self.version else { throw .unknownVersion(version) }
    let flags = try reader.integer(UInt32.self)
    guard flags & ~1 == 0 else { throw .unknownFlags(flags) }
    hasTerminal = flags & 1 != 0
    windowSize = WindowSize(
      rows: try reader.integer(UInt16.self), columns: try reader.integer(UInt16.self),
      xPixels: try reader.integer(UInt16.self), yPixels: try reader.integer(UInt16.self))
    userID = try reader.identity()
    groupID = try reader.identity()
    hostname = try reader.string()
    guard hostname.count <= 64 else { throw .badHostname }
    workingDirectory = try reader.string()
    arguments = try reader.strings()
    guard !arguments.isEmpty else { throw .noCommand }
    environment = try reader.strings()
    for variable in environment {
      guard let sign = variable.firstIndex(of: UInt8(ascii: "=")), sign > 0 else { throw .badVariable }
    }
    let groups = try reader.count(entrySize: 4)
    guard groups <= Self.groupLimit else { throw .tooManyGroups(groups) }
    supplementaryGroups = []
    for _ in 0..<groups { supplementaryGroups.append(try reader.identity()) }
    guard reader.isAtEnd else { throw .trailingBytes }
  }
}

/// Why bytes are not a configuration.
public enum ConfigurationError: Error, Equatable, CustomStringConvertible {
  case notAConfiguration
  case unknownVersion(UInt32)
  case unknownFlags(UInt32)
  case truncated
  case trailingBytes
  case tooLarge(Int)
  case noCommand
  case containsZero
  case badHostname
  case badVariable
  case badIdentity
  case tooManyGroups(Int)

  public var description: String {
    switch self {
    case .notAConfiguration: "command configuration: wrong magic"
    case .unknownVersion(let version): "command configuration: unknown version \(version)"
    case .unknownFlags(let flags): "command configuration: unknown flags \(flags)"
    case .truncated: "command configuration: truncated"
    case .trailingBytes: "command configuration: bytes follow its end"
    case .tooLarge(let count): "command configuration: \(count) bytes are too many"
    case .noCommand: "command configuration: no command"
    case .containsZero: "command configuration: a string contains a zero byte"
    case .badHostname: "command configuration: the host name is longer than 64 bytes"
    case .badVariable: "command configuration: a variable is not NAME=value"
    case .badIdentity: "command configuration: 4294967295 is no user or group"
    case .tooManyGroups(let count): "command configuration: \(count) groups are too many"
    }
  }
}

/// `LittleEndianReader` with the errors and the checks of a configuration.
private struct ConfigurationReader {
  private var reader: LittleEndianReader

  init(_ bytes: [UInt8]) { reader = LittleEndianReader(bytes) }

  var isAtEnd: Bool { reader.isAtEnd }

  mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(
    _ type: Value.Type
  ) throws(ConfigurationError) -> Value {
    guard let value = reader.integer(type) else { throw .truncated }
    return value
  }

  /// A user or group number; all ones means "leave as it is" to setresuid(2), which nobody may ask for.
  mutating func identity() throws(ConfigurationError) -> UInt32 {
    let value = try integer(UInt32.self)
    guard value != .max else { throw .badIdentity }
    return value
  }

  /// A count of entries, each of which needs at least `entrySize` of the bytes that are left.
  mutating func count(entrySize: Int) throws(ConfigurationError) -> Int {
    let value = Int(try integer(UInt32.self))
    guard value <= reader.count / entrySize else { throw .truncated }
    return value
  }

  /// A string that C can hold: without a zero byte.
  mutating func string() throws(ConfigurationError) -> [UInt8] {
    guard let bytes = reader.bytes(try integer(UInt32.self)) else { throw .truncated }
    guard !bytes.contains(0) else { throw .containsZero }
    return bytes
  }

  mutating func strings() throws(ConfigurationError) -> [[UInt8]] {
    var result: [[UInt8]] = []
    for _ in 0..<(try count(entrySize: 4)) { result.append(try string()) }
    return result
  }
}

extension Array<UInt8> {
  fileprivate mutating func append(string: [UInt8]) {
    append(little: UInt32(truncatingIfNeeded: string.count))
    append(contentsOf: string)
  }
}
