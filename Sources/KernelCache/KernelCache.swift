import Boot
import CLinux
import System

/// Uncompressed kernels in the user's cache folder, so that a kernel is decompressed once and its pages are shared by all
/// guests that map it.
///
/// An entry is named by the SHA-256 of what it was made from, and is a plain ELF file with a page behind it that holds its
/// checksums. An index record per kernel file tells from the file's identity alone which entry is its own, so that a hit
/// reads nothing of the kernel; as in git's index, a record made within two seconds of the file's last change is not trusted.
/// An entry is checked in full whenever its own identity is not the recorded one, and removed when it is damaged.
public struct KernelCache: Sendable {
  /// The folder; nil for none.
  public let folder: String?
  /// How much it may hold.
  public var limits = Limits()

  /// A cache in `folder`, which is made when it is missing; nil keeps nothing.
  public init(folder: String?) { self.folder = folder }

  /// `$XDG_CACHE_HOME/vmrun/kernels` (when that is absolute, as the XDG base directory specification demands), else
  /// `$HOME/.cache/vmrun/kernels`; nil when neither is set.
  public static func defaultFolder(xdgCacheHome: String?, home: String?) -> String? {
    CacheNote.folder(xdgCacheHome: xdgCacheHome, home: home).map { $0 + "/kernels" }
  }

  /// The folder by this process's environment.
  public static func defaultFolder() -> String? {
    CacheNote.folder().map { $0 + "/kernels" }
  }

  /// Makes the kernel in the file at `path` ready for a guest, by `mode`. With `publishLater` a new entry is left for the caller
  /// to publish (`PreparedKernel.publication`); otherwise it is in the cache when this returns.
  /// A cache that fails costs a warning, never the kernel.
  /// - Throws: what the file is instead of a kernel, or why it cannot be read.
  public func prepare(
    _ path: String, mode: BootMode = .auto, publishLater: Bool = false
  ) throws(KernelError) -> PreparedKernel {
    let source = try KernelSource(path)
    var warning: String?
    if mode != .decompress, let folder {
      do throws(SystemError) {
        if let found = lookUp(source.identity, in: try Folder(folder)) { return found }
      } catch {
        warning = KernelCache.warning(error)
      }
    }
    do throws(KernelImageError) {
      return try load(source, mode, publishLater, warning)
    } catch {
      throw .image(path: path, error)
    }
  }

  static func warning(_ error: SystemError) -> String {
    "the kernel cache cannot be used, so this start decompresses the kernel: \(error)"
  }

  static func entryName(_ key: [UInt8]) -> String {
    var name = ""
    for byte in key { name += (byte < 16 ? "0" : "") + String(byte, radix: 16) }
    return name + EntryTrailer.suffix
  }

  // MARK: Looking up

  /// The kernel of a file whose identity is on record, read from nothing but the record and the entry's ends.
  private func lookUp(_ identity: FileIdentity, in folder: borrowing Folder) -> PreparedKernel? {
    guard let file = folder.open(identity.indexName),
      let bytes = try? file.readBytes(IndexRecord.count + 1, at: 0), let record = IndexRecord(bytes),
      record.kernel == identity, record.isTrustworthy
    else { return nil }
    return entry(record.key, trusted: record.entry, in: folder) { entry in
      // The entry was checked in full and is good, but is not the one on record: another process made it anew.
      try? KernelCache.record(
        IndexRecord(kernel: identity, entry: entry, recordedAt: record.recordedAt, key: record.key), in: folder)
    }
  }

  /// The entry of `key`. It is believed when its identity is `trusted`; otherwise it is checked in full, and then `verified` is
  /// told its identity, or it is removed when it is damaged.
  private func entry(
    _ key: [UInt8], trusted: FileIdentity?, in folder: borrowing Folder, verified: (FileIdentity) -> Void
  ) -> PreparedKernel? {
    let name = KernelCache.entryName(key)
    guard let file = folder.open(name), let status = try? file.status() else { return nil }
    let identity = FileIdentity(status)
    let isTrusted = identity == trusted
    guard let kernel = read(file, UInt64(max(0, status.st_size)), key, checkAll: !isTrusted) else {
      folder.remove(name)
      return nil
    }
    if !isTrusted { verified(identity) }
    return kernel
  }

