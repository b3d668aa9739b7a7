import CContainer
import CLinux
import Foundation
import System
import Testing

@testable import Network

@Suite struct AddressTests {
  @Test func prefixes() throws {
    let ten = try #require(IPv4Prefix(IPv4Address(10, 9, 8, 7), length: 8))
    #expect(ten.description == "10.0.0.0/8" && ten.count == 1 << 24)
    let part = try #require(IPv4Prefix(IPv4Address(10, 213, 0, 0), length: 22))
    #expect(ten.overlaps(part) && part.overlaps(ten) && part.contains(IPv4Address(10, 213, 3, 255)))
    #expect(!part.contains(IPv4Address(10, 213, 4, 0)))
    #expect(try !part.overlaps(#require(IPv4Prefix(IPv4Address(10, 213, 4, 0), length: 22))))
    #expect(try #require(IPv4Prefix(IPv4Address(0), length: 0)).overlaps(part))
    #expect(IPv4Prefix(IPv4Address(0), length: 33) == nil)
    #expect(try #require(IPv4Prefix(IPv4Address(1, 2, 3, 4), length: 32)).count == 1)
  }

  @Test func aSubnetThatNoRouteLeadsTo() throws {
    let first = try #require(Subnets.candidates.first)
    #expect(Subnets.choose(avoiding: []) == first)
    // Default routes are no collision, in one piece or in two.
    let whole = try #require(IPv4Prefix(IPv4Address(0), length: 0))
    let halves = [0, 128].compactMap { IPv4Prefix(IPv4Address($0, 0, 0, 0), length: 1) }
    #expect(Subnets.choose(avoiding: [whole] + halves) == first)
    let ten = try #require(IPv4Prefix(IPv4Address(10, 0, 0, 0), length: 8))
    #expect(Subnets.choose(avoiding: [ten])?.description == "172.24.76.0/22")
    let host = try #require(IPv4Prefix(IPv4Address(10, 213, 1, 1), length: 32))
    #expect(Subnets.choose(avoiding: [host])?.description == "10.214.0.0/22")
    let rest = [(172, 16, 12), (192, 168, 16)].compactMap {
      IPv4Prefix(IPv4Address($0.0, $0.1, 0, 0), length: $0.2)
    }
    #expect(Subnets.choose(avoiding: [ten] + rest) == nil)
  }

  @Test func aPortsNameHoldsItsAddress() {
    let address = IPv4Address(10, 213, 0, 2)
    #expect(BridgeNetwork.port(for: address) == "vmrun0ad50002" && BridgeNetwork.port(for: address).utf8.count < 16)
    #expect(BridgeNetwork.port(for: IPv4Address(1)) == "vmrun00000001")
    #expect(BridgeNetwork.address(ofPort: "vmrun0ad50002") == address)
    for name in ["vmrun0", "vmrun0ad5000", "vmrun0ad500021", "vmrun0ad5000x", "eth0", "vmrun+ad50002"] {
      #expect(BridgeNetwork.address(ofPort: name) == nil, "\(name)")
    }
  }

  @Test func theLowestFreeAddress() throws {
    let subnet = try #require(IPv4Prefix(IPv4Address(10, 0, 0, 0), length: 30))
    let bridge = BridgeNetwork.Bridge(index: 1, address: IPv4Address(10, 0, 0, 1), subnet: subnet)
    #expect(bridge.firstFree([bridge.address]) == IPv4Address(10, 0, 0, 2))
    #expect(bridge.firstFree([bridge.address, IPv4Address(10, 0, 0, 2)]) == nil)
  }
}

@Suite struct LoopbackTests {
  @Test func itGoesUp() throws {
    let (before, after, addresses) = try inPrivateNetwork {
      var socket = try NetlinkSocket()
      let before = try #require(try socket.link("lo")).flags
      try Loopback.up()
      let link = try #require(try socket.link("lo"))
      return (before, link.flags, try socket.addresses(of: link.index, family: UInt8(AF_INET)).map(\.local))
    }
    #expect(before & UInt32(IFF_UP) == 0 && after & UInt32(IFF_UP) != 0)
    #expect(addresses == [[127, 0, 0, 1]])
  }
}

