import CLinux

/// A bzImage for x86-64: setup header, protected-mode code and the compressed kernel in it.
public struct BzImage: Equatable, Sendable {
  /// The setup header.
  public let header: SetupHeader
  /// The kernel's own version text, "6.1.0-56-cloud-amd64 (...) #1 SMP ..."; may be empty.
  public let kernelVersion: String
  /// Where the protected-mode code lies in the file: what is loaded when the guest decompresses.
  public let protectedMode: Range<Int>
  /// Where the compressed kernel lies in the file (payload_offset, payload_length).
  public let payload: Range<Int>

  /// The setup sectors, of which there are at most 255, and the boot sector: enough of a file to parse it.
  public static let prefixCount = 256 * 512

  /// Parses the image in `bytes`, the first `prefixCount` bytes or more of a file of `fileSize` bytes.
  /// - Throws: what the image is instead, or how much of it is missing.
  public init(_ bytes: RawSpan, fileSize: UInt64? = nil) throws(KernelImageError) {
    let fileSize = fileSize ?? UInt64(bytes.byteCount)
    guard let header = SetupHeader(bzImage: bytes) else {
      throw .truncated("a bzImage whose setup header is cut off", missing: nil)
    }
    let version = header.version
    guard header.loadFlags & UInt8(LOADED_HIGH) != 0 else { throw .zImage }
    // payload_offset and payload_length came with 2.08.
    guard version >= 0x0208 else { throw .oldProtocol(version: version) }
    guard header.bytes.count >= Int(boot_params_hdr_payload_length) + 4 - Int(boot_params_hdr) else {
      throw .damaged("the setup header of this bzImage is shorter than its version \(hexadecimal(version)) says")
    }
    if version >= 0x020C && !header.has64BitEntry { throw .kernel32("bzImage") }

    // boot.rst: 0 sectors mean 4.
    let sectors = Int(header.field(boot_params_hdr_setup_sects, as: UInt8.self))
    let setupEnd = ((sectors == 0 ? 4 : sectors) + 1) * 512
    let codeCount = Int(header.field(boot_params_hdr_syssize, as: UInt32.self)) * 16
    let fileEnd = setupEnd + codeCount
    guard fileSize >= UInt64(fileEnd) else { throw .truncated("a bzImage", missing: UInt64(fileEnd) - fileSize) }
    let offset = Int(header.field(boot_params_hdr_payload_offset, as: UInt32.self))
    let length = Int(header.field(boot_params_hdr_payload_length, as: UInt32.self))
    guard length > 0 else {
      throw .damaged("this bzImage says that it carries no compressed kernel (payload_length is 0)")
    }
    guard offset + length <= codeCount else {
      throw .damaged(
        "the compressed kernel of this bzImage (payload_offset \(offset), payload_length \(length)) does not lie inside its code"
      )
    }

    self.header = header
    protectedMode = setupEnd..<fileEnd
    payload = (setupEnd + offset)..<(setupEnd + offset + length)
    kernelVersion = BzImage.versionText(bytes, header, setupEnd)
  }

  /// boot.rst, kernel_version: offset of a NUL-terminated text, less 0x200, inside the setup sectors.
  private static func versionText(_ bytes: RawSpan, _ header: SetupHeader, _ setupEnd: Int) -> String {
    let pointer = Int(header.field(boot_params_hdr_kernel_version, as: UInt16.self))
    guard pointer != 0 else { return "" }
    var text = ""
    var offset = pointer + 0x200
    while offset < setupEnd, text.utf8.count < 255, let byte = bytes.load(offset, as: UInt8.self), byte != 0 {
      // The text goes to terminals: nothing but printable ASCII.
      text.unicodeScalars.append(byte >= 0x20 && byte < 0x7F ? Unicode.Scalar(byte) : "?")
      offset += 1
    }
    return text
  }

  /// How the compressed kernel is packed and how large it becomes; `bytes` is the whole file.
  /// - Throws: `.damaged` when the size that the image states is impossible.
  public func compression(_ bytes: RawSpan) throws(KernelImageError) -> Compression {
    guard payload.upperBound <= bytes.byteCount, let codec = Codec(magicAt: payload.lowerBound, of: bytes) else {
      throw .unknownCompression(first: bytes.bytes(payload.prefix(4)))
    }
    if codec == .none { return Compression(codec: .none, stream: payload, size: payload.count) }
    // The last four bytes are the size (scripts/Makefile.lib, size_append); gzip's own trailer ends in the same field.
    guard payload.count > 8, let size = bytes.load(payload.upperBound - 4, as: UInt32.self) else {
      throw .damaged("the compressed kernel of this bzImage is only \(payload.count) bytes")
    }
    guard size > 0, size <= Compression.maximumSize else {
      throw .damaged("this bzImage says that its kernel is \(size) bytes when decompressed; vmrun takes at most 1 GiB")
    }
    let end = codec == .gzip ? payload.upperBound : payload.upperBound - 4
    return Compression(codec: codec, stream: payload.lowerBound..<end, size: Int(size))
  }

  /// Where the protected-mode code goes when the guest decompresses; entered 0x200 bytes in (boot.rst, "64-bit BOOT PROTOCOL").
  /// - Throws: when the image has no 64-bit entry or wants an address that no guest has.
  public func loadPlan() throws(KernelImageError) -> LoadPlan {
    guard header.has64BitEntry else { throw .no64BitEntry(version: header.version) }
    var address = header.preferredAddress
    if header.isRelocatable {
      let alignment = header.alignment
      guard alignment > 0, alignment & (alignment - 1) == 0 else {
        throw .damaged("this bzImage wants to be aligned to \(alignment) bytes, which is no power of two")
      }
      let (sum, overflow) = max(address, Layout.highMemory).addingReportingOverflow(alignment - 1)
      address = overflow ? .max : sum & ~(alignment - 1)
    }
    let size = max(header.initSize, UInt64(protectedMode.count))
    guard address >= Layout.highMemory, address < Layout.holeStart, size <= Layout.holeStart - address else {
      throw .damaged("this bzImage wants \(size) bytes at address \(hexadecimal(address)), which no guest has")
    }
    guard protectedMode.count > 0x200 else { throw .damaged("this bzImage has no code at its 64-bit entry") }
    let segment = LoadPlan.Segment(
      fileOffset: UInt64(protectedMode.lowerBound), fileSize: UInt64(protectedMode.count), address: address,
      memorySize: size)
    return LoadPlan(segments: [segment], entry: address + 0x200)
  }
}

/// A compressed kernel inside a file.
public struct Compression: Equatable, Sendable {
  /// How it is compressed.
  public let codec: Codec
  /// Where the compressed stream lies in the file.
  public let stream: Range<Int>
  /// Its size when decompressed, as the image states it.
  public let size: Int

  /// The largest kernel that is decompressed.
  public static let maximumSize: UInt32 = 1 << 30
}
