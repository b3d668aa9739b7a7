import CContainer
import CLinux
import System

/// The network of `--net bridge`: every container has an interface `eth0` of its own, and all of them and the host are ports of
/// one bridge, `vmrun0`.
///
/// There is no list of leases that a crash could leave wrong: **the kernel's interfaces are the list.** A container's address is
/// in the name of the host's end of its pair, `vmrun` and eight hexadecimal digits; names are unique, and the kernel
/// removes the pair with the container's network namespace, however vmrun and the container ended. The bridge's subnet is its
/// own address. What remains to be kept in order is only that nobody removes the last bridge while another adds a port:
/// that is what the lock is for, which the kernel gives back as well.
///
/// Nothing forwards between the bridge and other networks: no address translation, no packet filter rules.
public struct BridgeNetwork: Sendable {
  /// The bridge's name.
  public static let bridgeName = "vmrun0"
  /// The name of a container's interface.
  public static let interfaceName = "eth0"
  static let portPrefix = "vmrun"
  /// Subnets have 1022 addresses for containers, as many as a bridge has ports (BR_MAX_PORTS is 1023).
  static let subnetLength: UInt8 = 22
  static let mostPorts = 1023

  private let folder: String

  /// The bridge of the calling thread's network namespace, with its lock in `folder`, which is made when it is missing.
  public init(folder: String) { self.folder = folder }

  /// Where a container is on the network.
  public struct Connection: ~Copyable {
    /// The container's network namespace, with `lo` and `eth0` up.
    public let namespace: NetworkNamespace
    public let address: IPv4Address
    /// The host's address, which is also the default route.
    public let gateway: IPv4Address
    public let subnetLength: UInt8
    /// The containers that were on the bridge already, by the names that they were connected under.
    public let neighbours: [Neighbour]
    /// The host's end of the pair.
    public let port: String
  }

  /// Another container on the bridge.
  public struct Neighbour: Equatable, Sendable {
    public let name: String
    public let address: IPv4Address

    /// `name` at `address`.
    public init(name: String, address: IPv4Address) {
      self.name = name
      self.address = address
    }
  }

  /// Makes a network namespace that is connected under `name` (1 to 200 bytes; what its neighbours call it). The bridge is made
  /// when this is the first. The connection lasts as long as the namespace: until `disconnect`, or until no process and no
  /// descriptor is left in it.
  /// - Throws: `NetworkError` without CAP_NET_ADMIN and CAP_SYS_ADMIN over the calling thread's network namespace, when no private
  ///   subnet is free, or when the bridge is full.
  public func connect(name: String) throws(NetworkError) -> Connection {
    let namespace = try NetworkNamespace.make()
    var host = try NetlinkSocket()
    let lease = try BridgeLock(folder: folder).hold { () throws(NetworkError) in
      try Self.lease(name, namespace.descriptor.rawValue, &host)
    }
    try Self.configure(namespace, address: lease.address, gateway: lease.gateway)
    return Connection(
      namespace: namespace, address: lease.address, gateway: lease.gateway, subnetLength: Self.subnetLength,
      neighbours: lease.neighbours, port: Self.port(for: lease.address))
  }

  private struct Lease {
    let address: IPv4Address
    let gateway: IPv4Address
    let neighbours: [Neighbour]
  }

  /// Takes the lowest free address by making the pair of interfaces that is named after it. Under the lock.
  private static func lease(
    _ name: String, _ namespace: Int32, _ host: inout NetlinkSocket
  ) throws(NetworkError) -> Lease {
    let bridge = try bridge(&host)
    let ports = try host.ports(of: bridge.index)
    var taken = Set(ports.compactMap { Self.address(ofPort: $0.name) })
    taken.insert(bridge.address)
    while ports.count < mostPorts, let address = bridge.firstFree(taken) {
      let port = port(for: address)
      let refusal = try host.perform([
        .makePair(
          port, bridge: bridge.index, peer: interfaceName, address: HardwareAddress(for: address), namespace: namespace)
      ])
      if let refusal {
        // Taken by a container that is no port any more, because somebody else removed the bridge under it.
        guard refusal.errno == Errno.exists else { throw refusal.error }
        taken.insert(address)
      } else {
        try host.execute([.setAlias(port, name)])
        let neighbours = ports.compactMap { port in
          port.alias.isEmpty ? nil : Self.address(ofPort: port.name).map { Neighbour(name: port.alias, address: $0) }
        }
        return Lease(address: address, gateway: bridge.address, neighbours: neighbours)
      }
    }
    throw NetworkError("\(bridgeName) is full: it has \(mostPorts) ports")
  }

  /// Ends a connection, and the bridge with the last one. The container's processes are to be gone.
  public func disconnect(_ connection: borrowing Connection) throws(NetworkError) {
    try removePort(connection.port)
  }

  /// Removes the bridge when no container is left on it: after something that was killed. Harmless at any time, and cheap
  /// when there is no bridge.
  public func sweep() throws(NetworkError) { try removePort(nil) }

