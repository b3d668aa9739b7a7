import CContainer
import CLinux

/// One request to the kernel's routing socket (rtnetlink(7)), built piece by piece: header, fixed part, attributes.
struct NetlinkMessage {
  /// What it is for, in an error's words: "make bridge vmrun0".
  let purpose: String
  private(set) var bytes: [UInt8]

  /// NLMSG_ALIGNTO and RTA_ALIGNTO.
  static let alignment = 4
  static let headerSize = MemoryLayout<nlmsghdr>.size
  static let attributeHeaderSize = MemoryLayout<rtattr>.size

  /// An empty request of RTM_ number `type` with NLM_F_ `flags` beside NLM_F_REQUEST.
  init(_ type: Int, flags: Int32, _ purpose: String) {
    self.purpose = purpose
    bytes = []
    bytes.reserveCapacity(256)
    append(
      nlmsghdr(
        nlmsg_len: UInt32(Self.headerSize), nlmsg_type: UInt16(truncatingIfNeeded: type),
        nlmsg_flags: UInt16(truncatingIfNeeded: NLM_F_REQUEST | flags), nlmsg_seq: 0, nlmsg_pid: 0))
  }

  /// Adds the fixed part of a message, a kernel structure whose size is a multiple of 4.
  mutating func append<Part: BitwiseCopyable>(_ part: Part) {
    // unsafe: the bytes of a value that holds no references; the kernel's structures have no padding that matters.
    unsafe withUnsafeBytes(of: part) { unsafe bytes.append(contentsOf: $0) }
    finish()
  }

  /// Adds an attribute (RTA_DATA).
  mutating func attribute(_ type: Int, _ data: [UInt8]) {
    let start = open(type)
    bytes.append(contentsOf: data)
    close(start)
  }

  /// Adds an attribute of 32 bits in the host's byte order.
  mutating func attribute(_ type: Int, _ value: UInt32) {
    let start = open(type)
    append(value)
    close(start)
  }

  /// Adds an attribute that is a string with its NUL.
  mutating func attribute(_ type: Int, _ text: String) { attribute(type, Array(text.utf8) + [0]) }

  /// Adds an attribute that consists of what `body` adds.
  mutating func nested(_ type: Int, _ body: (inout NetlinkMessage) -> Void) {
    let start = open(type)
    body(&self)
    close(start)
  }

  /// Numbers the request: its answer carries the same number.
  mutating func setSequence(_ number: UInt32) { store(number, at: 8) }

  private mutating func open(_ type: Int) -> Int {
    let start = bytes.count
    // The length is known at the end.
    bytes.append(contentsOf: [0, 0, UInt8(truncatingIfNeeded: type), UInt8(truncatingIfNeeded: type >> 8)])
    return start
  }

  private mutating func close(_ start: Int) {
    let length = UInt16(truncatingIfNeeded: bytes.count - start)
    bytes[start] = UInt8(truncatingIfNeeded: length)
    bytes[start + 1] = UInt8(truncatingIfNeeded: length >> 8)
    while bytes.count % Self.alignment != 0 { bytes.append(0) }
    finish()
  }

  private mutating func finish() { store(UInt32(truncatingIfNeeded: bytes.count), at: 0) }

  private mutating func store(_ value: UInt32, at offset: Int) {
    for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
  }
}