  private func read(
    _ file: consuming FileDescriptor, _ count: UInt64, _ key: [UInt8], checkAll: Bool
  ) -> PreparedKernel? {
    guard count > UInt64(EntryTrailer.count),
      let page = try? file.readBytes(EntryTrailer.count, at: count - UInt64(EntryTrailer.count)),
      let trailer = EntryTrailer(page, fileCount: count), trailer.key == key,
      let head = try? file.readBytes(Int(min(trailer.imageCount, ImageLayout.pageSize)), at: 0)
    else { return nil }
    if checkAll {
      guard let image = try? Mapping.readOnly(file, count: Int(trailer.imageCount)) else { return nil }
      // unsafe: the mapping lives until the digest is made, and only vmrun writes into this folder.
      guard unsafe SHA256.digest(of: image.bytes) == trailer.imageDigest else { return nil }
    }
    // unsafe: bytes have no padding that could be uninitialised.
    guard let kernel = try? ELFKernel(unsafe head.span.bytes, fileSize: trailer.imageCount) else { return nil }
    return PreparedKernel(
      file: file, plan: kernel.plan.joined(), header: trailer.header, kernelVersion: trailer.kernelVersion,
      codec: trailer.codec, origin: .cache, warning: nil, publication: nil)
  }

  /// Writes an index record in one rename, so that readers see the old one or the new one.
  static func record(_ record: IndexRecord, in folder: borrowing Folder) throws(SystemError) {
    let temporary = try folder.createTemporary()
    do throws(SystemError) {
      try temporary.file.writeFully(record.bytes())
      try folder.rename(temporary.name, to: record.kernel.indexName)
    } catch {
      folder.remove(temporary.name)
      throw error
    }
  }

  // MARK: Loading

  private func load(
    _ source: borrowing KernelSource, _ mode: BootMode, _ publishLater: Bool, _ warning: String?
  ) throws(KernelImageError) -> PreparedKernel {
    switch try source.identify() {
    case .bzImage(let image):
      if mode == .decompress { return try guestDecompresses(source, image, warning) }
      let packed = try source.readAll()
      // The file may have changed since its beginning was looked at: from here on only the copy counts.
      // unsafe: the mapping outlives every use of its bytes in this function.
      let bytes = unsafe packed.bytes
      let stable = try BzImage(unsafe bytes.bytes)
      // unsafe: as above.
      let compression: Compression
      do throws(KernelImageError) {
        compression = try stable.compression(unsafe bytes.bytes)
        guard compression.codec.isSupported else { throw .unsupportedCodec(compression.codec) }
      } catch {
        guard mode == .auto, stable.header.has64BitEntry else { throw error }
        switch error {
        case .unsupportedCodec, .unknownCompression: return try guestDecompresses(source, stable, warning)
        default: throw error
        }
      }
      // unsafe: as above.
      let key = unsafe SHA256.digest(of: bytes)
      if let found = known(key, source) { return found }
      let output = try KernelSource.memory(compression.size)
      do throws(CodecError) {
        // unsafe: BzImage has checked that the stream lies inside the file; both mappings live through the call.
        try unsafe compression.codec.decompress(
          UnsafeRawBufferPointer(rebasing: bytes[compression.stream]), into: output.mutableBytes)
      } catch {
        throw .codec(error)
      }
      let kernel: ELFKernel
      // unsafe: the mapping lives through the call.
      do throws(KernelImageError) { kernel = try ELFKernel(unsafe output.bytes.bytes) } catch {
        if case .kernel32 = error { throw .kernel32("bzImage") }
        throw .damaged("what the compressed part of this bzImage holds is not a kernel: \(error)")
      }
      return try store(
        kernel.plan, output, source, key, stable.header, stable.kernelVersion, compression.codec.name, publishLater,
        warning)
    case .elf(let kernel):
      if mode == .decompress { throw .notCompressed }
      let loaded = try source.readSegments(of: kernel.plan)
      let key = KernelSource.key(loaded)
      if let found = known(key, source) { return found }
      return try store(
        loaded.plan, loaded.memory, source, key, SetupHeader(), "", Codec.none.name, publishLater, warning)
    }
  }

