import Boot

/// The last page of a cache entry: what the entry is, and the checksums of everything before it and of the page itself.
struct EntryTrailer: Equatable {
  /// SHA-256 of the content that the entry was made from; names the entry.
  let key: [UInt8]
  /// Bytes of the kernel's ELF file before this page.
  let imageCount: UInt64
  /// SHA-256 of those bytes.
  let imageDigest: [UInt8]
  /// The setup header of the bzImage, or the one made up for an ELF kernel.
  let header: SetupHeader
  let kernelVersion: String
  let codec: String

  static let count = 4096
  static let suffix = ".vmlinux"
  private static let magic: UInt64 = 0x3130_454E_524B_4D56  // "VMKRNE01"

  /// The page.
  func bytes() -> [UInt8] {
    var page: [UInt8] = []
    appendLittleEndian(EntryTrailer.magic, to: &page)
    appendLittleEndian(imageCount, to: &page)
    page += key
    page += imageDigest
    for field in [header.bytes, Array(kernelVersion.utf8), Array(codec.utf8)] {
      appendLittleEndian(UInt64(field.count), to: &page)
      page += field
    }
    // The header has at most 159 bytes and the texts at most 255 and 12, so there is always room.
    page += [UInt8](repeating: 0, count: EntryTrailer.count - 32 - page.count)
    return page + digest(of: page)
  }

  init(
    key: [UInt8], imageCount: UInt64, imageDigest: [UInt8], header: SetupHeader, kernelVersion: String, codec: String
  ) {
    self.key = key
    self.imageCount = imageCount
    self.imageDigest = imageDigest
    self.header = header
    self.kernelVersion = kernelVersion
    self.codec = codec
  }

  /// Reads the page of an entry with `fileCount` bytes; nil when it is damaged, of another version, or of another size.
  init?(_ page: [UInt8], fileCount: UInt64) {
    guard page.count == EntryTrailer.count, fileCount > UInt64(EntryTrailer.count),
      digest(of: Array(page.dropLast(32))) == Array(page.suffix(32)),
      littleEndian(page, at: 0) == EntryTrailer.magic,
      littleEndian(page, at: 8) == fileCount - UInt64(EntryTrailer.count)
    else { return nil }
    imageCount = fileCount - UInt64(EntryTrailer.count)
    key = Array(page[16..<48])
    imageDigest = Array(page[48..<80])
    var offset = 80
    var fields: [[UInt8]] = []
    for _ in 0..<3 {
      guard offset + 8 <= page.count - 32 else { return nil }
      let count = littleEndian(page, at: offset)
      offset += 8
      guard count <= UInt64(page.count - 32 - offset) else { return nil }
      fields.append(Array(page[offset..<offset + Int(count)]))
      offset += Int(count)
    }
    guard let header = SetupHeader(stored: fields[0]) else { return nil }
    self.header = header
    kernelVersion = String(decoding: fields[1], as: UTF8.self)
    codec = String(decoding: fields[2], as: UTF8.self)
  }
}

func appendLittleEndian(_ value: UInt64, to bytes: inout [UInt8]) {
  for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
}

/// Eight bytes from `offset`, which the caller has checked.
func littleEndian(_ bytes: [UInt8], at offset: Int) -> UInt64 {
  var value: UInt64 = 0
  for index in 0..<8 { value |= UInt64(bytes[offset + index]) << UInt64(index * 8) }
  return value
}

func digest(of bytes: [UInt8]) -> [UInt8] {
  var hash = SHA256()
  hash.update(bytes)
  return hash.digest()
}
