import CLinux
import GuestMemory
import System
import Virtio

/// Guest RAM without KVM, and the bytes in it before a test: to find out afterwards what was written.
public final class FakeGuest: @unchecked Sendable {
  /// By default RAM at 0 ..< 512 KiB and at 2 MiB ..< 2.5 MiB, with a hole between.
  public let memory: GuestRAM
  private var before: [[UInt8]] = []

  public static let lowEnd: UInt64 = 512 << 10
  public static let highStart: UInt64 = 2 << 20
  public static let highEnd: UInt64 = highStart + 512 << 10

  /// RAM filled with bytes that look random: `count` bytes, those past `holeStart` from `holeEnd` on.
  public init(
    count: UInt64 = 1 << 20, holeStart: UInt64 = FakeGuest.lowEnd, holeEnd: UInt64 = FakeGuest.highStart
  ) throws {
    memory = try GuestRAM(count: count, holeStart: holeStart, holeEnd: holeEnd, hugePages: false)
    var random = SeededRandom(seed: 1)
    for region in memory.regions {
      var bytes: [UInt8] = []
      bytes.reserveCapacity(Int(region.count))
      while bytes.count < Int(region.count) {
        var word = random.next()
        for _ in 0..<8 {
          bytes.append(UInt8(truncatingIfNeeded: word))
          word >>= 8
        }
      }
      try memory.write(region.start, bytes)
    }
  }

  /// Remembers what is in RAM now.
  public func remember() throws {
    before = []
    for region in memory.regions { before.append(try memory.read(region.start, count: Int(region.count))) }
  }

  /// The first address outside `permitted` whose byte is not what it was at `remember`; nil when there is none.
  public func firstChange(outside permitted: [Range<UInt64>]) throws -> UInt64? {
    for (region, var old) in zip(memory.regions, before) {
      let new = try memory.read(region.start, count: Int(region.count))
      let start = region.start.value
      for range in permitted {
        let part = range.clamped(to: start..<start + region.count)
        let indices = Int(part.lowerBound - start)..<Int(part.upperBound - start)
        if !indices.isEmpty { old.replaceSubrange(indices, with: new[indices]) }
      }
      let isSame = old.withUnsafeBytes { old in
        new.withUnsafeBytes { new in
          guard let left = old.baseAddress, let right = new.baseAddress else { return true }
          return memcmp(left, right, old.count) == 0
        }
      }
      if !isSame, let index = old.indices.first(where: { old[$0] != new[$0] }) { return start + UInt64(index) }
    }
    return nil
  }
}
