/// The order of kernel releases ("6.1.0-56-cloud-amd64"): runs of digits compare as numbers, everything else by bytes.
enum ReleaseOrder {
  /// Whether `left` is older than `right`. A release candidate ("6.12-rc1", "6.12~rc1") is older than its release.
  static func isOlder(_ left: String, _ right: String) -> Bool {
    let (left, right) = (Array(left.utf8), Array(right.utf8))
    var (i, j) = (0, 0)
    while true {
      if i == left.count && j == right.count { return false }
      if i == left.count { return !isCandidate(right[j...]) }
      if j == right.count { return isCandidate(left[i...]) }
      let (a, b) = (left[i], right[j])
      if isDigit(a) && isDigit(b) {
        let (first, second) = (number(left, &i), number(right, &j))
        // Without leading zeros the longer number is the larger one, however many digits there are.
        if first.count != second.count { return first.count < second.count }
        for (x, y) in zip(first, second) where x != y { return x < y }
        continue
      }
      if a != b {
        let (candidate, other) = (isCandidate(left[i...]), isCandidate(right[j...]))
        if candidate != other { return candidate }
        // "6.1-x" is older than "6.1.2": a further component of the version weighs more than a suffix.
        let (dot, otherDot) = (a == UInt8(ascii: "."), b == UInt8(ascii: "."))
        if dot != otherDot { return otherDot }
        return a < b
      }
      i += 1
      j += 1
    }
  }

  static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

  private static func isCandidate(_ rest: ArraySlice<UInt8>) -> Bool {
    rest.first == UInt8(ascii: "~") || rest.starts(with: "-rc".utf8)
  }

  /// The digits at `index` without leading zeros; the index goes behind them.
  private static func number(_ bytes: [UInt8], _ index: inout Int) -> ArraySlice<UInt8> {
    let start = index
    while index < bytes.count, isDigit(bytes[index]) { index += 1 }
    return bytes[start..<index].drop { $0 == 0x30 }
  }
}
