import CContainer
import CLinux

/// An Ethernet address.
struct HardwareAddress: Equatable, Sendable {
  let bytes: [UInt8]

  /// The locally administered unicast address that belongs to `address`: an entry of a neighbour table or of a bridge stays
  /// right when an address goes to another container.
  init(for address: IPv4Address) { bytes = Self.prefix + address.bytes }

  /// Whether it is one that vmrun gave.
  static func isOurs(_ bytes: [UInt8]) -> Bool { bytes.count == 6 && bytes.starts(with: prefix) }

  private static let prefix: [UInt8] = [0x02, 0x76]
}

/// The requests that vmrun makes about interfaces, addresses and routes.
extension NetlinkMessage {
  private static let new = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL

  /// Makes a bridge (IFLA_INFO_KIND "bridge") with a fixed hardware address, which would else change with its ports.
  static func makeBridge(_ name: String, address: HardwareAddress) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_NEWLINK, flags: new, "make bridge \(name)")
    message.append(ifinfomsg())
    message.attribute(IFLA_IFNAME, name)
    message.attribute(IFLA_ADDRESS, address.bytes)
    message.nested(IFLA_LINKINFO) { info in
      info.attribute(IFLA_INFO_KIND, Array("bridge".utf8))
    }
    return message
  }

  /// Makes a pair of interfaces: `name` here, as a port of `bridge` and already up, and `peer` in the network namespace that
  /// descriptor `namespace` refers to.
  static func makePair(
    _ name: String, bridge: UInt32, peer: String, address: HardwareAddress, namespace: Int32
  ) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_NEWLINK, flags: new, "make the pair of interfaces \(name)")
    message.append(ifinfomsg(up: true))
    message.attribute(IFLA_IFNAME, name)
    message.attribute(IFLA_MASTER, bridge)
    message.nested(IFLA_LINKINFO) { info in
      info.attribute(IFLA_INFO_KIND, Array("veth".utf8))
      info.nested(IFLA_INFO_DATA) { data in
        data.nested(VETH_INFO_PEER) { end in
          end.append(CContainer.ifinfomsg())
          end.attribute(IFLA_IFNAME, peer)
          end.attribute(IFLA_ADDRESS, address.bytes)
          end.attribute(IFLA_NET_NS_FD, UInt32(bitPattern: namespace))
        }
      }
    }
    return message
  }

  /// Notes `text` at interface `name` (IFLA_IFALIAS): at most 255 bytes.
  static func setAlias(_ name: String, _ text: String) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_NEWLINK, flags: NLM_F_ACK, "set the alias of \(name)")
    message.append(ifinfomsg())
    message.attribute(IFLA_IFNAME, name)
    message.attribute(IFLA_IFALIAS, Array(text.utf8))
    return message
  }

  /// Switches interface `index` on or off.
  static func setUp(_ index: UInt32, _ up: Bool, _ name: String) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_NEWLINK, flags: NLM_F_ACK, "set \(name) \(up ? "up" : "down")")
    message.append(ifinfomsg(index, up: up))
    return message
  }

  /// Switches the interface of that name on.
  static func setUp(_ name: String) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_NEWLINK, flags: NLM_F_ACK, "set \(name) up")
    message.append(ifinfomsg(up: true))
    message.attribute(IFLA_IFNAME, name)
    return message
  }

  /// Moves interface `index`, which is down, to the network namespace of descriptor `namespace` under the name `name`, both at
  /// once, so that no name of this namespace is ever in the way.
  static func move(_ index: UInt32, _ hostName: String, as name: String, namespace: Int32) -> NetlinkMessage {
    var message = NetlinkMessage(
      RTM_NEWLINK, flags: NLM_F_ACK, "move \(hostName) into the container as \(name)")
    message.append(ifinfomsg(index))
    message.attribute(IFLA_NET_NS_FD, UInt32(bitPattern: namespace))
    message.attribute(IFLA_IFNAME, name)
    return message
  }

  /// Removes an interface, and the other end of a pair with it.
  static func removeLink(_ index: UInt32, _ name: String) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_DELLINK, flags: NLM_F_ACK, "remove \(name)")
    message.append(ifinfomsg(index))
    return message
  }

  /// Adds an address to interface `index`, with a broadcast address as the whole subnet's.
  static func addAddress(_ address: IPv4Address, length: UInt8, index: UInt32, _ name: String) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_NEWADDR, flags: new, "add address \(address)/\(length) to \(name)")
    message.append(
      ifaddrmsg(
        ifa_family: UInt8(AF_INET), ifa_prefixlen: length, ifa_flags: 0, ifa_scope: UInt8(RT_SCOPE_UNIVERSE.rawValue),
        ifa_index: index))
    message.attribute(IFA_LOCAL, address.bytes)
    message.attribute(IFA_ADDRESS, address.bytes)
    let host: UInt32 = length >= 32 ? 0 : ~0 >> UInt32(length)
    if length < 31 { message.attribute(IFA_BROADCAST, IPv4Address(address.value | host).bytes) }
    return message
  }

  /// Sends what has no better route to `gateway`, through interface `index`.
  static func addDefaultRoute(_ gateway: IPv4Address, index: UInt32) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_NEWROUTE, flags: new, "add the default route by \(gateway)")
    message.append(
      rtmsg(
        rtm_family: UInt8(AF_INET), rtm_dst_len: 0, rtm_src_len: 0, rtm_tos: 0,
        rtm_table: UInt8(RT_TABLE_MAIN.rawValue), rtm_protocol: UInt8(RTPROT_BOOT),
        rtm_scope: UInt8(RT_SCOPE_UNIVERSE.rawValue), rtm_type: UInt8(RTN_UNICAST), rtm_flags: 0))
    message.attribute(Int(RTA_GATEWAY.rawValue), gateway.bytes)
    message.attribute(Int(RTA_OIF.rawValue), index)
    return message
  }

  // MARK: Questions

  /// Asks for the interface of that name.
  static func findLink(_ name: String) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_GETLINK, flags: 0, "find interface \(name)")
    message.append(ifinfomsg())
    message.attribute(IFLA_IFNAME, name)
    return message
  }

  /// Asks for the ports of bridge `index`.
  static func listPorts(of index: UInt32) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_GETLINK, flags: NLM_F_DUMP, "list a bridge's ports")
    message.append(ifinfomsg())
    message.attribute(IFLA_MASTER, index)
    return message
  }

  /// Asks for all addresses of address family `family`, 0 for all.
  static func listAddresses(family: UInt8) -> NetlinkMessage {
    var message = NetlinkMessage(RTM_GETADDR, flags: NLM_F_DUMP, "list addresses")
    message.append(ifaddrmsg(ifa_family: family, ifa_prefixlen: 0, ifa_flags: 0, ifa_scope: 0, ifa_index: 0))
    return message
  }

  /// Asks for all IPv4 routes of all tables.
  static func listRoutes() -> NetlinkMessage {
    var message = NetlinkMessage(RTM_GETROUTE, flags: NLM_F_DUMP, "list routes")
    var header = rtmsg()
    header.rtm_family = UInt8(AF_INET)
    message.append(header)
    return message
  }

  /// The fixed part about an interface; index 0 leaves it to the attributes.
  private static func ifinfomsg(_ index: UInt32 = 0, up: Bool? = nil) -> ifinfomsg {
    var part = CContainer.ifinfomsg()
    part.ifi_index = Int32(bitPattern: index)
    if let up {
      part.ifi_flags = up ? UInt32(IFF_UP) : 0
      part.ifi_change = UInt32(IFF_UP)
    }
    return part
  }
}
