/// A first-in first-out queue of bytes over a ring that grows. What bounds it is its owner's business.
struct ByteQueue: Sendable {
  private var storage: [UInt8]
  private var head = 0
  /// Bytes held.
  private(set) var count = 0

  /// An empty queue that holds `capacity` bytes before it has to grow.
  init(capacity: Int = 0) {
    var size = 16
    while size < capacity { size *= 2 }
    storage = [UInt8](repeating: 0, count: capacity == 0 ? 0 : size)
  }

  var isEmpty: Bool { count == 0 }

  /// The byte appended last.
  var last: UInt8? { count == 0 ? nil : storage[(head + count - 1) & (storage.count - 1)] }

  mutating func append(_ byte: UInt8) {
    reserve(count + 1)
    storage[(head + count) & (storage.count - 1)] = byte
    count += 1
  }

  mutating func append(_ bytes: Span<UInt8>) { append(bytes, count: bytes.count) }

  /// Appends the first `length` bytes of `bytes`, which has at least as many.
  mutating func append(_ bytes: Span<UInt8>, count length: Int) {
    if length == 0 { return }
    reserve(count + length)
    let start = (head + count) & (storage.count - 1)
    let first = min(length, storage.count - start)
    // unsafe: reserve made room for `length` bytes from `start` on, around the ring's end; the source has as many.
    unsafe storage.withUnsafeMutableBytes { ring in
      unsafe bytes.withUnsafeBytes { source in
        let part = unsafe UnsafeRawBufferPointer(rebasing: source[0..<length])
        unsafe UnsafeMutableRawBufferPointer(rebasing: ring[start...]).copyMemory(from: .init(rebasing: part[..<first]))
        unsafe ring.copyMemory(from: .init(rebasing: part[first...]))
      }
    }
    count += length
  }

  mutating func popFirst() -> UInt8? {
    if count == 0 { return nil }
    let byte = storage[head]
    drop(1)
    return byte
  }

  /// Forgets the first `length` bytes; there are at least as many.
  mutating func drop(_ length: Int) {
    head = (head + length) & (storage.count - 1)
    count -= length
    if count == 0 { head = 0 }
  }

  mutating func removeAll() {
    head = 0
    count = 0
  }

  /// Copies from the front into `target`, leaving the queue as it is; returns how many bytes there were.
  func copyPrefix(into target: inout MutableSpan<UInt8>) -> Int {
    let length = min(count, target.count)
    if length == 0 { return 0 }
    let first = min(length, storage.count - head)
    // unsafe: `length` is bounded by what the ring holds from `head` on, around its end, and by the target.
    unsafe storage.withUnsafeBytes { ring in
      unsafe target.withUnsafeMutableBytes { bytes in
        unsafe bytes.copyMemory(from: .init(rebasing: ring[head..<head + first]))
        unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[first...]).copyMemory(
          from: .init(rebasing: ring[0..<length - first]))
      }
    }
    return length
  }

  /// All bytes in order, leaving the queue as it is.
  var bytes: [UInt8] {
    var result = [UInt8](repeating: 0, count: count)
    var target = result.mutableSpan
    _ = copyPrefix(into: &target)
    return result
  }

  private mutating func reserve(_ needed: Int) {
    if needed <= storage.count { return }
    var size = max(storage.count, 16)
    while size < needed { size *= 2 }
    var larger = [UInt8](repeating: 0, count: size)
    var target = larger.mutableSpan
    let kept = copyPrefix(into: &target)
    storage = larger
    head = 0
    count = kept
  }
}
