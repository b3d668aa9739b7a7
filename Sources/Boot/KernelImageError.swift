/// Why a file cannot be booted: what it is, and what to do next. The text completes "FILE: ".
public enum KernelImageError: Error, Equatable, CustomStringConvertible {
  case empty
  case directory
  case notRegular
  /// A file of a known kind that ends early; `missing` bytes where they can be counted.
  case truncated(_ what: String, missing: UInt64?)
  /// A file of a known kind with impossible contents; the text names the file itself.
  case damaged(_ what: String)
  case zImage
  case oldProtocol(version: UInt16)
  /// No 64-bit entry is announced, so that the guest cannot decompress.
  case no64BitEntry(version: UInt16)
  case kernel32(_ container: String)
  /// A kernel for another machine, in the words of `Foreign`.
  case otherMachine(_ what: String)
  case sharedObject
  case objectFile
  case coreDump
  case program
  case efiApplication(_ machine: String)
  /// A compressed file that is not a bzImage, and what its first bytes are when that is known.
  case compressed(Codec, inside: Contents)
  /// Something else that can be named.
  case other(Contents)
  /// The payload begins with no known magic.
  case unknownCompression(first: [UInt8])
  /// The payload's compression has no library here.
  case unsupportedCodec(Codec)
  /// The payload did not decompress.
  case codec(CodecError)
  case needsMemory(bytes: UInt64)
  /// The host could not read or hold the kernel; the text says why.
  case host(String)
  /// `--boot decompress` for a file that is not compressed.
  case notCompressed

  /// What a file that is no kernel turns out to be.
  public enum Contents: Equatable, Sendable {
    case cpio, elf, arm64Image, riscvImage, bzImage, tar, script, text, html, squashfs, ext, qcow2, iso9660, debian,
      unknown

    /// With its article.
    var name: String {
      switch self {
      case .cpio: return "a cpio archive (an initramfs)"
      case .elf: return "an ELF file"
      case .arm64Image: return "a kernel Image for 64-bit ARM"
      case .riscvImage: return "a kernel Image for RISC-V"
      case .bzImage: return "a bzImage"
      case .tar: return "a tar archive"
      case .script: return "a script"
      case .text: return "a text file"
      case .html: return "a web page"
      case .squashfs: return "a squashfs file system"
      case .ext: return "an ext2, ext3 or ext4 file system"
      case .qcow2: return "a QEMU disk image"
      case .iso9660: return "an ISO 9660 image"
      case .debian: return "a Debian package"
      case .unknown: return "unknown contents"
      }
    }
  }

  private static let wanted =
    "Give an x86-64 Linux kernel: a bzImage (such as /boot/vmlinuz-*) or an uncompressed ELF vmlinux."

