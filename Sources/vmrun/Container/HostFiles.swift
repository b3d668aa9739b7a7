import Network

/// The files that tell a container its own name and its neighbours'.
enum HostFiles {
  /// hosts(5): `lo`, the container, and those that were on the bridge when it started.
  static func hosts(
    name: String, address: IPv4Address, gateway: IPv4Address, neighbours: [BridgeNetwork.Neighbour]
  ) -> [UInt8] {
    var text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\(address)\t\(name)\n"
    text += "\(gateway)\thost.vmrun\n"
    for neighbour in neighbours where neighbour.name != name && isHostname(neighbour.name) {
      text += "\(neighbour.address)\t\(neighbour.name)\n"
    }
    return Array(text.utf8)
  }

  /// hostname(5).
  static func hostname(_ name: String) -> [UInt8] { Array("\(name)\n".utf8) }

  /// Whether `name` may stand in hosts(5): the neighbours' names come from the kernel's list of interfaces.
  static func isHostname(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= 64
      && name.utf8.allSatisfy {
        ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x41 && $0 <= 0x5A) || ($0 >= 0x61 && $0 <= 0x7A) || $0 == 0x2D
          || $0 == 0x2E
      }
  }
}
