import CLinux

/// Strings as C takes them: an array of pointers that ends in a null pointer.
@safe final class StringArray {
  let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let count: Int

  init(_ strings: [[UInt8]]) {
    count = strings.count
    unsafe pointers = .allocate(capacity: strings.count + 1)
    for (index, string) in strings.enumerated() {
      let copy = UnsafeMutablePointer<CChar>.allocate(capacity: string.count + 1)
      // unsafe: both arrays have room for every byte and the null behind them.
      for (offset, byte) in string.enumerated() { unsafe copy[offset] = CChar(bitPattern: byte) }
      unsafe copy[string.count] = 0
      unsafe pointers[index] = copy
    }
    unsafe pointers[strings.count] = nil
  }

  deinit {
    // unsafe: each was allocated above and is freed once.
    for index in 0..<count { unsafe pointers[index]?.deallocate() }
    unsafe pointers.deallocate()
  }
}
