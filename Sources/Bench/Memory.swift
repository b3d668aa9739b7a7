import CLinux
import System

/// Memory of processes, as /proc tells it.
enum Memory {
  /// What processes hold.
  struct Share: Equatable {
    /// Proportional set size: each page by the number of its users, in bytes.
    var all: UInt64 = 0
    /// The part of it that is guest memory.
    var guest: UInt64 = 0
  }

  /// What `processes` hold; nil when none of them can be read. With `guestMemory` above 0, large mappings without a file, or of the
  /// kernel's file that is mapped as guest memory, count as the guest's.
  static func share(of processes: [Int32], guestMemory: UInt64) -> Share? {
    var share = Share()
    var isKnown = false
    for process in processes {
      let path = "/proc/\(process)/\(guestMemory > 0 ? "smaps" : "smaps_rollup")"
      guard let text = Files.read(path, limit: 4 << 20), !text.isEmpty else { continue }
      isKnown = true
      var isGuests = false
      var isNamed = false
      var isKernels = false
      for line in text.split(separator: UInt8(ascii: "\n")) {
        let fields = line.split(separator: UInt8(ascii: " "))
        guard let first = fields.first else { continue }
        if first.last != UInt8(ascii: ":") {
          // "55e0-55f0 r-xp 00000000 08:01 123 /path"
          isNamed = fields.count > 5 && fields[5].first == UInt8(ascii: "/") && !fields[5].starts(with: "/memfd:".utf8)
          isKernels = fields.count > 5 && String(decoding: fields[5], as: UTF8.self).contains(bytes: "/kernels/")
          isGuests = isKernels
        } else if first.elementsEqual("Size:".utf8), fields.count > 1, !isNamed {
          isGuests = isKernels || kibibytes(fields[1]) >= min(guestMemory, 8 << 20)
        } else if first.elementsEqual("Pss:".utf8), fields.count > 1 {
          let size = kibibytes(fields[1])
          share.all += size
          if guestMemory > 0 && isGuests { share.guest += size }
        }
      }
    }
    return isKnown ? share : nil
  }

  private static func kibibytes(_ digits: ArraySlice<UInt8>) -> UInt64 {
    (UInt64(String(decoding: digits, as: UTF8.self)) ?? 0) &* 1024
  }

  /// MemAvailable of /proc/meminfo, in bytes; nil when it cannot be read.
  static func available() -> UInt64? { field("MemAvailable:") }

  /// A field of /proc/meminfo, in bytes.
  static func field(_ name: String) -> UInt64? {
    for line in (Files.read("/proc/meminfo") ?? []).split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: " "))
      if fields.count > 1, fields[0].elementsEqual(name.utf8) { return kibibytes(fields[1]) }
    }
    return nil
  }
}

extension String {
  /// Whether the text holds `part`.
  func contains(bytes part: String) -> Bool {
    let (all, wanted) = (Array(utf8), Array(part.utf8))
    guard !wanted.isEmpty, all.count >= wanted.count else { return wanted.isEmpty }
    for start in 0...(all.count - wanted.count) where all[start] == wanted[0] {
      if all[start..<(start + wanted.count)].elementsEqual(wanted) { return true }
    }
    return false
  }
}
