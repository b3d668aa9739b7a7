/// A process's variables: of several with one name the last value counts, in the first one's place.
struct Environment: Sendable {
  /// "NAME=value" each.
  private(set) var variables: [[UInt8]] = []

  /// Where programs are looked for when the process has no PATH.
  static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

  /// Takes over `entries`, without duplicates.
  init(_ entries: [[UInt8]]) {
    variables.reserveCapacity(entries.count)
    // Open addressing over a table of twice the size: an orchestrator may give thousands of variables.
    var capacity = 16
    while capacity < entries.count * 2 { capacity *= 2 }
    var slots = [Int32](repeating: -1, count: capacity)
    for entry in entries {
      let name = Self.nameLength(entry)
      var slot = Int(truncatingIfNeeded: Self.hash(entry.prefix(name))) & (capacity - 1)
      while slots[slot] >= 0 && !Self.sameName(variables[Int(slots[slot])], entry, name) {
        slot = (slot + 1) & (capacity - 1)
      }
      if slots[slot] >= 0 {
        variables[Int(slots[slot])] = entry
      } else {
        slots[slot] = Int32(variables.count)
        variables.append(entry)
      }
    }
  }

  /// The value of variable `name`, or nil when there is none.
  func value(of name: String) -> ArraySlice<UInt8>? {
    let wanted = Array(name.utf8)
    for variable in variables where Self.sameName(variable, wanted, wanted.count) && variable.count > wanted.count {
      return variable[(wanted.count + 1)...]
    }
    return nil
  }

  private static func nameLength(_ entry: [UInt8]) -> Int { entry.firstIndex(of: UInt8(ascii: "=")) ?? entry.count }

  /// Whether `variable` has the name that the first `length` bytes of `other` are.
  private static func sameName(_ variable: [UInt8], _ other: [UInt8], _ length: Int) -> Bool {
    guard variable.count >= length, variable.count == length || variable[length] == UInt8(ascii: "=") else {
      return false
    }
    return variable.prefix(length).elementsEqual(other.prefix(length))
  }

  /// FNV-1a.
  private static func hash(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
  }
}
