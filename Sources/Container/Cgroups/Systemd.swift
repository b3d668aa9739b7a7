import CLinux
import OCI
import System

/// The service manager's interface org.freedesktop.systemd1 (org.freedesktop.systemd1(5)), as far as containers need it.
struct Systemd: ~Copyable {
  private var connection: DBusConnection

  private static let destination = "org.freedesktop.systemd1"
  private static let path = "/org/freedesktop/systemd1"
  private static let manager = "org.freedesktop.systemd1.Manager"

  init(_ connection: consuming DBusConnection) { self.connection = connection }

  /// Connects to the system's manager, or to the `user`'s: to its own socket, which needs no bus, else through the bus.
  static func connect(user: Bool) throws(ContainerError) -> Systemd {
    let addresses = addresses(
      user: user, runtime: variable("XDG_RUNTIME_DIR"), bus: variable("DBUS_SESSION_BUS_ADDRESS"))
    for address in addresses {
      // unsafe: an absolute path is NUL-terminated for the call; an abstract name is tried in any case.
      if address.name.first != 0, unsafe access(String(decoding: address.name, as: UTF8.self), F_OK) != 0 { continue }
      return Systemd(try DBusConnection.open(address.name, isBus: address.isBus))
    }
    throw ContainerError(
      .notSupported,
      user
        ? "no systemd user manager answers (is XDG_RUNTIME_DIR set, and a session running? loginctl enable-linger)"
        : "systemd does not run here (no /run/systemd/private); leave out --systemd-cgroup")
  }

  struct Address: Equatable {
    var name: [UInt8]
    var isBus: Bool
  }

  /// The sockets to try, in this order.
  static func addresses(user: Bool, runtime: String?, bus: String?) -> [Address] {
    guard user else {
      return [
        Address(name: Array("/run/systemd/private".utf8), isBus: false),
        Address(name: Array("/run/dbus/system_bus_socket".utf8), isBus: true),
      ]
    }
    var list: [Address] = []
    if let runtime, !runtime.isEmpty {
      list.append(Address(name: Array("\(runtime)/systemd/private".utf8), isBus: false))
    }
    for part in (bus ?? "").split(separator: ";") {
      let rules: [(String, [UInt8])] = [("unix:path=", []), ("unix:abstract=", [0])]
      for (prefix, lead) in rules where part.utf8.starts(with: prefix.utf8) {
        let name = part.utf8.dropFirst(prefix.utf8.count).prefix { $0 != UInt8(ascii: ",") }
        list.append(Address(name: lead + name, isBus: true))
      }
    }
    if let runtime, !runtime.isEmpty { list.append(Address(name: Array("\(runtime)/bus".utf8), isBus: true)) }
    return list
  }

  private static func variable(_ name: String) -> String? {
    // unsafe: the name is NUL-terminated; the text is copied before the environment can change.
    guard let text = unsafe getenv(name) else { return nil }
    return unsafe String(cString: text)
  }

  /// The manager's own cgroup, in whose tree its units lie; "" or "/" for the system's.
  mutating func controlGroup() throws(ContainerError) -> String {
    let reply = try connection.call(
      .call(
        Systemd.destination, Systemd.path, "org.freedesktop.DBus.Properties", "Get",
        [.string(Systemd.manager), .string("ControlGroup")]))
    guard case .variant(.string(let text))? = reply.body.first else { throw DBusReader.malformed }
    return text
  }

  private mutating func call(_ member: String, _ body: [DBusValue]) throws(ContainerError) -> DBusMessage {
    try connection.call(.call(Systemd.destination, Systemd.path, Systemd.manager, member, body))
  }

  /// Calls a method that starts a job, and waits until the job is done.
  private mutating func job(_ member: String, _ body: [DBusValue]) throws(ContainerError) {
    try connection.subscribe(interface: Systemd.manager, member: "JobRemoved")
    // On a bus the manager sends signals only while somebody asked for them.
    if connection.isBus { _ = try call("Subscribe", []) }
    let reply = try call(member, body)
    guard case .path(let job)? = reply.body.first else { throw DBusReader.malformed }
    while true {
      // u id, o job, s unit, s result
      let signal = try connection.signal("JobRemoved")
      guard signal.body.count == 4, signal.body[1] == .path(job) else { continue }
      guard case .string(let result) = signal.body[3] else { throw DBusReader.malformed }
      guard result == "done" else { throw ContainerError(.system, "systemd: \(member): the job ended as '\(result)'") }
      return
    }
  }

  /// Starts the scope with `properties`. A failed unit of the same name that was left behind is cleared first.
  mutating func startTransient(_ unit: String, _ properties: [SystemdProperty]) throws(ContainerError) {
    let body: [DBusValue] = [
      .string(unit), .string("replace"), .array("(sv)", properties.map { $0.encoded }), .array("(sa(sv))", []),
    ]
    do { try job("StartTransientUnit", body) } catch {
      guard error.kind == .exists else { throw error }
      _ = try? call("ResetFailedUnit", [.string(unit)])
      try job("StartTransientUnit", body)
    }
  }

  mutating func setProperties(_ unit: String, _ properties: [SystemdProperty]) throws(ContainerError) {
    _ = try call(
      "SetUnitProperties", [.string(unit), .boolean(true), .array("(sv)", properties.map { $0.encoded })])
  }

  /// Stops the unit and forgets it. That there is none is fine.
  mutating func stop(_ unit: String) throws(ContainerError) {
    do { try job("StopUnit", [.string(unit), .string("replace")]) } catch {
      guard error.kind == .notFound else { throw error }
    }
    // Only a unit that failed is still there to be reset.
    _ = try? call("ResetFailedUnit", [.string(unit)])
  }
}

extension Systemd {
  static func start(_ scope: SystemdScope, around pid: Int32, resources: Resources?, legacy: Bool, rootless: Bool)
    throws(ContainerError)
  {
    var properties = SystemdProperty.scope(scope, pid: pid, legacy: legacy)
    if let resources { properties += try SystemdProperty.limits(resources, legacy: legacy) }
    if !rootless {
      let policy = try DevicePolicy(resources?.devices ?? [])
      properties += SystemdProperty.devices(policy, devices: CgroupFolder("/proc").readIfThere("devices") ?? "")
    }
    var systemd = try Systemd.connect(user: scope.user)
    try systemd.startTransient(scope.unit, properties)
  }

  static func update(_ scope: SystemdScope, _ resources: Resources, legacy: Bool, rootless: Bool) throws(ContainerError)
  {
    var properties = try SystemdProperty.limits(resources, legacy: legacy)
    if !resources.devices.isEmpty, !rootless {
      let policy = try DevicePolicy(resources.devices)
      properties += SystemdProperty.devices(policy, devices: CgroupFolder("/proc").readIfThere("devices") ?? "")
    }
    if properties.isEmpty { return }
    var systemd = try Systemd.connect(user: scope.user)
    try systemd.setProperties(scope.unit, properties)
  }

  static func stop(_ scope: SystemdScope) throws(ContainerError) {
    var systemd = try Systemd.connect(user: scope.user)
    try systemd.stop(scope.unit)
  }
}
