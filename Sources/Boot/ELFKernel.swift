import CLinux

/// An uncompressed kernel: an ELF64 executable for x86-64 whose segments carry physical addresses.
public struct ELFKernel: Equatable, Sendable {
  /// What goes where, and the 64-bit entry.
  public let plan: LoadPlan
  /// The 32-bit entry of the PVH protocol, from the note XEN_ELFNOTE_PHYS32_ENTRY, if there is one.
  public let pvhEntry: UInt64?

  /// Bytes of all segments together that a kernel may take.
  public static let maximumSize: UInt64 = 1 << 30
  static let maximumProgramHeaders = 64

  /// Parses the ELF in `bytes`, of a file that goes on to `fileSize`. The headers must be in `bytes`, the segments need not be
  /// (then only a PVH note outside goes unseen).
  /// - Throws: what the file is instead, what is wrong in it, or how much is missing.
  public init(_ bytes: RawSpan, fileSize: UInt64? = nil) throws(KernelImageError) {
    let fileSize = fileSize ?? UInt64(bytes.byteCount)
    try ELFKernel.checkIdentity(bytes)
    // unsafe: checkIdentity found a whole header; every bit pattern is a valid Elf64_Ehdr.
    let header = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: Elf64_Ehdr.self)
    let count = Int(header.e_phnum)
    guard Int(header.e_phentsize) == MemoryLayout<Elf64_Phdr>.size, count > 0, count <= ELFKernel.maximumProgramHeaders
    else {
      throw .damaged(
        "this ELF file has \(count) program headers of \(header.e_phentsize) bytes; a kernel has 1 to 64 of 56")
    }
    let (tableEnd, wraps) = header.e_phoff.addingReportingOverflow(UInt64(count * MemoryLayout<Elf64_Phdr>.size))
    guard !wraps, tableEnd <= fileSize else {
      throw .truncated("an ELF kernel whose program headers are cut off", missing: wraps ? nil : tableEnd - fileSize)
    }
    guard tableEnd <= UInt64(bytes.byteCount) else {
      throw .damaged("the program headers of this ELF file are not at its beginning")
    }

