import CLinux

/// What a file given as a kernel is.
public enum KernelImage: Equatable, Sendable {
  case bzImage(BzImage)
  case elf(ELFKernel)

  /// How many bytes of a file's beginning suffice to tell what it is.
  public static let prefixCount = BzImage.prefixCount

  /// Finds out what `bytes`, the first `prefixCount` bytes or more of a file of `fileSize` bytes, are.
  /// - Throws: the name of anything that cannot be booted, and what to do about it.
  public static func identify(_ bytes: RawSpan, fileSize: UInt64? = nil) throws(KernelImageError) -> KernelImage {
    guard bytes.byteCount > 0 else { throw .empty }
    if SetupHeader(bzImage: bytes) != nil { return .bzImage(try BzImage(bytes, fileSize: fileSize)) }
    if bytes.matches("\u{7F}ELF", at: 0) { return .elf(try ELFKernel(bytes, fileSize: fileSize)) }
    // A bzImage that ends inside its setup header: the boot sector's signature, then nothing or "HdrS".
    if bytes.load(Int(boot_params_hdr_boot_flag), as: UInt16.self) == 0xAA55,
      bytes.byteCount < 0x300, bytes.byteCount < 0x206 || bytes.matches("HdrS", at: Int(boot_params_hdr_header))
    {
      throw .truncated("a boot sector, probably of a bzImage, whose setup header is cut off", missing: nil)
    }
    // The EFI stub's header begins a bzImage as well; no program fits in less than a sector.
    if bytes.byteCount < 512, bytes.matches("MZ", at: 0) {
      throw .truncated("the beginning of a bzImage or an EFI application", missing: nil)
    }
    if let machine = portableExecutableMachine(bytes) { throw .efiApplication(machine) }
    if let codec = Codec(magicAt: 0, of: bytes), codec != .none {
      throw .compressed(codec, inside: contentsInside(bytes, codec))
    }
    throw .other(contents(bytes))
  }

  /// The machine of a PE file (Microsoft PE format, "MS-DOS Stub" and "COFF File Header"), nil for anything else.
  /// A kernel Image for another machine is one too, and is named as such by `contents`.
  private static func portableExecutableMachine(_ bytes: RawSpan) -> String? {
    guard bytes.matches("MZ", at: 0), contents(bytes) == .unknown, let offset = bytes.load(0x3C, as: UInt32.self),
      bytes.matches("PE\0\0", at: Int(offset)), let machine = bytes.load(Int(offset) + 4, as: UInt16.self)
    else { return nil }
    let name: String
    switch machine {
    case 0x8664: name = "x86-64"
    case 0x014C: name = "32-bit x86"
    case 0xAA64: name = "64-bit ARM"
    case 0x01C4, 0x01C2: name = "32-bit ARM"
    case 0x5064: name = "RISC-V"
    case 0x6264: name = "LoongArch"
    default: name = "machine \(hexadecimal(machine))"
    }
    // CONFIG_EFI_ZBOOT images carry a compressed kernel of another machine.
    return bytes.matches("zimg", at: 4) ? "\(name) that unpacks a compressed kernel (EFI zboot)" : name
  }

  private static func contentsInside(_ bytes: RawSpan, _ codec: Codec) -> KernelImageError.Contents {
    let prefix = codec.prefix(of: bytes, count: 4096)
    // unsafe: bytes have no padding that could be uninitialised.
    return contents(unsafe prefix.span.bytes)
  }

  /// Names what begins with `bytes`.
  static func contents(_ bytes: RawSpan) -> KernelImageError.Contents {
    if bytes.matches("\u{7F}ELF", at: 0) { return .elf }
    if SetupHeader(bzImage: bytes) != nil { return .bzImage }
    // Documentation/arch/arm64/booting.rst, "magic"; Documentation/arch/riscv/boot-image-header.rst, "magic2".
    if bytes.matches("ARMd", at: 56) { return .arm64Image }
    if bytes.matches("RSC\u{05}", at: 56) { return .riscvImage }
    if bytes.matches("070701", at: 0) || bytes.matches("070702", at: 0) || bytes.matches("070707", at: 0)
      || bytes.load(0, as: UInt16.self) == 0o070707
    {
      return .cpio
    }
    if bytes.matches("ustar", at: 257) { return .tar }
    if bytes.matches("#!", at: 0) { return .script }
    if bytes.matches("hsqs", at: 0) { return .squashfs }
    if bytes.load(0x438, as: UInt16.self) == 0xEF53 { return .ext }
    if bytes.matches([0x51, 0x46, 0x49, 0xFB], at: 0) { return .qcow2 }
    if bytes.matches("CD001", at: 0x8001) { return .iso9660 }
    if bytes.matches("!<arch>\ndebian", at: 0) { return .debian }
    if bytes.matches("<!DOCTYPE", at: 0) || bytes.matches("<!doctype", at: 0) || bytes.matches("<html", at: 0) {
      return .html
    }
    return isText(bytes) ? .text : .unknown
  }

  private static func isText(_ bytes: RawSpan) -> Bool {
    let count = min(bytes.byteCount, 512)
    for offset in 0..<count {
      guard let byte = bytes.load(offset, as: UInt8.self) else { return false }
      if byte < 0x20 && byte != 9 && byte != 10 && byte != 13 || byte == 0x7F { return false }
    }
    return count > 0
  }
}
