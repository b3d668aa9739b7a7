import CContainer
import TestSupport
import Testing

@testable import Network

/// The bytes that go to the kernel, by hand from rtnetlink(7) and the kernel's headers.
@Suite struct NetlinkBytesTests {
  private let request: [UInt8] = [0x01, 0x00]  // NLM_F_REQUEST

  @Test func aBridge() {
    let message = NetlinkMessage.makeBridge("vmrun0", address: HardwareAddress(for: IPv4Address(10, 213, 0, 1)))
    #expect(
      message.bytes == [
        72, 0, 0, 0, 16, 0, 0x05, 0x06, 0, 0, 0, 0, 0, 0, 0, 0,  // 72 bytes, RTM_NEWLINK, REQUEST|ACK|EXCL|CREATE
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // ifinfomsg
        11, 0, 3, 0, 0x76, 0x6D, 0x72, 0x75, 0x6E, 0x30, 0, 0,  // IFLA_IFNAME "vmrun0"
        10, 0, 1, 0, 0x02, 0x76, 10, 213, 0, 1, 0, 0,  // IFLA_ADDRESS
        16, 0, 18, 0,  // IFLA_LINKINFO
        10, 0, 1, 0, 0x62, 0x72, 0x69, 0x64, 0x67, 0x65, 0, 0,  // IFLA_INFO_KIND "bridge"
      ])
  }

  @Test func aPairWithOneEndElsewhere() {
    let message = NetlinkMessage.makePair(
      "v1", bridge: 7, peer: "eth0", address: HardwareAddress(for: IPv4Address(10, 213, 0, 2)), namespace: 9)
    #expect(
      message.bytes == [
        116, 0, 0, 0, 16, 0, 0x05, 0x06, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,  // ifinfomsg: IFF_UP, and only that
        7, 0, 3, 0, 0x76, 0x31, 0, 0,  // IFLA_IFNAME "v1"
        8, 0, 10, 0, 7, 0, 0, 0,  // IFLA_MASTER
        68, 0, 18, 0,  // IFLA_LINKINFO
        8, 0, 1, 0, 0x76, 0x65, 0x74, 0x68,  // IFLA_INFO_KIND "veth"
        56, 0, 2, 0,  // IFLA_INFO_DATA
        52, 0, 1, 0,  // VETH_INFO_PEER
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // its ifinfomsg
        9, 0, 3, 0, 0x65, 0x74, 0x68, 0x30, 0, 0, 0, 0,  // IFLA_IFNAME "eth0"
        10, 0, 1, 0, 0x02, 0x76, 10, 213, 0, 2, 0, 0,  // IFLA_ADDRESS
        8, 0, 28, 0, 9, 0, 0, 0,  // IFLA_NET_NS_FD
      ])
  }

  @Test func anAddress() {
    let message = NetlinkMessage.addAddress(IPv4Address(10, 213, 0, 2), length: 22, index: 5, "eth0")
    #expect(
      message.bytes == [
        48, 0, 0, 0, 20, 0, 0x05, 0x06, 0, 0, 0, 0, 0, 0, 0, 0,  // RTM_NEWADDR
        2, 22, 0, 0, 5, 0, 0, 0,  // ifaddrmsg: AF_INET, /22, no flags, universe, interface 5
        8, 0, 2, 0, 10, 213, 0, 2,  // IFA_LOCAL
        8, 0, 1, 0, 10, 213, 0, 2,  // IFA_ADDRESS
        8, 0, 4, 0, 10, 213, 3, 255,  // IFA_BROADCAST
      ])
    #expect(NetlinkMessage.addAddress(IPv4Address(10, 0, 0, 1), length: 32, index: 5, "x").bytes.count == 40)
  }

  @Test func aDefaultRoute() {
    #expect(
      NetlinkMessage.addDefaultRoute(IPv4Address(10, 213, 0, 1), index: 3).bytes == [
        44, 0, 0, 0, 24, 0, 0x05, 0x06, 0, 0, 0, 0, 0, 0, 0, 0,  // RTM_NEWROUTE
        2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0,  // rtmsg: AF_INET, main table, RTPROT_BOOT, universe, unicast
        8, 0, 5, 0, 10, 213, 0, 1,  // RTA_GATEWAY
        8, 0, 4, 0, 3, 0, 0, 0,  // RTA_OIF
      ])
  }

  @Test func upDownMoveRemove() {
    #expect(
      NetlinkMessage.setUp(4, false, "e").bytes == [
        32, 0, 0, 0, 16, 0, 0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
      ])
    #expect(
      NetlinkMessage.removeLink(4, "e").bytes == [
        32, 0, 0, 0, 17, 0, 0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      ])
    #expect(
      NetlinkMessage.move(4, "eth1", as: "net0", namespace: 8).bytes == [
        52, 0, 0, 0, 16, 0, 0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        8, 0, 28, 0, 8, 0, 0, 0,  // IFLA_NET_NS_FD
        9, 0, 3, 0, 0x6E, 0x65, 0x74, 0x30, 0, 0, 0, 0,  // IFLA_IFNAME "net0"
      ])
  }

  @Test func questions() {
    #expect(
      NetlinkMessage.listPorts(of: 6).bytes == [
        40, 0, 0, 0, 18, 0, 0x01, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        8, 0, 10, 0, 6, 0, 0, 0,
      ])
    #expect(
      NetlinkMessage.listAddresses(family: 2).bytes == [
        24, 0, 0, 0, 22, 0, 0x01, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
      ])
    #expect(
      NetlinkMessage.listRoutes().bytes == [
        28, 0, 0, 0, 26, 0, 0x01, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      ])
  }

  @Test func theSequenceIsTheOnlyChange() {
    var message = NetlinkMessage.findLink("lo")
    let before = message.bytes
    message.setSequence(0x0102_0304)
    #expect(message.bytes[8..<12] == [4, 3, 2, 1] && message.bytes[..<8] == before[..<8])
    #expect(message.bytes[12...] == before[12...])
  }
}

