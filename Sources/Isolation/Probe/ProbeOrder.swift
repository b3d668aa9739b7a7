/// What a probe is told to do: the words `key=value` of its command line.
struct ProbeOrder: Equatable {
  /// Where it runs: on the host it must not change anything that stays.
  var isHost = false
  var sections: Set<UInt8> = []
  var isQuick = false
  /// Twelve hexadecimal digits, new for every run, from which the names of canaries are made.
  var token = ""
  /// The canary's file and loopback port on the host.
  var file = ""
  var port: UInt16 = 0
  /// How many system call numbers are tried.
  var calls: UInt32 = 0

  init() {}

  /// - Throws: `IsolationError` for a word that is none of these.
  init(_ words: [[UInt8]]) throws(IsolationError) {
    for word in words {
      guard let border = word.firstIndex(of: UInt8(ascii: "=")) else { throw IsolationError("a word without '='") }
      let value = word[(border + 1)...]
      switch String(decoding: word[..<border], as: UTF8.self) {
      case "host": isHost = value.elementsEqual("1".utf8)
      case "quick": isQuick = value.elementsEqual("1".utf8)
      case "sections":
        for digit in value where digit >= 0x31 && digit <= 0x38 { sections.insert(digit - 0x30) }
      case "token": token = Text.string(value)
      case "file": file = Text.string(value)
      case "port": port = Text.number(value).flatMap { UInt16(exactly: $0) } ?? 0
      case "calls": calls = Text.number(value).flatMap { UInt32(exactly: $0) } ?? 0
      default: throw IsolationError("an unknown word")
      }
    }
  }

  var words: [String] {
    var digits = ""
    for section in sections.sorted() { digits += "\(section)" }
    return [
      "host=\(isHost ? 1 : 0)", "quick=\(isQuick ? 1 : 0)", "sections=\(digits)", "token=\(token)", "file=\(file)",
      "port=\(port)", "calls=\(calls)",
    ]
  }

  // MARK: Names

  /// Fifteen characters at most, as a process's name has.
  var processName: String { "vc-\(token)" }
  var variable: String { "VMRUN_CANARY_\(token)" }
  var socketName: String { "vmrun-canary-\(token)" }
  var keyName: String { "vmrun-canary-\(token)" }
  var queueName: String { "/vmrun-canary-\(token)" }
  var queueKey: Int32 { Self.key(token, 1) }
  // The same for what the probe makes, for the launcher to look for.
  var insideHostname: String { "vmrun-in-\(token)" }
  var insideSocket: String { "vmrun-inside-\(token)" }
  var insideKey: String { "vmrun-inside-\(token)" }
  var insideQueue: String { "/vmrun-inside-\(token)" }
  var insideQueueKey: Int32 { Self.key(token, 2) }

  /// A SysV key, positive.
  private static func key(_ token: String, _ which: UInt64) -> Int32 {
    var hash = FileSample.hash(Array(token.utf8))
    hash = (hash ^ which) &* 0x9E37_79B9_7F4A_7C15
    return Int32(truncatingIfNeeded: hash >> 34) | 0x100_0000
  }
}
