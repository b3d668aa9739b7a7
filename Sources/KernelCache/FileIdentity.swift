import CLinux

/// What tells whether a file is still the one that was looked at, without reading it: where it lies, its size and its times.
struct FileIdentity: Equatable {
  /// Device, inode, size, mtime and ctime in seconds and nanoseconds.
  let words: [UInt64]

  static let wordCount = 7

  init(_ status: stat) {
    words = [
      UInt64(status.st_dev), UInt64(status.st_ino), UInt64(bitPattern: Int64(status.st_size)),
      UInt64(bitPattern: Int64(status.st_mtim.tv_sec)), UInt64(bitPattern: Int64(status.st_mtim.tv_nsec)),
      UInt64(bitPattern: Int64(status.st_ctim.tv_sec)), UInt64(bitPattern: Int64(status.st_ctim.tv_nsec)),
    ]
  }

  /// Takes back `wordCount` words.
  init(words: [UInt64]) { self.words = words }

  /// The later of mtime and ctime, in whole seconds.
  var lastChange: Int64 { max(Int64(bitPattern: words[3]), Int64(bitPattern: words[5])) }

  /// The name of the file's index record.
  var indexName: String { String(words[0], radix: 16) + "-" + String(words[1], radix: 16) + IndexRecord.suffix }
}

/// A kernel file's identity, the content key that was computed from it, and the identity of the entry with that key.
struct IndexRecord: Equatable {
  let kernel: FileIdentity
  let entry: FileIdentity
  /// CLOCK_REALTIME in seconds, taken before the kernel was read.
  let recordedAt: Int64
  let key: [UInt8]

  static let suffix = ".stat"
  private static let magic: UInt64 = 0x3130_7845_444E_4956  // "VINDEx01"
  private static let wordCount = 2 + 2 * FileIdentity.wordCount
  static let count = wordCount * 8 + 32 + 32

  /// A change within this many seconds of the recording might not show in the file's times: such a record proves nothing.
  static let racySeconds: Int64 = 2

  init(kernel: FileIdentity, entry: FileIdentity, recordedAt: Int64, key: [UInt8]) {
    self.kernel = kernel
    self.entry = entry
    self.recordedAt = recordedAt
    self.key = key
  }

  /// Whether an unchanged identity proves an unchanged kernel.
  var isTrustworthy: Bool {
    let (age, overflow) = recordedAt.subtractingReportingOverflow(kernel.lastChange)
    // Times are compared in whole seconds, so a difference of one more is needed to be sure of two.
    return !overflow && age > IndexRecord.racySeconds
  }

  /// The record's file.
  func bytes() -> [UInt8] {
    var bytes: [UInt8] = []
    for word in [IndexRecord.magic, UInt64(bitPattern: recordedAt)] + kernel.words + entry.words {
      appendLittleEndian(word, to: &bytes)
    }
    bytes += key
    return bytes + digest(of: bytes)
  }

  /// Reads a record back; nil when it is damaged or of another version.
  init?(_ bytes: [UInt8]) {
    guard bytes.count == IndexRecord.count, digest(of: Array(bytes.dropLast(32))) == Array(bytes.suffix(32)) else {
      return nil
    }
    let words = (0..<IndexRecord.wordCount).map { littleEndian(bytes, at: $0 * 8) }
    guard words[0] == IndexRecord.magic else { return nil }
    recordedAt = Int64(bitPattern: words[1])
    kernel = FileIdentity(words: Array(words[2..<2 + FileIdentity.wordCount]))
    entry = FileIdentity(words: Array(words[(2 + FileIdentity.wordCount)...]))
    key = Array(bytes[IndexRecord.wordCount * 8..<IndexRecord.wordCount * 8 + 32])
  }
}