/// What comes from a socket is read totally, whatever it is.
@Suite struct NetlinkAnswerTests {
  private func message(_ type: UInt16, _ body: [UInt8], flags: UInt16 = 0, length: UInt32? = nil) -> [UInt8] {
    let size = length ?? UInt32(16 + body.count)
    return [
      UInt8(truncatingIfNeeded: size), UInt8(truncatingIfNeeded: size >> 8), UInt8(truncatingIfNeeded: size >> 16),
      UInt8(truncatingIfNeeded: size >> 24), UInt8(truncatingIfNeeded: type), UInt8(truncatingIfNeeded: type >> 8),
      UInt8(truncatingIfNeeded: flags), UInt8(truncatingIfNeeded: flags >> 8), 1, 0, 0, 0, 0, 0, 0, 0,
    ] + body
  }

  @Test func aLinkIsRead() throws {
    let body: [UInt8] =
      [0, 0, 1, 0, 5, 0, 0, 0, 0x43, 0x10, 0, 0, 0, 0, 0, 0]
      + [9, 0, 3, 0] + Array("eth0".utf8) + [0, 0, 0, 0]
      + [8, 0, 10, 0, 7, 0, 0, 0] + [10, 0, 1, 0, 2, 0x76, 1, 2, 3, 4, 0, 0]
      + [6, 0, 20, 0, 0x61, 0x62, 0, 0]  // IFLA_IFALIAS
      + [12, 0, 18, 0x80, 8, 0, 1, 0] + Array("veth".utf8)
    let answers = try #require(NetlinkAnswer.split(message(16, body) + message(3, [0, 0, 0, 0])))
    #expect(answers.count == 2 && answers[0].type == 16 && answers[0].sequence == 1 && answers[1].type == 3)
    let link = try #require(Link(answers[0]))
    #expect(link.index == 5 && link.name == "eth0" && link.master == 7 && link.kind == "veth" && link.alias == "ab")
    #expect(link.flags == 0x1043 && link.hardwareAddress == [2, 0x76, 1, 2, 3, 4])
  }

