import Hardware

// The compiler takes these two for granted on every platform, and there is no C library here.

/// memcpy(3).
@c(memcpy)
public func copy(_ to: UnsafeMutableRawPointer, _ from: UnsafeRawPointer, _ count: Int) -> UnsafeMutableRawPointer {
  // unsafe: the caller vouches for both ranges, as in C.
  unsafe copy_bytes(to, from, count)
  return unsafe to
}

/// memset(3).
@c(memset)
public func fill(_ to: UnsafeMutableRawPointer, _ value: Int32, _ count: Int) -> UnsafeMutableRawPointer {
  // unsafe: the caller vouches for the range, as in C.
  unsafe fill_bytes(to, UInt8(truncatingIfNeeded: value), count)
  return unsafe to
}
