/// One instruction of a classic BPF program (`struct sock_filter`; Documentation/networking/filter.rst of the kernel).
struct BPFInstruction: Equatable, Sendable {
  var code: UInt16
  var jumpTrue: UInt8 = 0
  var jumpFalse: UInt8 = 0
  var k: UInt32

  init(code: UInt16, jumpTrue: UInt8 = 0, jumpFalse: UInt8 = 0, k: UInt32) {
    self.code = code
    self.jumpTrue = jumpTrue
    self.jumpFalse = jumpFalse
    self.k = k
  }

  // BPF_LD | BPF_W | BPF_ABS and so on: linux/filter.h builds them by macros that are not imported.
  static let load: UInt16 = 0x20
  static let and: UInt16 = 0x54
  static let jump: UInt16 = 0x05
  static let jumpEqual: UInt16 = 0x15
  static let jumpGreater: UInt16 = 0x25
  static let jumpGreaterOrEqual: UInt16 = 0x35
  static let jumpSet: UInt16 = 0x45
  static let give: UInt16 = 0x06

  /// Offsets in `struct seccomp_data`.
  static let numberOffset: UInt32 = 0
  static let architectureOffset: UInt32 = 4

  /// The instructions that `bytes` hold, 8 bytes each, little-endian.
  static func decode(_ bytes: [UInt8]) -> [BPFInstruction] {
    var program: [BPFInstruction] = []
    program.reserveCapacity(bytes.count / 8)
    var at = 0
    while at + 8 <= bytes.count {
      let k =
        UInt32(bytes[at + 4]) | UInt32(bytes[at + 5]) << 8 | UInt32(bytes[at + 6]) << 16 | UInt32(bytes[at + 7]) << 24
      program.append(
        BPFInstruction(
          code: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8, jumpTrue: bytes[at + 2], jumpFalse: bytes[at + 3], k: k)
      )
      at += 8
    }
    return program
  }

  /// The reverse.
  static func encode(_ program: [BPFInstruction]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(program.count * 8)
    for instruction in program {
      bytes += [
        UInt8(truncatingIfNeeded: instruction.code), UInt8(truncatingIfNeeded: instruction.code >> 8),
        instruction.jumpTrue, instruction.jumpFalse,
      ]
      for shift: UInt32 in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: instruction.k >> shift)) }
    }
    return bytes
  }

  /// What the jump with `code` decides about `value`; nil when it is no conditional jump.
  static func decides(_ code: UInt16, _ value: UInt32, _ k: UInt32) -> Bool? {
    switch code {
    case jumpEqual: return value == k
    case jumpGreater: return value > k
    case jumpGreaterOrEqual: return value >= k
    case jumpSet: return value & k != 0
    default: return nil
    }
  }
}