@Suite struct NetworkDeviceTests {
  /// A pair "move0"/"stay0" with addresses: permanent and global ones of both families, one that expires, one of link scope.
  private static func makePair() throws -> Link {
    var socket = try NetlinkSocket()
    var message = NetlinkMessage(RTM_NEWLINK, flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, "make a pair")
    message.append(ifinfomsg())
    message.attribute(IFLA_IFNAME, "move0")
    message.nested(IFLA_LINKINFO) { info in
      info.attribute(IFLA_INFO_KIND, Array("veth".utf8))
      info.nested(IFLA_INFO_DATA) { data in
        data.nested(VETH_INFO_PEER) { end in
          end.append(ifinfomsg())
          end.attribute(IFLA_IFNAME, "stay0")
        }
      }
    }
    try socket.execute([message, .setUp("move0")])
    let link = try #require(try socket.link("move0"))
    func add(_ family: Int32, _ bytes: [UInt8], _ length: UInt8, scope: UInt32 = 0, lifetime: UInt32? = nil) throws {
      var message = NetlinkMessage(RTM_NEWADDR, flags: NLM_F_ACK | NLM_F_CREATE, "add an address")
      message.append(
        ifaddrmsg(
          ifa_family: UInt8(family), ifa_prefixlen: length, ifa_flags: 0, ifa_scope: UInt8(scope), ifa_index: link.index
        ))
      message.attribute(IFA_LOCAL, bytes)
      message.attribute(IFA_ADDRESS, bytes)
      if let lifetime {
        var bytes: [UInt8] = []
        for value in [lifetime, lifetime, 0, 0] { withUnsafeBytes(of: value) { bytes += Array($0) } }
        message.attribute(IFA_CACHEINFO, bytes)
      }
      try socket.execute([message])
    }
    try add(AF_INET, [10, 1, 0, 1], 24)
    try add(AF_INET, [10, 2, 0, 1], 16)
    try add(AF_INET, [10, 3, 0, 1], 24, lifetime: 600)
    try add(AF_INET, [10, 4, 0, 1], 24, scope: 253)
    try add(AF_INET6, [0xFD, 0] + [UInt8](repeating: 0, count: 13) + [7], 64)
    return link
  }

  @Test(arguments: ["", "net0", "net%d"]) func aDeviceMovesWithItsAddresses(name: String) throws {
    let expected = name == "" ? "move0" : name == "net%d" ? "net0" : name
    try inPrivateNetwork {
      _ = try Self.makePair()
      let target = try NetworkNamespace.make()
      try NetworkDevices.move(hostName: "move0", name: name, into: target)
      var here = try NetlinkSocket()
      #expect(try here.link("move0") == nil)
      #expect(try here.link("stay0") != nil)
      var there = try target.inside { () throws(NetworkError) in try NetlinkSocket() }
      let link = try #require(try there.link(expected))
      #expect(link.flags & UInt32(IFF_UP) != 0)
      let kept = try there.addresses(of: link.index).filter { $0.scope == 0 }
      #expect(kept.map(\.length).sorted() == [16, 24, 64])
      #expect(
        Set(kept.map(\.local)) == [
          [10, 1, 0, 1], [10, 2, 0, 1], [0xFD, 0] + [UInt8](repeating: 0, count: 13) + [7],
        ])
      for address in kept { #expect(address.flags & UInt32(IFA_F_PERMANENT) != 0) }
    }
  }