    var segments: [LoadPlan.Segment] = []
    var virtual: [UInt64] = []
    var pvh: UInt64?
    var isProgram = false
    for index in 0..<count {
      let offset = Int(header.e_phoff) + index * MemoryLayout<Elf64_Phdr>.size
      // unsafe: offset + the size of a header is at most tableEnd, inside bytes.
      let entry = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: Elf64_Phdr.self)
      switch Int32(truncatingIfNeeded: entry.p_type) {
      case PT_LOAD where entry.p_memsz > 0:
        let segment = try ELFKernel.segment(entry, fileSize)
        let place = segments.firstIndex { $0.address > segment.address } ?? segments.count
        segments.insert(segment, at: place)
        virtual.insert(entry.p_vaddr, at: place)
      case PT_INTERP, PT_TLS: isProgram = true
      case PT_NOTE: pvh = pvh ?? ELFKernel.pvhEntry(bytes, entry)
      default: break
      }
    }
    if isProgram && pvh == nil { throw .program }
    try ELFKernel.check(segments)

    var start: UInt64?
    for segment in segments where header.e_entry >= segment.address && header.e_entry < segment.end {
      start = header.e_entry
    }
    if start == nil {
      // vmlinux states the physical address of its entry; other linker scripts state the virtual one.
      for (segment, base) in zip(segments, virtual)
      where header.e_entry >= base && header.e_entry - base < segment.memorySize {
        start = segment.address + (header.e_entry - base)
      }
    }
    guard let start else {
      throw .damaged("the entry point \(hexadecimal(header.e_entry)) of this ELF file lies in none of its segments")
    }
    plan = LoadPlan(segments: segments, entry: start)
    if let entry = pvh {
      pvhEntry = segments.contains { entry >= $0.address && entry < $0.end } ? entry : nil
    } else {
      pvhEntry = nil
    }
  }

  private static func checkIdentity(_ bytes: RawSpan) throws(KernelImageError) {
    guard bytes.matches("\u{7F}ELF", at: 0) else { throw .damaged("this is no ELF file") }
    guard let kind = bytes.load(Int(EI_CLASS), as: UInt8.self), let order = bytes.load(Int(EI_DATA), as: UInt8.self),
      bytes.byteCount >= 20
    else { throw .truncated("an ELF file whose header is cut off", missing: nil) }
    guard order == UInt8(ELFDATA2LSB) else { throw .otherMachine("a big-endian ELF file") }
    // e_type and e_machine lie at 16 and 18 in both classes.
    let type = bytes.load(16, as: UInt16.self) ?? 0
    let machine = bytes.load(18, as: UInt16.self) ?? 0
    if machine == UInt16(EM_386) { throw .kernel32("ELF file") }
    guard machine == UInt16(EM_X86_64) else { throw .otherMachine("an ELF file for \(machineName(machine))") }
    guard kind == UInt8(ELFCLASS64) else { throw .kernel32("ELF file") }
    guard bytes.byteCount >= MemoryLayout<Elf64_Ehdr>.size else {
      throw .truncated(
        "an ELF file whose header is cut off", missing: UInt64(MemoryLayout<Elf64_Ehdr>.size - bytes.byteCount))
    }
    switch Int32(type) {
    case ET_EXEC: return
    case ET_DYN: throw .sharedObject
    case ET_REL: throw .objectFile
    case ET_CORE: throw .coreDump
    default: throw .damaged("this ELF file is of unknown type \(type); a kernel is an executable (type 2)")
    }
  }

  private static func segment(_ entry: Elf64_Phdr, _ fileSize: UInt64) throws(KernelImageError) -> LoadPlan.Segment {
    let place = "a segment of \(entry.p_memsz) bytes at address \(hexadecimal(entry.p_paddr))"
    guard entry.p_filesz <= entry.p_memsz else {
      throw .damaged("\(place) of this ELF file has \(entry.p_filesz) bytes in the file, more than in memory")
    }
    guard entry.p_memsz <= maximumSize else { throw .damaged("\(place) of this ELF file is larger than 1 GiB") }
    let (fileEnd, fileWraps) = entry.p_offset.addingReportingOverflow(entry.p_filesz)
    guard !fileWraps else { throw .damaged("\(place) of this ELF file lies at an impossible offset") }
    guard fileEnd <= fileSize else { throw .truncated("an ELF kernel", missing: fileEnd - fileSize) }
    let (end, wraps) = entry.p_paddr.addingReportingOverflow(entry.p_memsz)
    guard !wraps, entry.p_paddr >= Layout.highMemory, end <= Layout.holeStart else {
      throw .damaged(
        "\(place) of this ELF file is outside the memory for kernels, \(hexadecimal(Layout.highMemory)) to \(hexadecimal(Layout.holeStart))"
      )
    }
    return LoadPlan.Segment(
      fileOffset: entry.p_offset, fileSize: entry.p_filesz, address: entry.p_paddr, memorySize: entry.p_memsz)
  }

  private static func check(_ segments: [LoadPlan.Segment]) throws(KernelImageError) {
    guard !segments.isEmpty else { throw .damaged("this ELF file has nothing to load") }
    var end: UInt64 = 0
    var total: UInt64 = 0
    for segment in segments {
      guard segment.address >= end else {
        throw .damaged("two segments of this ELF file overlap at address \(hexadecimal(segment.address))")
      }
      end = segment.end
      // 64 segments of at most 1 GiB cannot wrap.
      total += segment.memorySize
    }
    guard total <= maximumSize else { throw .damaged("the segments of this ELF file are larger than 1 GiB together") }
  }

  /// Walks the notes of one PT_NOTE segment (gabi, "Note Section"): name size, descriptor size, type, both padded to 4.
  private static func pvhEntry(_ bytes: RawSpan, _ entry: Elf64_Phdr) -> UInt64? {
    let count = UInt64(bytes.byteCount)
    guard entry.p_offset <= count, entry.p_filesz <= count - entry.p_offset else { return nil }
    var offset = Int(entry.p_offset)
    let end = offset + Int(entry.p_filesz)
    while offset + 12 <= end, let nameSize = bytes.load(offset, as: UInt32.self),
      let size = bytes.load(offset + 4, as: UInt32.self), let type = bytes.load(offset + 8, as: UInt32.self)
    {
      let name = offset + 12
      let descriptor = name + (Int(nameSize) + 3) & ~3
      let next = descriptor + (Int(size) + 3) & ~3
      guard next <= end else { return nil }
      if type == 18, nameSize == 4, bytes.matches("Xen\0", at: name) {
        // XEN_ELFNOTE_PHYS32_ENTRY is an address of the kernel's word size.
        if size == 8 { return bytes.load(descriptor, as: UInt64.self) }
        if size == 4 { return bytes.load(descriptor, as: UInt32.self).map { UInt64($0) } }
      }
      offset = next
    }
    return nil
  }

  static func machineName(_ machine: UInt16) -> String {
    switch Int32(machine) {
    case EM_AARCH64: return "64-bit ARM"
    case EM_ARM: return "32-bit ARM"
    case EM_RISCV: return "RISC-V"
    case EM_PPC64: return "64-bit PowerPC"
    case EM_S390: return "s390"
    case 258: return "LoongArch"
    case EM_MIPS: return "MIPS"
    case EM_SPARCV9: return "64-bit SPARC"
    default: return "machine \(machine)"
    }
  }
}
