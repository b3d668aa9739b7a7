import CContainer
import CLinux
import System

/// Interfaces of the host that a container takes over (`linux.netDevices`, OCI runtime specification 1.3, "Network Devices").
public enum NetworkDevices {
  /// Moves interface `hostName` of the calling thread's network namespace into `namespace`, where it is called `name` (empty: as
  /// before; with "%d" the kernel counts), gets back its permanent global addresses of every family (the kernel drops them
  /// on the way) and is switched on. Routes that are not an address's own subnet are the container's business, as the
  /// specification leaves them out. When the container ends the kernel does what it does with a namespace's
  /// interfaces: physical ones return, virtual ones go.
  /// - Throws: `NetworkError` when there is no such interface, the name is taken, or the interface cannot be moved.
  public static func move(
    hostName: String, name: String = "", into namespace: borrowing NetworkNamespace
  ) throws(NetworkError) {
    let newName = name.isEmpty ? hostName : name
    try check(hostName, "linux.netDevices")
    try check(newName, "linux.netDevices.\(hostName).name")
    var host = try NetlinkSocket()
    guard let link = try host.link(hostName) else {
      throw NetworkError("linux.netDevices: there is no network interface '\(hostName)'")
    }
    let kept = try host.addresses(of: link.index).filter {
      $0.flags & UInt32(IFA_F_PERMANENT) != 0 && $0.scope == UInt8(RT_SCOPE_UNIVERSE.rawValue)
    }
    var inside = try namespace.inside { () throws(NetworkError) in try NetlinkSocket() }
    let isTemplate = newName.utf8.contains(UInt8(ascii: "%"))
    let before = isTemplate ? try inside.links().map { $0.name } : []
    if !isTemplate, try inside.link(newName) != nil {
      throw NetworkError("linux.netDevices.\(hostName): the container has an interface '\(newName)' already")
    }
    try host.execute([.setUp(link.index, false, hostName)])
    if let refusal = try host.perform([
      .move(link.index, hostName, as: newName, namespace: namespace.descriptor.rawValue)
    ]) {
      // What was down before stays down; the rest is as it was.
      if link.flags & UInt32(IFF_UP) != 0 { _ = try host.perform([.setUp(link.index, true, hostName)]) }
      _ = try host.perform(kept.map { $0.copied(to: link.index, hostName) })
      throw refusal.error
    }
    let moved = isTemplate ? try inside.links().first { !before.contains($0.name) } : try inside.link(newName)
    guard let moved else { throw NetworkError("linux.netDevices.\(hostName): the interface did not arrive") }
    try inside.execute(kept.map { $0.copied(to: moved.index, moved.name) } + [.setUp(moved.index, true, moved.name)])
  }

  /// Interface names as dev_valid_name takes them.
  static func check(_ name: String, _ what: String) throws(NetworkError) {
    let bytes = Array(name.utf8)
    let isValid =
      !bytes.isEmpty && bytes.count < Int(IFNAMSIZ) && name != "." && name != ".."
      && bytes.allSatisfy { $0 > 0x20 && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") && $0 != 0x7F }
    if !isValid {
      throw NetworkError("\(what): '\(name)' is no interface name (1 to 15 bytes without spaces, '/' and ':')")
    }
  }
}

extension NetlinkSocket {
  /// All interfaces of the namespace.
  mutating func links() throws(NetworkError) -> [Link] {
    try dump(.listPorts(of: 0), type: RTM_NEWLINK).compactMap { Link($0) }
  }
}
