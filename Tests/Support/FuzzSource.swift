/// Where a fuzzer's choices come from: a seed, or the bytes that a coverage-guided fuzzer proposes.
public struct FuzzSource: Sendable {
  private var random: SeededRandom
  private let bytes: [UInt8]?
  private var index = 0
  private var stepsLeft: Int

  /// `steps` rounds of choices that follow from `seed`.
  public init(seed: UInt64, steps: Int) {
    random = SeededRandom(seed: seed)
    bytes = nil
    stepsLeft = steps
  }

  /// Choices that are `bytes`, then zeros; as many steps as there are bytes for.
  public init(bytes: [UInt8]) {
    random = SeededRandom(seed: 0)
    self.bytes = bytes
    stepsLeft = bytes.count
  }

  /// Whether there is another step to take; takes it.
  public mutating func takeStep() -> Bool {
    if let bytes, index >= bytes.count { return false }
    stepsLeft -= 1
    return stepsLeft >= 0
  }

  /// A number from 0 to `bound` - 1, up to 256.
  public mutating func below(_ bound: Int) -> Int { Int(byte()) % bound }

  /// True about once in `chances` times.
  public mutating func oneIn(_ chances: Int) -> Bool { below(chances) == chances - 1 }

  public mutating func byte() -> UInt8 {
    guard let bytes else { return UInt8(truncatingIfNeeded: random.next() >> 24) }
    guard index < bytes.count else { return 0 }
    index += 1
    return bytes[index - 1]
  }

  /// A number of `width` bytes.
  public mutating func integer(_ width: Int) -> UInt64 {
    var value: UInt64 = 0
    for _ in 0..<width { value = value << 8 | UInt64(byte()) }
    return value
  }
}
