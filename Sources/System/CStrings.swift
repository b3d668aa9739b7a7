/// Strings as C takes them: an array of pointers to NUL-terminated bytes, ended by a null pointer. As a value that cannot be copied
/// it lives until the end of the scope of its name, and so do the pointers.
@safe public struct CStrings: ~Copyable {
  private let bytes: UnsafeMutablePointer<CChar>
  private let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

  /// Copies `strings`; a zero byte ends one of them early.
  public init(_ strings: [[UInt8]]) {
    var size = 0
    for string in strings { size += string.count + 1 }
    // unsafe: freed by deinit, used by nobody else.
    unsafe bytes = .allocate(capacity: max(1, size))
    unsafe pointers = .allocate(capacity: strings.count + 1)
    var position = 0
    for (index, string) in strings.enumerated() {
      // unsafe: index < strings.count, and position stays below size as it was added up above.
      unsafe pointers[index] = bytes + position
      for byte in string {
        unsafe bytes[position] = CChar(bitPattern: byte)
        position += 1
      }
      unsafe bytes[position] = 0
      position += 1
    }
    // unsafe: one more pointer than strings was allocated.
    unsafe pointers[strings.count] = nil
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe pointers.deallocate()
  }

  /// The array; valid as long as this value.
  public var array: UnsafePointer<UnsafeMutablePointer<CChar>?> { unsafe UnsafePointer(pointers) }

  /// The array as C declares paths, which nobody writes to.
  public var constants: UnsafePointer<UnsafePointer<CChar>?> {
    // unsafe: pointers to mutable and to constant characters have the same layout.
    unsafe UnsafeRawPointer(pointers).assumingMemoryBound(to: UnsafePointer<CChar>?.self)
  }

  /// The first string; nil without any.
  public var first: UnsafeMutablePointer<CChar>? { unsafe pointers[0] }
}
