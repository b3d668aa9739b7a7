/// The kernel's command line: words in the order of their weight, the user's last so that they win.
public struct KernelCommandLine: Equatable, Sendable {
  private var own: [String] = []
  private var users: [String] = []

  /// An empty command line.
  public init() {}

  /// Adds words of vmrun's own.
  public mutating func add(_ words: String) throws(CommandLineError) {
    own.append(try KernelCommandLine.checked(words))
  }

  /// Adds what the user gave as `--append`; stands behind all of vmrun's own words.
  public mutating func append(_ words: String) throws(CommandLineError) {
    users.append(try KernelCommandLine.checked(words))
  }

  /// The whole line.
  public var text: String {
    var text = ""
    // Words behind a lone "--" are for init (kernel-parameters.rst), so vmrun's own must stand in front.
    for words in own + users where !words.isEmpty { text += text.isEmpty ? words : " " + words }
    return text
  }

  /// The line with its NUL, as it lies at `Layout.commandLine`.
  /// - Throws: `.tooLong` when it is longer than the kernel's `limit` (`SetupHeader.commandLineSize`) or the room for it.
  public func bytes(limit: Int) throws(CommandLineError) -> [UInt8] {
    let bytes = Array(text.utf8)
    let most = min(limit, Layout.commandLineCapacity - 1)
    guard bytes.count <= most else { throw .tooLong(count: bytes.count, limit: most) }
    return bytes + [0]
  }

  private static func checked(_ words: String) throws(CommandLineError) -> String {
    for byte in words.utf8 where byte == 0 || byte == 10 || byte == 13 { throw .forbiddenByte(byte) }
    return words
  }
}

/// Why a kernel command line cannot be passed.
public enum CommandLineError: Error, Equatable, CustomStringConvertible {
  case forbiddenByte(UInt8)
  case tooLong(count: Int, limit: Int)

  public var description: String {
    switch self {
    case .forbiddenByte(let byte):
      let name = byte == 0 ? "a NUL byte" : "a line end"
      return "the kernel command line contains \(name). Remove it from --append."
    case .tooLong(let count, let limit):
      return "the kernel command line has \(count) bytes; this kernel takes \(limit). Shorten --append."
    }
  }
}