  @Test func aNameThatIsTakenIsRefusedAndNothingChanges() throws {
    try inPrivateNetwork {
      let link = try Self.makePair()
      let target = try NetworkNamespace.make()
      let error = #expect(throws: NetworkError.self) {
        try NetworkDevices.move(hostName: "move0", name: "lo", into: target)
      }
      #expect(error?.description.contains("has an interface 'lo' already") == true)
      var here = try NetlinkSocket()
      let after = try #require(try here.link("move0"))
      #expect(after.flags & UInt32(IFF_UP) != 0 && after.index == link.index)
    }
  }

  /// `lo` cannot be moved: the kernel refuses, and it is as it was.
  @Test func whatCannotBeMovedStaysAsItWas() throws {
    try inPrivateNetwork {
      try Loopback.up()
      let target = try NetworkNamespace.make()
      let error = #expect(throws: NetworkError.self) {
        try NetworkDevices.move(hostName: "lo", name: "lo7", into: target)
      }
      #expect(error?.description.contains("cannot move lo") == true, "\(String(describing: error))")
      var here = try NetlinkSocket()
      let link = try #require(try here.link("lo"))
      #expect(link.flags & UInt32(IFF_UP) != 0)
      #expect(try here.addresses(of: link.index, family: UInt8(AF_INET)).map(\.local) == [[127, 0, 0, 1]])
    }
  }

  @Test(arguments: [
    ("", "x"), ("nowhere0", "x"), ("a/b", "x"), ("move0", "a b"), ("move0", "sixteenbytes1234"), ("move0", ".."),
    ("move0", "a:b"),
  ])
  func badNames(hostName: String, name: String) throws {
    try inPrivateNetwork {
      let target = try NetworkNamespace.make()
      let error = #expect(throws: NetworkError.self) {
        try NetworkDevices.move(hostName: hostName, name: name, into: target)
      }
      #expect(error?.description.hasPrefix("linux.netDevices") == true)
    }
  }
}

@Suite struct BridgeTests {
  @Test func containersReachEachOtherAndTheHost() throws {
    let folder = try Folder()
    try inPrivateNetwork {
      let network = BridgeNetwork(folder: folder.path)
      let host = try NetworkNamespace.current()
      let first = try network.connect(name: "one")
      let second = try network.connect(name: "two")
      #expect(first.address != second.address && first.gateway == second.gateway)
      #expect(first.neighbours.isEmpty)
      #expect(second.neighbours == [.init(name: "one", address: first.address)])

      let inFirst = try TCP.listen(first.address, 80, in: first.namespace)
      #expect(
        try TCP.send("a", from: TCP.socket(in: second.namespace), to: first.address, 80, listener: inFirst) == "a")
      #expect(try TCP.send("b", from: TCP.socket(in: host), to: first.address, 80, listener: inFirst) == "b")
      let onHost = try TCP.listen(first.gateway, 81, in: host)
      #expect(try TCP.send("c", from: TCP.socket(in: second.namespace), to: first.gateway, 81, listener: onHost) == "c")
      let loop = try TCP.listen(IPv4Address(127, 0, 0, 1), 82, in: first.namespace)
      #expect(
        try TCP.send("d", from: TCP.socket(in: first.namespace), to: IPv4Address(127, 0, 0, 1), 82, listener: loop)
          == "d"
      )

