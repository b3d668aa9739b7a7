import Boot
import CLinux

/// How a kernel's segments lie in a file that is made to be mapped: an ELF header and program headers in the first page, then
/// the segments at the distances that they have in memory, so that mostly one mapping serves all.
struct ImageLayout: Equatable {
  /// Bytes of the source that go to the file.
  struct Copy: Equatable {
    let sourceOffset: Int
    let fileOffset: UInt64
    let count: Int
  }

  /// The first page.
  let header: [UInt8]
  /// In ascending order of `fileOffset`.
  let copies: [Copy]
  /// Bytes of the file, a multiple of a page.
  let count: UInt64

  static let pageSize: UInt64 = 4096
  /// A larger gap in memory is not kept as a hole in the file.
  static let maximumGap: UInt64 = 4 << 20

  /// Lays out `plan`, whose offsets refer to `source`. Trailing zeros of a segment are left to the guest's zeroed RAM.
  init(_ plan: LoadPlan, source: UnsafeRawBufferPointer) {
    var copies: [Copy] = []
    var headers: [Elf64_Phdr] = []
    var offset = ImageLayout.pageSize
    var previousEnd = plan.start & ~(ImageLayout.pageSize - 1)
    for segment in plan.segments {
      let gap = segment.address - previousEnd
      if gap <= ImageLayout.maximumGap {
        offset += gap
      } else {
        offset = ImageLayout.roundUp(offset) + segment.address % ImageLayout.pageSize
      }
      // unsafe: the plan was made from this source, so every segment's bytes lie inside it.
      let bytes = unsafe UnsafeRawBufferPointer(
        rebasing: source[Int(segment.fileOffset)..<Int(segment.fileOffset + segment.fileSize)])
      let count = unsafe ImageLayout.countWithoutTrailingZeros(bytes)
      var header = Elf64_Phdr()
      header.p_type = Elf64_Word(PT_LOAD)
      header.p_flags = Elf64_Word(PF_R | PF_W | PF_X)
      header.p_offset = offset
      header.p_vaddr = segment.address
      header.p_paddr = segment.address
      header.p_filesz = UInt64(count)
      header.p_memsz = segment.memorySize
      header.p_align = ImageLayout.pageSize
      headers.append(header)
      if count > 0 { copies.append(Copy(sourceOffset: Int(segment.fileOffset), fileOffset: offset, count: count)) }
      offset += segment.memorySize
      previousEnd = segment.end
    }
    self.header = ImageLayout.headerPage(headers, entry: plan.entry)
    self.copies = copies
    let end = copies.last.map { $0.fileOffset + UInt64($0.count) } ?? ImageLayout.pageSize
    count = ImageLayout.roundUp(end)
  }

  static func roundUp(_ value: UInt64) -> UInt64 { (value + pageSize - 1) & ~(pageSize - 1) }

  private static func headerPage(_ headers: [Elf64_Phdr], entry: UInt64) -> [UInt8] {
    var header = Elf64_Ehdr()
    header.e_type = Elf64_Half(ET_EXEC)
    header.e_machine = Elf64_Half(EM_X86_64)
    header.e_version = Elf64_Word(EV_CURRENT)
    header.e_entry = entry
    header.e_phoff = UInt64(MemoryLayout<Elf64_Ehdr>.size)
    header.e_ehsize = Elf64_Half(MemoryLayout<Elf64_Ehdr>.size)
    header.e_phentsize = Elf64_Half(MemoryLayout<Elf64_Phdr>.size)
    header.e_phnum = Elf64_Half(headers.count)
    // unsafe: both structs are plain integers without padding.
    var page = unsafe withUnsafeBytes(of: &header) { unsafe [UInt8]($0) }
    let identity: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, UInt8(ELFCLASS64), UInt8(ELFDATA2LSB), UInt8(EV_CURRENT)]
    page.replaceSubrange(0..<identity.count, with: identity)
    // unsafe: as above.
    page += unsafe headers.withUnsafeBytes { unsafe [UInt8]($0) }
    // 64 program headers, the most that a kernel may have here, end before the page does.
    page += [UInt8](repeating: 0, count: Int(pageSize) - page.count)
    return page
  }

  private static func countWithoutTrailingZeros(_ bytes: UnsafeRawBufferPointer) -> Int {
    var count = bytes.count
    // unsafe: every offset below count lies inside bytes.
    while count >= 8, unsafe bytes.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self) == 0 { count -= 8 }
    while count > 0, unsafe bytes[count - 1] == 0 { count -= 1 }
    return count
  }
}

extension LoadPlan {
  /// The plan of a file laid out by `ImageLayout`, with segments joined where one mapping serves them: what lies between them
  /// is zero in the file as in memory.
  func joined() -> LoadPlan {
    var result: [Segment] = []
    for next in segments {
      guard let last = result.last, next.fileOffset &- last.fileOffset == next.address - last.address,
        next.address - last.end <= ImageLayout.maximumGap
      else {
        result.append(next)
        continue
      }
      let fileSize = next.fileSize > 0 ? next.fileOffset + next.fileSize - last.fileOffset : last.fileSize
      result[result.count - 1] = Segment(
        fileOffset: last.fileOffset, fileSize: fileSize, address: last.address, memorySize: next.end - last.address)
    }
    return LoadPlan(segments: result, entry: entry)
  }
}
