import CLinux
import System

/// Ranges of IDs that the administrator gave a user (subuid(5), subgid(5)).
enum SubordinateIDs {
  /// `count` IDs from `first` on, at least one; the last is below 2^32 - 1.
  struct Range: Equatable, Sendable {
    let first: UInt32
    let count: UInt32
  }

  /// Bytes of such a file that are looked at.
  private static let limit = 256 << 10
  /// Lines that one mapping file of /proc takes are limited (340); a user has one or two.
  private static let mostRanges = 16

  /// The ranges of a user in the file at `path`; none when it cannot be read.
  static func read(_ path: String, user: UInt32, name: [UInt8]?) -> [Range] {
    guard let contents = try? HostFile.read(path, limit: limit) else { return [] }
    return ranges(of: user, name: name, in: contents)
  }

  /// The ranges of the user of that number or name in the lines "USER:FIRST:COUNT" of `contents`. What is no such line, or
  /// goes beyond the numbers that there are, is left out.
  static func ranges(of user: UInt32, name: [UInt8]?, in contents: [UInt8]) -> [Range] {
    var ranges: [Range] = []
    let number = Array("\(user)".utf8)
    for line in contents.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      guard fields.count == 3, fields[0].elementsEqual(number) || name.map({ fields[0].elementsEqual($0) }) ?? false,
        let first = UInt32(String(decoding: fields[1], as: UTF8.self)),
        let count = UInt32(String(decoding: fields[2], as: UTF8.self)), count > 0, first < UInt32.max - count,
        ranges.count < mostRanges
      else { continue }
      ranges.append(Range(first: first, count: count))
    }
    return ranges
  }

  /// The name of user `number`, or nil.
  static func name(of number: UInt32) -> [UInt8]? {
    guard let contents = try? HostFile.read("/etc/passwd", limit: limit) else { return nil }
    let digits = Array("\(number)".utf8)
    for line in contents.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      if fields.count >= 3, fields[2].elementsEqual(digits) { return Array(fields[0]) }
    }
    return nil
  }

  /// Whether the programs that map ranges for a user are installed.
  static var haveHelpers: Bool {
    ["newuidmap", "newgidmap"].allSatisfy { name in
      ["/usr/bin", "/bin", "/usr/local/bin"].contains { folder in
        // unsafe: the path is NUL-terminated for the call.
        unsafe access("\(folder)/\(name)", X_OK) == 0
      }
    }
  }
}
