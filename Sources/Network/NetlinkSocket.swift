import CContainer
import CLinux
import System

/// A routing socket (rtnetlink(7)) of the network namespace in which it was opened, wherever its owner goes later.
struct NetlinkSocket: ~Copyable {
  private let descriptor: FileDescriptor
  private var sequence: UInt32 = 0

  /// A datagram of a dump is at most 32 KiB (NLMSG_GOODSIZE of any page size).
  private static let datagramSize = 64 << 10
  /// How often a dump is begun anew when the tables change meanwhile.
  private static let dumpTries = 10

  /// A socket in the calling thread's namespace.
  init() throws(NetworkError) {
    let raw = ccontainer_netlink_open()
    guard raw >= 0 else { throw NetworkError("routing socket", SystemError("socket", "NETLINK_ROUTE", .current)) }
    descriptor = FileDescriptor(owning: raw)
  }

  /// What went wrong with a request.
  struct Refusal: Error, Equatable {
    let purpose: String
    let errno: Errno
    /// The kernel's own words; often empty.
    let detail: String

    var error: NetworkError {
      NetworkError("cannot \(purpose): \(errno)" + (detail.isEmpty ? "" : " (\(detail))"))
    }
  }

  /// Sends `requests` in one go, in their order, and waits for every answer.
  /// - Throws: the first refusal; the requests behind it were tried nevertheless.
  mutating func execute(_ requests: [NetlinkMessage]) throws(NetworkError) {
    if let refusal = try perform(requests) { throw refusal.error }
  }

  /// As `execute`, for a caller to whom a refusal may be no error.
  mutating func perform(_ requests: [NetlinkMessage]) throws(NetworkError) -> Refusal? {
    guard let first = requests.first else { return nil }
    var bytes: [UInt8] = []
    let base = sequence &+ 1
    for var request in requests {
      sequence &+= 1
      request.setSequence(sequence)
      bytes += request.bytes
    }
    try send(bytes, first.purpose)
    var refusal: Refusal?
    var open = requests.count
    while open > 0 {
      for answer in try receive(first.purpose) where answer.type == UInt16(NLMSG_ERROR) {
        let index = Int(answer.sequence &- base)
        guard index < requests.count else { continue }
        open -= 1
        if refusal == nil { refusal = Self.refusal(answer, requests[index].purpose) }
      }
    }
    return refusal
  }

  /// The one message of RTM_ number `type` that answers a question about one object, or the kernel's refusal.
  mutating func ask(_ question: NetlinkMessage, type: Int) throws(NetworkError) -> Result<NetlinkAnswer, Refusal> {
    var question = question
    sequence &+= 1
    question.setSequence(sequence)
    try send(question.bytes, question.purpose)
    while true {
      for answer in try receive(question.purpose) where answer.sequence == sequence {
        if Int(answer.type) == type { return .success(answer) }
        if let refusal = Self.refusal(answer, question.purpose) { return .failure(refusal) }
      }
    }
  }

  /// All messages of RTM_ number `type` that the dump `request` brings.
  mutating func dump(_ request: NetlinkMessage, type: Int) throws(NetworkError) -> [NetlinkAnswer] {
    for _ in 0..<Self.dumpTries {
      if let answers = try dumpOnce(request, type: type) { return answers }
    }
    throw NetworkError("cannot \(request.purpose): the kernel's tables change all the time")
  }

  /// nil when the tables changed meanwhile.
  private mutating func dumpOnce(_ request: NetlinkMessage, type: Int) throws(NetworkError) -> [NetlinkAnswer]? {
    var request = request
    sequence &+= 1
    request.setSequence(sequence)
    try send(request.bytes, request.purpose)
    var answers: [NetlinkAnswer] = []
    var consistent = true
    while true {
      for answer in try receive(request.purpose) where answer.sequence == sequence {
        if answer.flags & UInt16(NLM_F_DUMP_INTR) != 0 { consistent = false }
        if let refusal = Self.refusal(answer, request.purpose) { throw refusal.error }
        if Int32(answer.type) == NLMSG_DONE { return consistent ? answers : nil }
        if Int(answer.type) == type { answers.append(answer) }
      }
    }
  }

  /// What an NLMSG_ERROR, or the NLMSG_DONE of a dump, refuses; nil for an acknowledgement.
  static func refusal(_ answer: NetlinkAnswer, _ purpose: String) -> Refusal? {
    let type = Int32(answer.type)
    guard type == NLMSG_ERROR || type == NLMSG_DONE else { return nil }
    // A dump's end may come without a number.
    let code = answer.body.word32(at: 0).map { Int32(bitPattern: $0) } ?? (type == NLMSG_ERROR ? -EIO : 0)
    if code >= 0 { return nil }
    return Refusal(
      purpose: purpose, errno: Errno(rawValue: code == Int32.min ? EIO : -code),
      detail: type == NLMSG_ERROR ? detail(answer) : "")
  }

  /// NLMSGERR_ATTR_MSG: behind the error number and the request's header (NLM_F_CAPPED).
  private static func detail(_ answer: NetlinkAnswer) -> String {
    guard answer.flags & UInt16(NLM_F_ACK_TLVS) != 0, answer.flags & UInt16(NLM_F_CAPPED) != 0 else { return "" }
    return answer.attributes(after: 4 + NetlinkMessage.headerSize)?.text(Int(NLMSGERR_ATTR_MSG.rawValue)) ?? ""
  }

  private func send(_ bytes: [UInt8], _ purpose: String) throws(NetworkError) {
    let raw = descriptor.rawValue
    while true {
      // unsafe: the array's own bytes, valid for the call.
      let count = unsafe bytes.withUnsafeBytes { unsafe CContainer.send(raw, $0.baseAddress, $0.count, 0) }
      if count == bytes.count { return }
      if count < 0, Errno.current == .interrupted { continue }
      throw NetworkError(purpose, SystemError("send", "routing socket", count < 0 ? .current : .ioError))
    }
  }

  private func receive(_ purpose: String) throws(NetworkError) -> [NetlinkAnswer] {
    let raw = descriptor.rawValue
    var datagram = [UInt8](repeating: 0, count: Self.datagramSize)
    while true {
      // unsafe: the array's own bytes, valid for the call; MSG_TRUNC returns the datagram's own length.
      let count = unsafe datagram.withUnsafeMutableBytes {
        unsafe recv(raw, $0.baseAddress, $0.count, Int32(MSG_TRUNC))
      }
      if count < 0, Errno.current == .interrupted { continue }
      guard count >= 0 else { throw NetworkError(purpose, SystemError("recv", "routing socket", .current)) }
      guard count <= datagram.count else { throw NetworkError("\(purpose): the kernel's answer is too long") }
      datagram.removeLast(datagram.count - count)
      guard let answers = NetlinkAnswer.split(datagram) else {
        throw NetworkError("\(purpose): the kernel's answer is malformed")
      }
      return answers
    }
  }
}
