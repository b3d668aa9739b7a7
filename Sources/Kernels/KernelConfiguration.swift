import Boot

/// A kernel's .config, as far as `KernelOption.all` asks for it.
struct KernelConfiguration: Equatable {
  /// Bytes of the longest that is read.
  static let limit = 4 << 20

  /// The options that are y or m.
  private let states: [String: OptionState]

  /// Parses the lines "CONFIG_NAME=y" of `text`; nil when there are none at all.
  init?(_ text: [UInt8]) {
    var wanted: Set<String> = []
    for option in KernelOption.all { wanted.insert(option.name) }
    var states: [String: OptionState] = [:]
    var isConfiguration = false
    for line in text.split(separator: UInt8(ascii: "\n")) where line.starts(with: "CONFIG_".utf8) {
      let parts = line.dropFirst(7).split(separator: UInt8(ascii: "="), maxSplits: 1)
      guard parts.count == 2, parts[0].count < 64, let value = parts[1].first else { continue }
      isConfiguration = true
      let name = String(decoding: parts[0], as: UTF8.self)
      guard wanted.contains(name) else { continue }
      if value == UInt8(ascii: "y") { states[name] = .builtIn }
      if value == UInt8(ascii: "m") { states[name] = .module }
    }
    guard isConfiguration else { return nil }
    self.states = states
  }

  /// An option that a whole configuration does not name is not there.
  func state(of option: KernelOption) -> OptionState { states[option.name] ?? .absent }

  /// The configuration in a kernel: gzip data between "IKCFG_ST" and "IKCFG_ED" (kernel/configs.c).
  init?(in image: borrowing SearchableBytes) {
    var from = 0
    // A damaged or hostile image may have the mark many times.
    for _ in 0..<4 {
      guard let start = image.find("IKCFG_ST", from: from) else { return nil }
      from = start + 8
      guard let end = image.find("IKCFG_ED", from: from), end - from <= KernelConfiguration.limit, end - from >= 18
      else { continue }
      let packed = image.bytes(from..<end)
      // RFC 1952, 2.3.1: the stream ends with its size when decompressed, modulo 2^32.
      var size = 0
      for index in 0..<4 { size |= Int(packed[packed.count - 4 + index]) << (8 * index) }
      guard size > 0, size <= KernelConfiguration.limit else { continue }
      var text = [UInt8](repeating: 0, count: size)
      var isWhole = true
      // unsafe: both buffers live through the call, which fills exactly the output.
      unsafe packed.withUnsafeBytes { input in
        unsafe text.withUnsafeMutableBytes { output in
          do throws(CodecError) { try unsafe Codec.gzip.decompress(input, into: output) } catch { isWhole = false }
        }
      }
      if isWhole, let found = KernelConfiguration(text) {
        self = found
        return
      }
    }
    return nil
  }
}
