/// A set of CPUs or memory nodes as the kernel's bit arrays, read from a list such as "0-3,7" (cpuset(7), list format).
struct CPUMask: Equatable, Sendable {
  /// 64 numbers each, lowest first; never empty.
  private(set) var words: [UInt64] = [0]

  /// The highest number taken; above any kernel's NR_CPUS and MAX_NUMNODES.
  static let limit = 8191

  /// Whether no bit is set.
  var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

  /// How many bits the words have.
  var bits: Int { words.count * 64 }

  /// Reads `list`; `field` names it in the error.
  init(_ list: String, of field: String, emptyAllowed: Bool = false) throws(ContainerError) {
    let text = Array(list.utf8)
    if text.isEmpty && emptyAllowed { return }
    for part in text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      let ends = part.split(separator: UInt8(ascii: "-"), maxSplits: 1, omittingEmptySubsequences: false)
      guard let first = Self.number(ends[0]), let last = ends.count == 1 ? first : Self.number(ends[1]), first <= last
      else {
        throw ContainerError(
          .invalid, "\(field): '\(list)' is no list of numbers up to \(Self.limit) such as 0-3,7")
      }
      for number in first...last { insert(number) }
    }
  }

  private mutating func insert(_ number: Int) {
    while words.count <= number / 64 { words.append(0) }
    words[number / 64] |= 1 << UInt64(number % 64)
  }

  private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
    guard !digits.isEmpty, digits.count <= 4 else { return nil }
    var value = 0
    for digit in digits {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
      value = value * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return value <= limit ? value : nil
  }
}