  public var description: String {
    switch self {
    case .empty: return "the file is empty. Was its download or build cut off? \(KernelImageError.wanted)"
    case .directory: return "is a directory. \(KernelImageError.wanted)"
    case .notRegular: return "is no regular file. \(KernelImageError.wanted)"
    case .truncated(let what, let missing):
      let amount = missing.map { " (\($0) bytes are missing)" } ?? ""
      return "\(what)\(amount). The file is truncated: copy, download or build it again."
    case .damaged(let what): return "\(what). The file is damaged: copy, download or build it again."
    case .zImage:
      return
        "a zImage, the form of kernels before bzImage that must fit below 1 MiB. Build the kernel with `make bzImage`."
    case .oldProtocol(let version):
      return
        "a kernel with boot protocol \(KernelImageError.protocolText(version)); vmrun needs 2.08 (Linux 2.6.26) or later. Give a newer kernel."
    case .no64BitEntry(let version):
      return
        "a bzImage with boot protocol \(KernelImageError.protocolText(version)), whose own decompressor has no 64-bit entry (2.12, Linux 3.8). Use --boot direct, or a newer kernel."
    case .kernel32(let container):
      return
        "a 32-bit x86 kernel (\(container)); vmrun starts guests in 64-bit mode. Give an x86-64 kernel (CONFIG_64BIT=y)."
    case .otherMachine(let what):
      return "\(what); the guests here are x86-64. Give a kernel built for x86-64 (amd64)."
    case .sharedObject:
      return
        "an ELF shared object or position-independent program, not a kernel. \(KernelImageError.wanted)"
    case .objectFile:
      return
        "an ELF object file (.o or a kernel module .ko), not a linked kernel. Give the vmlinux that the kernel's build links, or arch/x86/boot/bzImage."
    case .coreDump: return "an ELF core dump, not a kernel. \(KernelImageError.wanted)"
    case .program:
      return
        "an ELF program for user space, not a kernel. To run it in a guest give a kernel with --kernel, and the program behind --."
    case .efiApplication(let machine):
      return
        "an EFI application for \(machine) without a Linux kernel header (a boot loader, or a unified kernel image). From a unified kernel image take the kernel: objcopy -O binary --only-section=.linux FILE bzImage"
    case .compressed(let codec, let inside): return KernelImageError.compressedText(codec, inside)
    case .other(let contents):
      switch contents {
      case .cpio: return "\(contents.name), not a kernel. Give it with --initrd, and a kernel with --kernel."
      case .arm64Image, .riscvImage:
        return "\(contents.name); the guests here are x86-64. Give a kernel built for x86-64 (amd64)."
      case .ext, .squashfs, .qcow2, .iso9660:
        return "\(contents.name), not a kernel. \(KernelImageError.wanted)"
      case .debian:
        return "\(contents.name), not a kernel. Unpack it (dpkg -x FILE folder) and give folder/boot/vmlinuz-*."
      case .unknown: return "not a Linux kernel: none of the formats that vmrun knows. \(KernelImageError.wanted)"
      default: return "\(contents.name), not a kernel. \(KernelImageError.wanted)"
      }
    case .unknownCompression(let first):
      var text = ""
      for byte in first { text += (byte < 16 ? " 0" : " ") + String(byte, radix: 16) }
      return
        "a bzImage whose kernel is compressed in a way that vmrun does not know (it begins with\(text)). Use --boot decompress, so that the guest decompresses it."
    case .unsupportedCodec(let codec):
      return
        "a bzImage whose kernel is compressed with \(codec.name), for which vmrun has no library. Use --boot decompress (or auto), so that the guest decompresses it."
    case .codec(let error): return "the compressed kernel in this bzImage: \(error)"
    case .needsMemory(let bytes):
      let mebibytes = (bytes + (1 << 20) - 1) >> 20
      return "this kernel reaches up to \(mebibytes) MiB of guest memory. Give more with --memory, at least twice that."
    case .host(let reason): return reason
    case .notCompressed:
      return "an uncompressed ELF kernel, which has no decompressor of its own. Use --boot direct (or auto)."
    }
  }

  private static func protocolText(_ version: UInt16) -> String {
    let minor = version & 0xFF
    return "\(version >> 8).\(minor < 10 ? "0" : "")\(minor)"
  }

  private static func compressedText(_ codec: Codec, _ inside: Contents) -> String {
    let what = "a \(codec.name) file"
    let unpack = "\(codec.unpackCommand) FILE > vmlinux"
    switch inside {
    case .unknown: return "\(what), not a kernel. If a kernel is inside, decompress it first: \(unpack)"
    case .elf, .bzImage: return "\(what) with \(inside.name) inside. Decompress it first: \(unpack)"
    case .cpio:
      return "\(what) with \(inside.name) inside, not a kernel. Give it with --initrd, and a kernel with --kernel."
    case .arm64Image, .riscvImage:
      return "\(what) with \(inside.name) inside; the guests here are x86-64. Give a kernel built for x86-64 (amd64)."
    default: return "\(what) with \(inside.name) inside, not a kernel. \(wanted)"
    }
  }
}
