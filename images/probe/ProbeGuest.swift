import ProbeGuestABI

/// The probe guest: a flat x86-64 image that the build makes from the sources in `Guest`. It does what stock kernels do right after
/// their entry. `ProbeGuestABI` describes the state in which it is entered and what it tells.
public enum ProbeGuest {
  /// Guest-physical address of the image's first byte, which is also its entry point.
  public static let loadAddress = UInt64(PROBE_LOAD_ADDRESS)

  /// Bytes from `loadAddress` on that the guest occupies: its code, constants and data.
  public static var size: Int { imageWords.count * MemoryLayout<UInt64>.size }

  /// Calls `body` with the image, constant data of this program.
  public static func withImage<Value, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    // unsafe: the buffer is the constant's own memory, valid during the call.
    try unsafe imageWords.span.withUnsafeBytes { buffer throws(Failure) in try unsafe body(buffer) }
  }
}
