import System

@testable import Devices

extension PayloadChannel {
  func out(_ bytes: [UInt8]) { write(offset: 0, bytes.span) }
  func inl(_ offset: UInt16) -> UInt32 { mutableBytes(4) { read(offset: offset, into: &$0) }.littleEndian32 }
  func insb(_ count: Int) -> [UInt8] { mutableBytes(count) { read(offset: 2, into: &$0) } }
  func give(_ bytes: [UInt8]) { takeInput(bytes.span) }

  /// Looks at the credit and writes `bytes`, which must fit.
  func lookAndOut(_ bytes: [UInt8]) {
    _ = inl(8)
    out(bytes)
  }
}

func frame(_ type: UInt8, _ payload: [UInt8] = []) -> [UInt8] {
  [type, 0, 0, 0] + [UInt8](littleEndian: UInt32(payload.count)) + payload
}

let hello = frame(1, [1, 0, 0, 0])

/// A frame that the host sent.
struct HostFrame: Equatable {
  var type: UInt8
  var payload: [UInt8]
}

/// Takes the host's stream apart.
func hostFrames(_ stream: [UInt8]) -> [HostFrame]? {
  var frames: [HostFrame] = []
  var rest = stream[...]
  while !rest.isEmpty {
    guard rest.count >= 8 else { return nil }
    let header = Array(rest.prefix(8))
    let length = Int(Array(header[4...]).littleEndian32)
    guard header[1] == 0, header[2] == 0, header[3] == 0, length <= 65536, rest.count >= 8 + length else { return nil }
    frames.append(HostFrame(type: header[0], payload: Array(rest.dropFirst(8).prefix(length))))
    rest = rest.dropFirst(8 + length)
  }
  return frames
}
