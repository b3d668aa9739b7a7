/// Strings as C takes them: an array of pointers to NUL-terminated bytes, ended by a null pointer.
///
/// Room for some more may be kept, so that a child can add what it learns late without moving the others.
@safe final class StringVector {
  private let bytes: UnsafeMutablePointer<CChar>
  private let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let capacity: Int
  private var added: [UnsafeMutablePointer<CChar>] = unsafe []
  /// How many strings there are.
  private(set) var count: Int
  /// Bytes that they take, with the zero bytes.
  private(set) var size: Int

  /// Copies `strings`, none of which contains a zero byte, and keeps room for `spare` more.
  init(_ strings: [[UInt8]], spare: Int = 0) {
    size = strings.reduce(0) { $0 + $1.count + 1 }
    capacity = strings.count + spare
    count = strings.count
    // unsafe: freed by deinit, used by nobody else.
    unsafe bytes = .allocate(capacity: max(1, size))
    unsafe pointers = .allocate(capacity: capacity + 1)
    var position = 0
    for (index, string) in strings.enumerated() {
      // unsafe: index < strings.count, and position stays below size as it was added up above.
      unsafe pointers[index] = bytes + position
      unsafe string.withUnsafeBufferPointer { source in
        // unsafe: as above; characters and bytes have one layout.
        if let start = source.baseAddress {
          unsafe UnsafeMutableRawPointer(bytes + position).copyMemory(from: start, byteCount: source.count)
        }
      }
      position += string.count
      // unsafe: as above.
      unsafe bytes[position] = 0
      position += 1
    }
    // unsafe: one more pointer than strings was allocated.
    unsafe pointers[count] = nil
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe pointers.deallocate()
    // unsafe: each was allocated by `append` and belongs to nobody else.
    for index in unsafe added.indices { unsafe added[index].deallocate() }
  }

  /// Adds one string where room was kept; returns whether there was any.
  @discardableResult
  func append(_ string: [UInt8]) -> Bool {
    guard count < capacity else { return false }
    // unsafe: one byte more than the string has; the loop stays inside.
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: string.count + 1)
    for index in string.indices { unsafe copy[index] = CChar(bitPattern: string[index]) }
    unsafe copy[string.count] = 0
    unsafe added.append(copy)
    // unsafe: count < capacity, and one more pointer than the capacity was allocated.
    unsafe pointers[count] = copy
    count += 1
    size += string.count + 1
    unsafe pointers[count] = nil
    return true
  }

  /// The array; valid as long as this object.
  var array: UnsafePointer<UnsafeMutablePointer<CChar>?> { unsafe UnsafePointer(pointers) }
}

extension StringVector {
  /// Runs `body` with `bytes` and a zero byte behind them, as C takes a path.
  static func withTerminated<Result>(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Result) -> Result {
    var terminated = bytes
    terminated.append(0)
    return unsafe terminated.withUnsafeBytes {
      // unsafe: the array is never empty, and characters and bytes have one layout.
      unsafe body($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self))
    }
  }
}
