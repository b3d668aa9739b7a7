import CContainer
import System

/// Memory of this process that texts are looked for in.
struct SearchableBytes: ~Copyable {
  private let memory: Mapping?
  /// How many bytes there are.
  let count: Int

  /// All bytes of `memory`.
  init(_ memory: consuming Mapping) {
    count = memory.count
    self.memory = consume memory
  }

  /// None.
  init() {
    count = 0
    memory = nil
  }

  /// The offset of `text` at or behind `from`, or nil.
  func find(_ text: String, from: Int = 0) -> Int? {
    // unsafe: self outlives every use of its first byte here.
    guard from >= 0, from < count, let start = unsafe base else { return nil }
    let needle = Array(text.utf8)
    // unsafe: from < count bytes of the mapping, and the array's own buffer.
    let found = unsafe ccontainer_find(start + from, UInt(count - from), needle, UInt(needle.count))
    return found < 0 ? nil : from + Int(found)
  }

  /// A copy of `range`, cut to what there is.
  func bytes(_ range: Range<Int>) -> [UInt8] {
    let range = range.clamped(to: 0..<count)
    // unsafe: self outlives the use of its first byte, and the range lies inside the mapping.
    guard let start = unsafe base else { return [] }
    return unsafe [UInt8](UnsafeRawBufferPointer(start: start + range.lowerBound, count: range.count))
  }

  /// The first byte; valid only while self lives.
  private var base: UnsafeRawPointer? {
    switch memory {
    case .some(let memory): return unsafe UnsafeRawPointer(memory.base)
    case .none: return nil
    }
  }

  /// The version behind "Linux version " (init/version.c), as printable text.
  var versionText: String {
    var from = 0
    for _ in 0..<8 {
      guard let place = find("Linux version ", from: from) else { return "" }
      from = place + 14
      let text = bytes(from..<from + 255).prefix { $0 != 0 && $0 != 10 }
      if let first = text.first, ReleaseOrder.isDigit(first) { return Printable.text(text, limit: 255) }
    }
    return ""
  }
}
