/// What a file of /proc or /sys held at one moment: enough to compare, without the content itself.
struct FileSample: Equatable {
  var path: String
  var size: UInt32
  var hash: UInt64
  /// The decimal numbers in it that are not 0, with their places among all numbers.
  var numbers: [(place: UInt32, value: UInt64)]

  /// Most numbers that are kept of one file, and bytes that are read of it.
  static let mostNumbers = 96
  static let mostBytes = 1 << 14

  static func == (left: FileSample, right: FileSample) -> Bool {
    left.path == right.path && left.size == right.size && left.hash == right.hash
  }

  init(path: String, content: [UInt8]) {
    self.path = path
    size = UInt32(truncatingIfNeeded: content.count)
    hash = Self.hash(content)
    numbers = Self.numbers(content)
  }

  /// FNV-1a.
  static func hash(_ bytes: [UInt8]) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return hash
  }

  static func numbers(_ bytes: [UInt8]) -> [(place: UInt32, value: UInt64)] {
    var found: [(place: UInt32, value: UInt64)] = []
    var place: UInt32 = 0
    var index = 0
    while index < bytes.count, found.count < mostNumbers {
      guard bytes[index] >= 0x30, bytes[index] <= 0x39 else {
        index += 1
        continue
      }
      var end = index
      while end < bytes.count, bytes[end] >= 0x30, bytes[end] <= 0x39 { end += 1 }
      if let value = Text.number(bytes[index..<end]), value != 0 { found.append((place, value)) }
      place += 1
      index = end
    }
    return found
  }

  // MARK: As a probe says it

  /// "PATH SIZE HASH PLACE:VALUE ...".
  var text: String {
    var text = "\(path) \(size) \(String(hash, radix: 16))"
    for (place, value) in numbers { text += " \(place):\(value)" }
    return text
  }

  /// - Throws: `IsolationError` for a text that is none.
  init(_ text: String) throws(IsolationError) {
    let fields = Text.fields(Array(text.utf8)[...])
    guard fields.count >= 3, fields.count <= 3 + Self.mostNumbers, fields[0].first == UInt8(ascii: "/"),
      let size = Text.number(fields[1]).flatMap({ UInt32(exactly: $0) }),
      let hash = Text.hexadecimal(String(decoding: fields[2], as: UTF8.self))
    else { throw IsolationError("a file's sample that is none") }
    path = String(decoding: fields[0], as: UTF8.self)
    self.size = size
    self.hash = hash
    numbers = []
    for field in fields[3...] {
      guard let border = field.firstIndex(of: UInt8(ascii: ":")),
        let place = Text.number(field[..<border]).flatMap({ UInt32(exactly: $0) }),
        let value = Text.number(field[(border + 1)...])
      else { throw IsolationError("a file's sample with a number that is none") }
      numbers.append((place, value))
    }
  }
}

/// The files that are compared, by the folders that hold them.
enum SampledFiles {
  private static let folders = [
    "/proc", "/proc/net", "/proc/sys/kernel", "/proc/sys/fs", "/proc/sys/fs/inotify", "/proc/sys/vm",
    "/proc/sys/net/core",
    "/proc/sys/net/ipv4", "/proc/sys/kernel/random", "/proc/pressure", "/proc/driver", "/proc/fs/ext4", "/proc/sysvipc",
    "/sys/kernel", "/sys/kernel/mm/transparent_hugepage", "/sys/class/dmi/id", "/sys/devices/system/cpu",
    "/sys/devices/system/cpu/vulnerabilities", "/sys/devices/system/node/node0", "/sys/power", "/sys/kernel/mm/ksm",
    "/sys/devices/system/clocksource/clocksource0", "/sys/kernel/security", "/sys/fs/cgroup",
  ]
  /// Not read: they wait, are the size of memory, show addresses, or reading them does something.
  private static let left: Set<String> = [
    "/proc/kmsg", "/proc/kcore", "/proc/kpagecount", "/proc/kpageflags", "/proc/kpagecgroup", "/proc/kallsyms",
    "/proc/sysrq-trigger", "/proc/sys/vm/stat_refresh", "/proc/vmcore", "/proc/timer_list", "/proc/sched_debug",
    "/proc/sys/kernel/random/uuid", "/proc/pagetypeinfo", "/proc/slabinfo",
  ]
  static let most = 700

  /// Reads every one of them that is there and readable.
  static func take() -> [FileSample] {
    var samples: [FileSample] = []
    for folder in folders {
      for name in SystemFile.names(folder) ?? [] {
        let path = "\(folder)/\(name)"
        guard samples.count < most, !left.contains(path), !path.utf8.contains(0x20),
          SystemFile.kind(path) == "-"
        else { continue }
        if let content = SystemFile.read(path, limit: FileSample.mostBytes).bytes {
          samples.append(FileSample(path: path, content: content))
        }
      }
    }
    return samples
  }
}

/// How one file inside compares with the host's.
enum FileVerdict: Equatable {
  /// Not there, or not readable.
  case hidden
  case different
  /// The same content, which did not change meanwhile: the host's, or a default that both have.
  case same
  /// It changed inside as it did on the host: the same data of one kernel.
  case changesTogether

  /// - Parameters: what it held inside and on the host, before the host changed things and after.
  static func of(inside: (FileSample, FileSample), host: (FileSample, FileSample)) -> FileVerdict {
    let isSame = (inside.0 == host.0, inside.1 == host.1)
    if isSame.0, isSame.1, host.0.hash == host.1.hash { return host.0.size == 0 ? .different : .same }
    if isSame.0, isSame.1 { return .changesTogether }
    return moves(inside: inside, host: host) ? .changesTogether : .different
  }

  /// Whether one of the numbers stands as high on both sides and went as far: neither a clock that runs everywhere nor two small
  /// counters that happen to be close pass.
  private static func moves(inside: (FileSample, FileSample), host: (FileSample, FileSample)) -> Bool {
    func value(_ sample: FileSample, _ place: UInt32) -> Int64? {
      sample.numbers.first { $0.place == place }.flatMap { Int64(exactly: $0.value) }
    }
    for (place, start) in host.0.numbers {
      guard let start = Int64(exactly: start), start >= 500, let end = value(host.1, place),
        let from = value(inside.0, place), let to = value(inside.1, place)
      else { continue }
      // No overflow: all four are from 0 to Int64.max.
      let (went, moved) = (end - start, to - from)
      guard went.magnitude >= 16, moved.signum() == went.signum() else { continue }
      let (apart, overflow) = moved.subtractingReportingOverflow(went)
      guard !overflow, apart.magnitude <= max(4, went.magnitude / 4) else { continue }
      if (from - start).magnitude <= went.magnitude / 2 { return true }
    }
    return false
  }
}