  /// Removes `port`, if there still is one, and then the bridge if it has no other.
  private func removePort(_ port: String?) throws(NetworkError) {
    var host = try NetlinkSocket()
    guard try host.link(Self.bridgeName) != nil else { return }
    try BridgeLock(folder: folder).hold { () throws(NetworkError) in
      guard let bridge = try host.link(Self.bridgeName), Self.isOurs(bridge) else { return }
      let ports = try host.ports(of: bridge.index)
      var requests: [NetlinkMessage] = []
      if let port, let link = ports.first(where: { $0.name == port }) {
        requests.append(.removeLink(link.index, link.name))
      }
      if ports.allSatisfy({ $0.name == port }) { requests.append(.removeLink(bridge.index, bridge.name)) }
      // The kernel may have removed the pair by itself meanwhile, since its namespace is gone.
      for request in requests {
        if let refusal = try host.perform([request]), refusal.errno != Errno(rawValue: ENODEV) { throw refusal.error }
      }
    }
  }

  /// lo and eth0 up, address, default route; the socket alone is inside.
  private static func configure(
    _ namespace: borrowing NetworkNamespace, address: IPv4Address, gateway: IPv4Address
  ) throws(NetworkError) {
    var inside = try namespace.inside { () throws(NetworkError) in try NetlinkSocket() }
    guard let link = try inside.link(interfaceName) else {
      throw NetworkError("the container's end of the pair of interfaces is not there")
    }
    try inside.execute([
      .setUp("lo"), .addAddress(address, length: subnetLength, index: link.index, interfaceName),
      .setUp(link.index, true, interfaceName), .addDefaultRoute(gateway, index: link.index),
    ])
  }

  // MARK: The bridge

  struct Bridge: Equatable {
    let index: UInt32
    let address: IPv4Address
    let subnet: IPv4Prefix

    /// The lowest address of the subnet that is not in `taken`.
    func firstFree(_ taken: Set<IPv4Address>) -> IPv4Address? {
      // Without the subnet's own address and the broadcast address.
      for offset in 1..<max(2, subnet.count - 1) {
        let candidate = IPv4Address(subnet.base.value + UInt32(offset))
        if !taken.contains(candidate) { return candidate }
      }
      return nil
    }
  }

  /// The bridge, made when it is missing, and finished when whoever made it was killed in the middle. Under the lock.
  private static func bridge(_ host: inout NetlinkSocket) throws(NetworkError) -> Bridge {
    if let link = try host.link(bridgeName) {
      guard isOurs(link) else {
        throw NetworkError("there is an interface \(bridgeName) already that vmrun did not make; rename it")
      }
      for address in try host.addresses(of: link.index, family: UInt8(AF_INET)) {
        if let (own, subnet) = address.prefix, subnet.length == subnetLength {
          return Bridge(index: link.index, address: own, subnet: subnet)
        }
      }
      try host.execute([.removeLink(link.index, bridgeName)])
    }
    guard let subnet = Subnets.choose(avoiding: try host.destinations()) else {
      throw NetworkError(
        "no private subnet is free for \(bridgeName): routes of this host cover 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16"
      )
    }
    let address = IPv4Address(subnet.base.value + 1)
    try host.execute([.makeBridge(bridgeName, address: HardwareAddress(for: address))])
    guard let link = try host.link(bridgeName) else { throw NetworkError("\(bridgeName) vanished") }
    // The address last: a bridge that has it is complete.
    try host.execute([
      .setUp(link.index, true, bridgeName), .addAddress(address, length: subnetLength, index: link.index, bridgeName),
    ])
    return Bridge(index: link.index, address: address, subnet: subnet)
  }

  /// Known by its hardware address, which it has from its first moment on.
  private static func isOurs(_ link: Link) -> Bool {
    link.kind == "bridge" && HardwareAddress.isOurs(link.hardwareAddress)
  }

  // MARK: Names

  /// "vmrun0a590002": 13 bytes of the 15 that a name may have.
  static func port(for address: IPv4Address) -> String {
    let digits = String(address.value, radix: 16)
    return portPrefix + String(repeating: "0", count: 8 - digits.utf8.count) + digits
  }

  /// The address in a port's name; nil for another interface.
  static func address(ofPort name: String) -> IPv4Address? {
    guard name.hasPrefix(portPrefix) else { return nil }
    let digits = name.utf8.dropFirst(portPrefix.utf8.count)
    let isHexadecimal = digits.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    guard digits.count == 8, isHexadecimal, let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { return nil }
    return IPv4Address(value)
  }
}

/// Private subnets (RFC 1918) that a bridge may take.
enum Subnets {
  /// The first candidate that no route leads to; nil when all are taken. Default routes, whole or in halves, do not count.
  static func choose(avoiding routes: [IPv4Prefix]) -> IPv4Prefix? {
    let used = routes.filter { $0.length > 1 }
    return candidates.first { candidate in !used.contains { $0.overlaps(candidate) } }
  }

  /// Away from what docker (172.17 and up), podman (10.88 and up) and libvirt (192.168.122) take by themselves.
  static let candidates: [IPv4Prefix] = {
    var list: [IPv4Address] = []
    for second in UInt8(213)...245 { list.append(IPv4Address(10, second, 0, 0)) }
    for second in UInt8(24)...31 { list.append(IPv4Address(172, second, 76, 0)) }
    for third in stride(from: UInt8(200), through: 252, by: 4) { list.append(IPv4Address(192, 168, third, 0)) }
    return list.compactMap { IPv4Prefix($0, length: BridgeNetwork.subnetLength) }
  }()
}
