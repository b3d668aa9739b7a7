import CCodecs

/// A running SHA-256 (FIPS 180-4).
public struct SHA256 {
  private var hash = codec_sha256()

  /// Of no bytes yet.
  public init() {
    // unsafe: the function fills the one struct it is given.
    unsafe codec_sha256_init(&hash)
  }

  /// Goes on with `bytes`.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    // unsafe: the buffer is valid for its count.
    if let base = bytes.baseAddress { unsafe codec_sha256_update(&hash, base, bytes.count) }
  }

  /// Goes on with `bytes`.
  public mutating func update(_ bytes: [UInt8]) {
    // unsafe: the buffer is valid inside the closure.
    unsafe bytes.withUnsafeBytes { unsafe update($0) }
  }

  /// The 32 bytes of the digest.
  public consuming func digest() -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: 32) { buffer, initialized in
      // unsafe: the buffer has room for the 32 bytes that are written.
      if let base = buffer.baseAddress { unsafe codec_sha256_final(&hash, base) }
      initialized = 32
    }
  }

  /// The digest of `bytes`.
  public static func digest(of bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var hash = SHA256()
    // unsafe: the caller's buffer is valid for its count.
    unsafe hash.update(bytes)
    return hash.digest()
  }
}
