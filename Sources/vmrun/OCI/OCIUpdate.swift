import Container
import JSON
import OCI

/// The new limits of `vmrun update`.
enum OCIUpdate {
  /// From `--resources`, or else from the options.
  static func resources(_ words: OCIWords) throws(ContainerError) -> Resources {
    if let path = try checked({ () throws(UsageError) in try words.path("--resources") }) {
      let bytes = try OCIInput.read(path)
      return try OCIInput.decode(path == "-" ? "--resources" : path, bytes) { (json) throws(SpecError) in
        try Resources(decoding: json)
      }
    }
    for name in ["--l3-cache-schema", "--mem-bw-schema"] where words.value(name) != nil {
      throw ContainerError(
        .notSupported, "\(name) is not supported by update: set linux.intelRdt when the container is created")
    }
    guard !words.options.isEmpty else {
      throw ContainerError(.invalid, "update: what is to change? For example vmrun update --memory 256M \(words.id)")
    }
    return try checked { () throws(UsageError) in try fromOptions(words) }
  }

  private static func fromOptions(_ words: OCIWords) throws(UsageError) -> Resources {
    var resources = Resources()
    var memory = Resources.Memory()
    memory.limit = try bytes(words, "--memory")
    memory.reservation = try bytes(words, "--memory-reservation")
    memory.swap = try bytes(words, "--memory-swap")
    if memory != Resources.Memory() { resources.memory = memory }
    var cpu = Resources.CPU()
    cpu.quota = try words.integer("--cpu-quota")
    cpu.period = try unsigned(words, "--cpu-period")
    cpu.burst = try unsigned(words, "--cpu-burst")
    cpu.shares = try unsigned(words, "--cpu-share")
    cpu.idle = try words.integer("--cpu-idle", 0...1)
    cpu.realtimePeriod = try unsigned(words, "--cpu-rt-period")
    cpu.realtimeRuntime = try words.integer("--cpu-rt-runtime")
    cpu.cpus = try list(words, "--cpuset-cpus")
    cpu.mems = try list(words, "--cpuset-mems")
    if cpu != Resources.CPU() { resources.cpu = cpu }
    if let limit = try words.integer("--pids-limit") {
      var pids = Resources.PIDs()
      pids.limit = limit
      resources.pids = pids
    }
    if let weight = try words.integer("--blkio-weight", 10...1000) {
      var blockIO = Resources.BlockIO()
      blockIO.weight = UInt16(weight)
      resources.blockIO = blockIO
    }
    return resources
  }

  private static func unsigned(_ words: OCIWords, _ name: String) throws(UsageError) -> UInt64? {
    try words.integer(name, 0 ... .max).map { UInt64($0) }
  }

  /// A number of bytes, or with a binary unit: 268435456, 256M, 256MiB; -1 for no limit.
  static func bytes(_ words: OCIWords, _ name: String) throws(UsageError) -> Int64? {
    guard let text = words.value(name) else { return nil }
    let wrong = UsageError("\(name) \(text): expected a number of bytes, one with a unit such as 256M, or -1")
    if let number = Int64(text) {
      guard number >= -1 else { throw wrong }
      return number
    }
    let digits = text.utf8.prefix { $0 >= 0x30 && $0 <= 0x39 }
    guard let number = Int64(String(decoding: digits, as: UTF8.self)) else { throw wrong }
    let shift: Int64
    switch String(decoding: text.utf8.dropFirst(digits.count), as: UTF8.self) {
    case "b", "B": shift = 0
    case "k", "K", "kb", "KB", "KiB": shift = 10
    case "m", "M", "mb", "MB", "MiB": shift = 20
    case "g", "G", "gb", "GB", "GiB": shift = 30
    case "t", "T", "tb", "TB", "TiB": shift = 40
    default: throw wrong
    }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    guard !overflow else { throw wrong }
    return bytes
  }

  private static func list(_ words: OCIWords, _ name: String) throws(UsageError) -> String? {
    guard let text = words.value(name) else { return nil }
    let isList = text.utf8.allSatisfy {
      ($0 >= 0x30 && $0 <= 0x39) || $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "-")
    }
    guard isList, !text.isEmpty else { throw UsageError("\(name) \(text): expected a list such as 0-3,7") }
    return text
  }
}