  @Test func anAddressIsRead() throws {
    let body: [UInt8] = [2, 22, 0x80, 0, 5, 0, 0, 0, 8, 0, 2, 0, 10, 1, 2, 3, 8, 0, 1, 0, 10, 1, 2, 3]
    let answer = try #require(NetlinkAnswer.split(message(20, body))?.first)
    let address = try #require(LinkAddress(answer))
    #expect(address.index == 5 && address.flags == 0x80 && address.scope == 0)
    #expect(address.prefix?.address == IPv4Address(10, 1, 2, 3))
    #expect(address.prefix?.subnet == IPv4Prefix(IPv4Address(10, 1, 0, 0), length: 22))
    #expect(
      address.copied(to: 9, "x").bytes[16...] == [
        2, 22, 0, 0, 9, 0, 0, 0, 8, 0, 2, 0, 10, 1, 2, 3, 8, 0, 1, 0, 10, 1, 2, 3, 8, 0, 8, 0, 0x80, 0, 0, 0,
      ])
  }

  @Test func aRouteIsRead() throws {
    func destination(_ body: [UInt8]) -> IPv4Prefix? {
      NetlinkAnswer.split(message(24, body))?.first.flatMap { Route.destination($0) }
    }
    let head: [UInt8] = [2, 24, 0, 0, 254, 2, 253, 1, 0, 0, 0, 0]
    #expect(
      destination(head + [8, 0, 1, 0, 192, 0, 2, 0]) == IPv4Prefix(IPv4Address(192, 0, 2, 0), length: 24))
    #expect(destination([2, 0] + head[2...]) == IPv4Prefix(IPv4Address(0), length: 0))
    // A length without a destination, a destination that is not four bytes, a length above 32, another family.
    #expect(destination(head) == nil)
    #expect(destination(head + [6, 0, 1, 0, 192, 0, 0, 0]) == nil)
    #expect(destination([2, 33] + head[2...] + [8, 0, 1, 0, 192, 0, 2, 0]) == nil)
    #expect(destination([10, 24] + head[2...] + [8, 0, 1, 0, 192, 0, 2, 0]) == nil)
  }

  @Test(
    arguments: [
      [0], [UInt8](repeating: 0, count: 15), [UInt8](repeating: 0, count: 16),
      [15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ] as [[UInt8]])
  func lengthsThatDoNotFit(datagram: [UInt8]) { #expect(NetlinkAnswer.split(datagram) == nil) }

  @Test(
    arguments: [
      [3, 0, 1, 0], [0, 0, 1, 0], [5, 0, 1, 0], [255, 255, 1, 0, 0, 0, 0, 0],
      [8, 0, 1, 0, 0, 0, 0, 0, 4, 0, 1, 0, 9, 0, 1, 0],
    ] as [[UInt8]])
  func attributesThatDoNotFit(bytes: [UInt8]) { #expect(NetlinkAttributes(bytes[...]) == nil) }

  @Test func attributesOfOddSizes() throws {
    let attributes = try #require(
      NetlinkAttributes([4, 0, 1, 0, 5, 0, 2, 0, 0x41, 0, 0, 0, 7, 0, 3, 0, 1, 2, 3, 0, 5, 0, 4, 0, 0x42][...]))
    #expect(attributes.bytes(1) == [] && attributes.text(2) == "A" && attributes.word32(3) == nil)
    #expect(attributes.text(4) == "B" && attributes.bytes(9) == nil && attributes.nested(3)?.bytes(1) == nil)
  }

  @Test func refusals() throws {
    func refusal(_ type: UInt16, _ body: [UInt8], flags: UInt16 = 0) throws -> NetlinkSocket.Refusal? {
      NetlinkSocket.refusal(
        try #require(NetlinkAnswer.split(message(type, body, flags: flags))?.first), "do it")
    }
    #expect(try refusal(2, [0, 0, 0, 0]) == nil && refusal(16, []) == nil && refusal(3, []) == nil)
    #expect(try refusal(2, [0xFF, 0xFF, 0xFF, 0xFF])?.error.description == "cannot do it: Operation not permitted")
    #expect(try refusal(2, [])?.errno.rawValue == 5 && refusal(2, [0, 0, 0, 0x80])?.errno.rawValue == 5)
    let words: [UInt8] = [0xEA, 0xFF, 0xFF, 0xFF] + [UInt8](repeating: 0, count: 16) + [7, 0, 1, 0, 0x6E, 0x6F, 0, 0]
    #expect(try refusal(2, words, flags: 0x300)?.error.description == "cannot do it: Invalid argument (no)")
  }

  /// Whatever the bytes are, reading ends, and nothing traps.
  @Test(arguments: 1...4 as ClosedRange<UInt64>) func hostileTables(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let good =
      message(16, [0, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 3, 0, 0x65, 0x74, 0x68, 0x30, 0, 0, 0, 0])
      + message(20, [2, 22, 0x80, 0, 5, 0, 0, 0, 8, 0, 2, 0, 10, 1, 2, 3])
      + message(24, [2, 24, 0, 0, 254, 2, 253, 1, 0, 0, 0, 0, 8, 0, 1, 0, 192, 0, 2, 0])
    var read = 0
    for _ in 0..<20_000 {
      var bytes = good
      for _ in 0...random.below(6) {
        bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
      }
      bytes.removeLast(random.below(bytes.count))
      for answer in NetlinkAnswer.split(bytes) ?? [] {
        if Link(answer) != nil { read += 1 }
        if let address = LinkAddress(answer) { read += address.copied(to: 1, "x").bytes.isEmpty ? 0 : 1 }
        if Route.destination(answer) != nil { read += 1 }
        _ = NetlinkSocket.refusal(answer, "x")
      }
    }
    #expect(read > 0)
  }
}
