/// Words as C takes them: an array of pointers to NUL-terminated bytes, ended by a null pointer.
@safe final class WordVector {
  private let bytes: UnsafeMutablePointer<CChar>
  /// The array; valid as long as this object.
  let array: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

  /// Copies `words`; a zero byte ends a word early.
  init(_ words: [[UInt8]]) {
    let size = words.reduce(0) { $0 + $1.count + 1 }
    // unsafe: freed by deinit, used by nobody else.
    unsafe bytes = .allocate(capacity: max(1, size))
    unsafe array = .allocate(capacity: words.count + 1)
    var position = 0
    for (index, word) in words.enumerated() {
      // unsafe: index < words.count, and position stays below size as it was added up above.
      unsafe array[index] = bytes + position
      for byte in word {
        unsafe bytes[position] = CChar(bitPattern: byte)
        position += 1
      }
      // unsafe: as above.
      unsafe bytes[position] = 0
      position += 1
    }
    // unsafe: one more pointer than words was allocated.
    unsafe array[words.count] = nil
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe array.deallocate()
  }
}
