import Container
import Machine

/// The values of options.
extension ArgumentParser {
  static func count(_ name: String, _ text: String, most: UInt32) throws(UsageError) -> UInt32 {
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

  static func disk(_ text: String) throws(UsageError) -> Configuration.Disk {
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

  static func environment(_ text: String, _ raw: [UInt8]) throws(UsageError) -> [UInt8] {
    let name = raw.prefix { $0 != UInt8(ascii: "=") }
    guard !name.isEmpty else { throw UsageError("--env \(text): expected NAME=VALUE") }
    if name.count < raw.count { return raw }
    // As docker does: a bare name passes vmrun's own value on, and nothing when there is none.
    guard let value = Environment.value(of: text) else {
      throw UsageError("--env \(text): \(text) is not set here; give a value: --env \(text)=VALUE")
    }
    return raw + [UInt8(ascii: "=")] + value
  }

  static func hostname(_ text: String) throws(UsageError) -> String {
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

  static func user(_ text: String) throws(UsageError) -> (UInt32, UInt32) {
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

  /// Processors, in thousandths: "2", "0.5", "1.25".
  static func processorTime(_ text: String) throws(UsageError) -> UInt32 {
    let wrong = UsageError("--cpus \(text): expected processors from 0.01 to 8192, for example 2 or 0.5")
    let parts = text.utf8.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
    var value: UInt32 = 0
    for (index, part) in parts.enumerated() {
      guard part.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), part.count <= (index == 0 ? 4 : 3),
        !part.isEmpty || (index == 0 && parts.count == 2)
      else { throw wrong }
      // Three digits behind the point, whatever is written.
      for digit in part { value = value * 10 + UInt32(digit - 0x30) }
      for _ in (index == 0 ? 3 : part.count)..<3 { value *= 10 }
    }
    if parts.count == 1 { value *= 1000 }
    guard (10...8_192_000).contains(value) else { throw wrong }
    return value
  }

  static func volume(_ text: String) throws(UsageError) -> ContainerConfiguration.Volume {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
    guard parts.count == 2 || parts.count == 3, !parts[0].isEmpty else {
      throw UsageError("--volume \(text): expected SRC:DST or SRC:DST:ro")
    }
    guard parts[1].utf8.first == UInt8(ascii: "/"), parts[1].utf8.contains(where: { $0 != UInt8(ascii: "/") }) else {
      throw UsageError("--volume \(text): DST must be an absolute path below the container's root")
    }
    guard parts.count == 2 || parts[2] == "ro" || parts[2] == "rw" else {
      throw UsageError("--volume \(text): '\(parts[2])' is no option; expected ro or rw")
    }
    return ContainerConfiguration.Volume(
      source: parts[0], destination: parts[1], isReadOnly: parts.count == 3 && parts[2] == "ro")
  }

  static func name(_ text: String) throws(UsageError) -> String {
    // One byte less than what the kernel keeps beside an interface.
    guard StateRoot.isValid(id: text), text.utf8.count <= 200 else {
      throw UsageError("--name \(text): expected 1 to 200 letters, digits and _ + - .")
    }
    return text
  }
}
