import CLinux
import GuestProtocol
import System

/// The variables that a command finds: those asked for, and a few that programs rely on.
struct CommandEnvironment {
  private(set) var variables: [[UInt8]]

  /// Where commands are looked for when nobody says.
  static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

  init(_ configuration: CommandConfiguration) {
    variables = configuration.environment
    if value(of: "PATH") == nil { add("PATH", Array(Self.defaultPath.utf8)) }
    if value(of: "HOME") == nil { add("HOME", UserDatabase.home(of: configuration.userID)) }
    if !configuration.hostname.isEmpty && value(of: "HOSTNAME") == nil { add("HOSTNAME", configuration.hostname) }
    if configuration.hasTerminal && value(of: "TERM") == nil { add("TERM", Array("xterm".utf8)) }
  }

  /// The value of variable `name`; of several, the first counts, as for getenv(3).
  func value(of name: StaticString) -> [UInt8]? {
    let length = name.utf8CodeUnitCount
    for variable in variables where variable.count > length && variable[length] == UInt8(ascii: "=") {
      // unsafe: the literal has length bytes.
      let bytes = unsafe UnsafeBufferPointer(start: name.utf8Start, count: length)
      if unsafe variable.prefix(length).elementsEqual(bytes) { return Array(variable[(length + 1)...]) }
    }
    return nil
  }

  /// Every path at which command `name` may lie, in the order in which they are tried.
  func candidates(for name: [UInt8]) -> [[UInt8]] {
    if name.isEmpty { return [] }
    if name.contains(UInt8(ascii: "/")) { return [name] }
    let path = value(of: "PATH") ?? []
    var result: [[UInt8]] = []
    for folder in path.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false) {
      // An empty part means the folder in which the command starts.
      result.append(folder.isEmpty ? name : Array(folder) + [UInt8(ascii: "/")] + name)
    }
    return result
  }

  private mutating func add(_ name: String, _ value: [UInt8]) {
    variables.append(Array(name.utf8) + [UInt8(ascii: "=")] + value)
  }
}

/// passwd(5) of the command's root.
enum UserDatabase {
  /// Bytes of the file that are looked at.
  private static let limit = 256 << 10

  /// The home folder of user number `user`; the root when the file does not tell.
  static func home(of user: UInt32) -> [UInt8] {
    guard let contents = try? readFile("/etc/passwd", limit: limit) else { return [UInt8(ascii: "/")] }
    return home(of: user, in: contents)
  }

  /// The same, from the file's contents.
  static func home(of user: UInt32, in contents: [UInt8]) -> [UInt8] {
    let number = Array("\(user)".utf8)
    for line in contents.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      if fields.count >= 6, fields[2].elementsEqual(number), !fields[5].isEmpty, !fields[5].contains(0) {
        return Array(fields[5])
      }
    }
    return [UInt8(ascii: "/")]
  }
}

/// Reads a file of at most `limit` bytes; a longer one is cut off there.
func readFile(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
  let file = try FileDescriptor.open(path, O_RDONLY)
  var contents: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 16 << 10)
  while contents.count < limit {
    var failure: SystemError?
    let count = unsafe chunk.withUnsafeMutableBytes { buffer -> Int in
      do throws(SystemError) {
        // unsafe: the buffer is the array's own memory.
        return try unsafe file.read(into: buffer)
      } catch {
        failure = error
        return 0
      }
    }
    if let failure { throw failure }
    if count == 0 { break }
    contents.append(contentsOf: chunk[..<min(count, limit - contents.count)])
  }
  return contents
}
