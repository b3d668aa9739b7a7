import Boot
import CLinux
import System

/// A new cache entry whose file is written but has no name yet. `publish` gives it one; until then a crash leaves only a
/// temporary file, which a later publication sweeps up.
///
/// It is apart from `KernelCache.prepare` so that the checksum and the disk's flush need not delay the guest.
public final class Publication: @unchecked Sendable {
  // Immutable, and `publish` runs once; sharing between two threads is only the hand-over from one to the other.
  private let folderPath: String
  private let temporary: String
  private let file: FileDescriptor
  private let kernel: FileIdentity?
  private let recordedAt: Int64
  private let key: [UInt8]
  private let imageCount: UInt64
  private let header: SetupHeader
  private let kernelVersion: String
  private let codec: String
  private let limits: KernelCache.Limits
  private var isDone = false

  init(
    folderPath: String, temporary: consuming TemporaryFile, kernel: FileIdentity?, recordedAt: Int64, key: [UInt8],
    imageCount: UInt64, header: SetupHeader, kernelVersion: String, codec: String, limits: KernelCache.Limits
  ) throws(SystemError) {
    self.folderPath = folderPath
    self.temporary = temporary.name
    file = try FileDescriptor.duplicate(of: temporary.file.rawValue)
    self.kernel = kernel
    self.recordedAt = recordedAt
    self.key = key
    self.imageCount = imageCount
    self.header = header
    self.kernelVersion = kernelVersion
    self.codec = codec
    self.limits = limits
  }

  deinit {
    if !isDone, let folder = try? Folder(folderPath) { folder.remove(temporary) }
  }

  /// Writes the checksums, flushes the entry to the disk, names it, and evicts what exceeds the cache's limits.
  /// - Throws: `SystemError` when the disk is full or fails; the guest that uses the file is not affected.
  public func publish() throws(SystemError) {
    guard !isDone else { return }
    let folder = try Folder(folderPath)
    do throws(SystemError) {
      let image = try Mapping.readOnly(file, count: Int(imageCount))
      // unsafe: the mapping lives until the digest is made; nobody shortens the file, which has no name that others know.
      let imageDigest = unsafe SHA256.digest(of: image.bytes)
      let trailer = EntryTrailer(
        key: key, imageCount: imageCount, imageDigest: imageDigest, header: header, kernelVersion: kernelVersion,
        codec: codec)
      try file.writeFully(trailer.bytes(), at: imageCount)
      guard fchmod(file.rawValue, 0o400) == 0, fsync(file.rawValue) == 0 else {
        throw SystemError("fsync", "\(folderPath)/\(temporary)", .current)
      }
      try folder.rename(temporary, to: KernelCache.entryName(key))
      isDone = true
      folder.synchronize()
    } catch {
      folder.remove(temporary)
      isDone = true
      throw error
    }
    if let kernel {
      let entry = FileIdentity(try file.status())
      try KernelCache.record(
        IndexRecord(kernel: kernel, entry: entry, recordedAt: recordedAt, key: key), in: folder)
    }
    limits.enforce(in: folder, keeping: KernelCache.entryName(key))
  }
}

extension KernelCache {
  /// How much the cache may hold.
  public struct Limits: Sendable {
    public var entries = 16
    public var bytes: UInt64 = 1 << 30
    /// Index records are 208 bytes; one per kernel file that was ever given.
    public var records = 64
    /// Temporary files older than this many seconds belong to nobody.
    public var temporaryAge: Int64 = 3600

    public init() {}

    /// Removes the least recently used files beyond the limits, except `kept`, and old temporary files.
    func enforce(in folder: borrowing Folder, keeping kept: String) {
      let items = folder.items().sorted { $0.lastUse > $1.lastUse }
      let now = wallClock()
      var entryCount = 0
      var byteCount: UInt64 = 0
      var recordCount = 0
      // The kept entry counts first, wherever it stands.
      for item in items where item.name == kept {
        entryCount = 1
        byteCount = item.count
      }
      for item in items where item.name != kept {
        if item.name.hasPrefix(Folder.temporaryPrefix) {
          if now - item.lastUse > temporaryAge { folder.remove(item.name) }
        } else if item.name.hasSuffix(EntryTrailer.suffix) {
          let (sum, overflow) = byteCount.addingReportingOverflow(item.count)
          if entryCount < entries, !overflow, sum <= bytes {
            entryCount += 1
            byteCount = sum
          } else {
            folder.remove(item.name)
          }
        } else if item.name.hasSuffix(IndexRecord.suffix) {
          recordCount += 1
          if recordCount > records { folder.remove(item.name) }
        }
      }
    }
  }
}