      var socket = try NetlinkSocket()
      try network.disconnect(first)
      #expect(try socket.link(BridgeNetwork.bridgeName) != nil)
      try network.disconnect(second)
      #expect(try socket.link(BridgeNetwork.bridgeName) == nil)
      #expect(try socket.links().map(\.name) == ["lo"])
    }
  }

  /// As after kill -9: nobody disconnects, the kernel closes the namespaces.
  @Test func whatWasKilledLeavesOnlyTheBridgeAndSweepRemovesIt() throws {
    let folder = try Folder()
    try inPrivateNetwork {
      let network = BridgeNetwork(folder: folder.path)
      do { _ = try network.connect(name: "gone") }
      var socket = try NetlinkSocket()
      let bridge = try #require(try socket.link(BridgeNetwork.bridgeName))
      let deadline = Clock.now() + 10_000_000_000
      while try !socket.ports(of: bridge.index).isEmpty, Clock.now() < deadline { usleep(10_000) }
      #expect(try socket.ports(of: bridge.index).isEmpty)
      try network.sweep()
      #expect(try socket.links().map(\.name) == ["lo"])
      try network.sweep()
    }
  }

  /// A bridge that was made and never finished has no address.
  @Test func aBridgeWithoutAddressIsMadeAnew() throws {
    let folder = try Folder()
    try inPrivateNetwork {
      var socket = try NetlinkSocket()
      try socket.execute([
        .makeBridge(BridgeNetwork.bridgeName, address: HardwareAddress(for: IPv4Address(10, 213, 0, 1)))
      ])
      let connection = try BridgeNetwork(folder: folder.path).connect(name: "x")
      #expect(connection.gateway.description == "10.213.0.1" && connection.address.description == "10.213.0.2")
    }
  }

  @Test func aForeignBridgeIsLeftAlone() throws {
    let folder = try Folder()
    try inPrivateNetwork {
      var socket = try NetlinkSocket()
      var message = NetlinkMessage(RTM_NEWLINK, flags: NLM_F_ACK | NLM_F_CREATE, "make a bridge")
      message.append(ifinfomsg())
      message.attribute(IFLA_IFNAME, BridgeNetwork.bridgeName)
      message.nested(IFLA_LINKINFO) { $0.attribute(IFLA_INFO_KIND, Array("bridge".utf8)) }
      try socket.execute([message])
      let network = BridgeNetwork(folder: folder.path)
      #expect(throws: NetworkError.self) { _ = try network.connect(name: "x").address }
      try network.sweep()
      #expect(try socket.link(BridgeNetwork.bridgeName) != nil)
    }
  }

  @Test func aRoutedSubnetIsAvoided() throws {
    let folder = try Folder()
    try inPrivateNetwork {
      try Loopback.up()
      var socket = try NetlinkSocket()
      let lo = try #require(try socket.link("lo"))
      try socket.execute([.addAddress(IPv4Address(10, 213, 2, 9), length: 24, index: lo.index, "lo")])
      #expect(try BridgeNetwork(folder: folder.path).connect(name: "x").address.description == "10.214.0.2")
    }
  }

  @Test func manyAtOnceGetDifferentAddresses() throws {
    let folder = try Folder()
    try inPrivateNetwork {
      let network = BridgeNetwork(folder: folder.path)
      let own = try NetworkNamespace.current()
      let number = own.descriptor.rawValue
      let addresses = Addresses()
      var threads: [SharedThread] = []
      for worker in 0..<4 {
        threads.append(
          SharedThread(
            try System.Thread(stackSize: 1 << 20) {
              guard setns(number, CLONE_NEWNET) == 0 else { return }
              for round in 0..<6 {
                do {
                  let connection = try network.connect(name: "w\(worker)-\(round)")
                  addresses.take(connection.address)
                  usleep(2000)
                  addresses.give(connection.address)
                  try network.disconnect(connection)
                } catch { addresses.fail("\(error)") }
              }
            }))
      }
      for thread in threads { thread.join() }
      #expect(addresses.failures == [] && addresses.count == 24)
      var socket = try NetlinkSocket()
      #expect(try socket.links().map(\.name) == ["lo"])
    }
  }
}

private final class SharedThread {
  private var thread: System.Thread?
  init(_ thread: consuming System.Thread) { self.thread = consume thread }
  func join() { thread.take()?.join() }
}

private final class Addresses: @unchecked Sendable {
  private let lock = Lock()
  private var held: Set<IPv4Address> = []
  private(set) var failures: [String] = []
  private(set) var count = 0
  func take(_ address: IPv4Address) {
    lock.withLock {
      count += 1
      if !held.insert(address).inserted { failures.append("\(address) twice") }
    }
  }
  func give(_ address: IPv4Address) { lock.withLock { _ = held.remove(address) } }
  func fail(_ text: String) { lock.withLock { failures.append(text) } }
}