  /// An entry that has the same content under another name or identity of the kernel file.
  private func known(_ key: [UInt8], _ source: borrowing KernelSource) -> PreparedKernel? {
    guard let path = folder, let folder = try? Folder(path) else { return nil }
    let record = folder.open(source.identity.indexName)
    var trusted: FileIdentity?
    if let record, let bytes = try? record.readBytes(IndexRecord.count + 1, at: 0), let old = IndexRecord(bytes),
      old.key == key
    {
      trusted = old.entry
    }
    var entryIdentity = trusted
    guard let kernel = entry(key, trusted: trusted, in: folder, verified: { entryIdentity = $0 }) else { return nil }
    if source.isUnchanged, let entryIdentity {
      try? KernelCache.record(
        IndexRecord(kernel: source.identity, entry: entryIdentity, recordedAt: source.openedAt, key: key), in: folder)
    }
    return kernel
  }

  private func guestDecompresses(
    _ source: borrowing KernelSource, _ image: BzImage, _ warning: String?
  ) throws(KernelImageError) -> PreparedKernel {
    PreparedKernel(
      file: try source.duplicate(), plan: try image.loadPlan(), header: image.header,
      kernelVersion: image.kernelVersion, codec: "guest", origin: .guest, warning: warning, publication: nil)
  }

  private func store(
    _ plan: LoadPlan, _ memory: borrowing Mapping, _ source: borrowing KernelSource, _ key: [UInt8],
    _ header: SetupHeader,
    _ kernelVersion: String, _ codec: String, _ publishLater: Bool, _ warning: String?
  ) throws(KernelImageError) -> PreparedKernel {
    // unsafe: the mapping outlives every use of its bytes in this function.
    let bytes = unsafe memory.bytes
    let layout = unsafe ImageLayout(plan, source: bytes)
    // unsafe: the header page is whole, so this succeeds for every plan that was accepted before.
    let laidOut = try ELFKernel(unsafe layout.header.span.bytes, fileSize: layout.count).plan.joined()
    var warning = warning
    if warning == nil, let path = folder {
      do throws(SystemError) {
        let folder = try Folder(path)
        let temporary = try folder.createTemporary()
        let name = temporary.name
        do throws(SystemError) {
          // unsafe: the mapping lives through the call.
          try unsafe KernelCache.write(layout, bytes, to: temporary.file)
          let file = try FileDescriptor.duplicate(of: temporary.file.rawValue)
          let publication = try Publication(
            folderPath: path, temporary: temporary, kernel: source.isUnchanged ? source.identity : nil,
            recordedAt: source.openedAt, key: key, imageCount: layout.count, header: header,
            kernelVersion: kernelVersion,
            codec: codec, limits: limits)
          if !publishLater { try publication.publish() }
          return PreparedKernel(
            file: file, plan: laidOut, header: header, kernelVersion: kernelVersion, codec: codec, origin: .fresh,
            warning: nil, publication: publishLater ? publication : nil)
        } catch {
          folder.remove(name)
          throw error
        }
      } catch {
        warning = KernelCache.warning(error)
      }
    }
    let file = try KernelSource.memoryFile()
    // unsafe: the mapping lives through the call.
    do throws(SystemError) { try unsafe KernelCache.write(layout, bytes, to: file) } catch {
      throw .host(error.description)
    }
    return PreparedKernel(
      file: file, plan: laidOut, header: header, kernelVersion: kernelVersion, codec: codec, origin: .uncached,
      warning: warning, publication: nil)
  }

  private static func write(
    _ layout: ImageLayout, _ bytes: UnsafeRawBufferPointer, to file: borrowing FileDescriptor
  ) throws(SystemError) {
    try file.reserve(layout.count)
    try file.writeFully(layout.header, at: 0)
    for copy in layout.copies {
      // unsafe: the layout was made from these bytes, so every copy lies inside them.
      try unsafe file.writeFully(
        UnsafeRawBufferPointer(rebasing: bytes[copy.sourceOffset..<copy.sourceOffset + copy.count]), at: copy.fileOffset
      )
    }
  }
}
