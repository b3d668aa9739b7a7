import CContainer
import CLinux
import System

/// An interface as the kernel describes it (RTM_NEWLINK).
struct Link: Equatable {
  let index: UInt32
  let name: String
  /// IFLA_INFO_KIND: "bridge", "veth"; empty for a physical one.
  let kind: String
  /// IFLA_IFALIAS; empty when there is none.
  let alias: String
  /// The bridge or bond that it is a port of; 0 for none.
  let master: UInt32
  let flags: UInt32
  /// IFLA_ADDRESS; empty when there is none.
  let hardwareAddress: [UInt8]

  /// nil when the message is malformed or lacks a name.
  init?(_ answer: NetlinkAnswer) {
    guard let attributes = answer.attributes(after: MemoryLayout<ifinfomsg>.size),
      let index = answer.body.word32(at: 4), let flags = answer.body.word32(at: 8), index != 0,
      let name = attributes.text(IFLA_IFNAME), !name.isEmpty
    else { return nil }
    self.index = index
    self.flags = flags
    self.name = name
    alias = attributes.text(IFLA_IFALIAS) ?? ""
    kind = attributes.nested(IFLA_LINKINFO)?.text(IFLA_INFO_KIND) ?? ""
    master = attributes.word32(IFLA_MASTER) ?? 0
    hardwareAddress = attributes.bytes(IFLA_ADDRESS).map { Array($0) } ?? []
  }
}

/// An address of an interface as the kernel describes it (RTM_NEWADDR), of any family.
struct LinkAddress: Equatable {
  let index: UInt32
  let family: UInt8
  let length: UInt8
  let scope: UInt8
  /// IFA_FLAGS: IFA_F_ bits.
  let flags: UInt32
  /// In network byte order.
  let local: [UInt8]
  /// What is written back to add the same address elsewhere: IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST as far as they are there.
  let parts: [(type: Int, data: [UInt8])]

  /// nil when the message is malformed or holds no address.
  init?(_ answer: NetlinkAnswer) {
    guard let attributes = answer.attributes(after: MemoryLayout<ifaddrmsg>.size),
      let head = answer.body.word32(at: 0), let index = answer.body.word32(at: 4),
      let local = attributes.bytes(IFA_LOCAL) ?? attributes.bytes(IFA_ADDRESS)
    else { return nil }
    self.index = index
    family = UInt8(truncatingIfNeeded: head)
    length = UInt8(truncatingIfNeeded: head >> 8)
    scope = UInt8(truncatingIfNeeded: head >> 24)
    flags = attributes.word32(IFA_FLAGS) ?? (head >> 16 & 0xFF)
    self.local = Array(local)
    parts = [IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST].compactMap { type in
      attributes.bytes(type).map { (type, Array($0)) }
    }
  }

  static func == (left: LinkAddress, right: LinkAddress) -> Bool {
    left.index == right.index && left.family == right.family && left.length == right.length
      && left.scope == right.scope && left.flags == right.flags && left.local == right.local
  }

  /// The IPv4 address and its subnet; nil for another family.
  var prefix: (address: IPv4Address, subnet: IPv4Prefix)? {
    guard family == UInt8(AF_INET), let address = IPv4Address(networkOrder: local[...]),
      let subnet = IPv4Prefix(address, length: length)
    else { return nil }
    return (address, subnet)
  }

  /// The request that adds it to interface `index` of another namespace, as permanent as it was here.
  func copied(to index: UInt32, _ name: String) -> NetlinkMessage {
    var message = NetlinkMessage(
      RTM_NEWADDR, flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, "keep an address of \(name)")
    message.append(
      ifaddrmsg(ifa_family: family, ifa_prefixlen: length, ifa_flags: 0, ifa_scope: scope, ifa_index: index))
    for part in parts { message.attribute(part.type, part.data) }
    // Its uniqueness was proved where it comes from (RFC 4862, 5.4), and the container must not wait for that.
    let kept =
      flags & ~UInt32(IFA_F_TENTATIVE | IFA_F_DADFAILED) | (family == UInt8(AF_INET6) ? UInt32(IFA_F_NODAD) : 0)
    message.attribute(IFA_FLAGS, kept)
    return message
  }
}

/// The destination of an IPv4 route (RTM_NEWROUTE).
enum Route {
  /// nil when the message is malformed or of another family.
  static func destination(_ answer: NetlinkAnswer) -> IPv4Prefix? {
    guard let attributes = answer.attributes(after: MemoryLayout<rtmsg>.size), let head = answer.body.word32(at: 0),
      head & 0xFF == UInt32(AF_INET)
    else { return nil }
    let length = UInt8(truncatingIfNeeded: head >> 8)
    guard let bytes = attributes.bytes(Int(RTA_DST.rawValue)) else {
      return length == 0 ? IPv4Prefix(IPv4Address(0), length: 0) : nil
    }
    guard let address = IPv4Address(networkOrder: bytes) else { return nil }
    return IPv4Prefix(address, length: length)
  }
}

extension NetlinkSocket {
  /// The interface of that name, or nil.
  mutating func link(_ name: String) throws(NetworkError) -> Link? {
    switch try ask(.findLink(name), type: RTM_NEWLINK) {
    case .success(let answer): return Link(answer)
    case .failure(let refusal):
      if refusal.errno == Errno(rawValue: ENODEV) { return nil }
      throw refusal.error
    }
  }

  /// The ports of a bridge. Whether the kernel filters or not, only its ports are returned.
  mutating func ports(of bridge: UInt32) throws(NetworkError) -> [Link] {
    try dump(.listPorts(of: bridge), type: RTM_NEWLINK).compactMap { Link($0) }.filter { $0.master == bridge }
  }

  /// All addresses of interface `index`.
  mutating func addresses(of index: UInt32, family: UInt8 = 0) throws(NetworkError) -> [LinkAddress] {
    try dump(.listAddresses(family: family), type: RTM_NEWADDR).compactMap { LinkAddress($0) }.filter {
      $0.index == index
    }
  }

  /// Where IPv4 routes of any table lead to.
  mutating func destinations() throws(NetworkError) -> [IPv4Prefix] {
    try dump(.listRoutes(), type: RTM_NEWROUTE).compactMap { Route.destination($0) }
  }
}
