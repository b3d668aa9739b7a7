import JSON
import OCI
import System

/// What `state.json` keeps of a container between verbs. Written before anything of the container is made, so that whatever a
/// killed vmrun leaves behind can be found.
struct StateRecord: Equatable {
  var id: String
  /// `ociVersion` of the container's configuration.
  var version: String
  /// The first process; nil while the container is being created.
  var process: ProcessIdentity?
  /// When it was created, RFC 3339.
  var created: String
  var bundle: String
  var rootfs: String
  /// The user that created it.
  var owner: UInt32
  var annotations: [Spec.Annotation]
  var placement: CgroupPlacement
  var namespaces: [Linux.Namespace]
  /// Whether its configuration asks for something after the program's start: most need not be read again.
  var needsConfiguration = false
  /// Whether it is connected to vmrun's bridge.
  var usesBridge = false

  private static let format: Int64 = 1

  /// As JSON.
  var bytes: [UInt8] {
    var members: [JSON.Member] = [
      .init("format", .integer(Self.format)), .init("id", .string(id)), .init("ociVersion", .string(version)),
      .init("created", .string(created)), .init("bundle", .string(bundle)), .init("rootfs", .string(rootfs)),
      .init("owner", .integer(Int64(owner))),
    ]
    if let process {
      members.append(.init("pid", .integer(Int64(process.pid))))
      members.append(.init("startTicks", .unsigned(process.startTicks)))
    }
    if needsConfiguration { members.append(.init("needsConfiguration", .boolean(true))) }
    if usesBridge { members.append(.init("bridge", .boolean(true))) }
    members.append(.init("cgroup", placement.json))
    members.append(
      .init(
        "namespaces",
        .array(
          namespaces.map { namespace in
            var entry: [JSON.Member] = [.init("type", .string(namespace.type.name))]
            if let path = namespace.path { entry.append(.init("path", .string(path))) }
            return .object(entry)
          })))
    members.append(.init("annotations", .object(annotations.map { .init($0.name, .string($0.value)) })))
    return JSON.object(members).serialized(pretty: false)
  }

  /// A record with everything in it.
  init(
    id: String, version: String, created: String, bundle: String, rootfs: String, owner: UInt32,
    annotations: [Spec.Annotation], placement: CgroupPlacement, namespaces: [Linux.Namespace]
  ) {
    self.id = id
    self.version = version
    self.created = created
    self.bundle = bundle
    self.rootfs = rootfs
    self.owner = owner
    self.annotations = annotations
    self.placement = placement
    self.namespaces = namespaces
  }

  /// Reads what `bytes` wrote.
  init(decoding bytes: [UInt8], of id: String) throws(ContainerError) {
    let json: JSON
    do throws(JSONError) { json = try JSON.parse(bytes) } catch {
      throw ContainerError(.system, "container '\(id)': its state is damaged: \(error)")
    }
    guard case .integer(Self.format)? = json["format"], case .string(let name)? = json["id"],
      case .string(let version)? = json["ociVersion"], case .string(let created)? = json["created"],
      case .string(let bundle)? = json["bundle"], case .string(let rootfs)? = json["rootfs"],
      case .integer(let owner)? = json["owner"], let owner = UInt32(exactly: owner), let cgroup = json["cgroup"],
      case .array(let spaces)? = json["namespaces"], case .object(let notes)? = json["annotations"]
    else { throw ContainerError(.system, "container '\(id)': its state is damaged; vmrun delete --force \(id)") }
    var namespaces: [Linux.Namespace] = []
    for space in spaces {
      guard case .string(let type)? = space["type"],
        let type = Linux.NamespaceType.allCases.first(where: { $0.name == type })
      else { continue }
      if case .string(let path)? = space["path"] {
        namespaces.append(.init(type, path: path))
      } else {
        namespaces.append(.init(type))
      }
    }
    var annotations: [Spec.Annotation] = []
    for note in notes {
      if case .string(let value) = note.value { annotations.append(.init(name: note.name, value: value)) }
    }
    self.init(
      id: name, version: version, created: created, bundle: bundle, rootfs: rootfs, owner: owner,
      annotations: annotations, placement: try CgroupPlacement(json: cgroup), namespaces: namespaces)
    if case .integer(let pid)? = json["pid"], let pid = Int32(exactly: pid) {
      switch json["startTicks"] {
      case .integer(let ticks)?: process = ProcessIdentity(pid: pid, startTicks: UInt64(max(0, ticks)))
      case .unsigned(let ticks)?: process = ProcessIdentity(pid: pid, startTicks: ticks)
      default: break
      }
    }
    if case .boolean(true)? = json["needsConfiguration"] { needsConfiguration = true }
    if case .boolean(true)? = json["bridge"] { usesBridge = true }
  }
}

extension StateFolder {
  /// The container's record.
  /// - Throws: `.notFound` when a killed vmrun left none.
  borrowing func record() throws(ContainerError) -> StateRecord {
    guard let bytes = try read("state.json") else {
      throw ContainerError(
        .notFound, "container '\(id)' has no state: its creation was cut off; vmrun delete --force \(id)")
    }
    return try StateRecord(decoding: bytes, of: id)
  }

  borrowing func save(_ record: StateRecord) throws(ContainerError) { try write("state.json", record.bytes) }
}

/// Where a container is in its life (OCI runtime specification, "State").
public enum ContainerState: UInt8, Equatable, Sendable {
  case creating, created, running, stopped, paused

  /// As `status` of the state's JSON.
  public var name: String {
    switch self {
    case .creating: return "creating"
    case .created: return "created"
    case .running: return "running"
    case .stopped: return "stopped"
    case .paused: return "paused"
    }
  }
}

/// What `state` and `list` tell about a container.
public struct ContainerStatus: Equatable, Sendable {
  public var version: String
  public var id: String
  public var status: ContainerState
  /// 0 when it has none.
  public var pid: Int32
  public var bundle: String
  public var rootfs: String
  /// RFC 3339.
  public var created: String
  public var annotations: [Spec.Annotation]
  /// User ID of who created it.
  public var owner: UInt32

  init(_ record: StateRecord, _ status: ContainerState) {
    version = record.version
    id = record.id
    self.status = status
    pid = status == .stopped ? 0 : record.process?.pid ?? 0
    bundle = record.bundle
    rootfs = record.rootfs
    created = record.created
    annotations = record.annotations
    owner = record.owner
  }

  /// The state as the runtime specification's JSON: what hooks read, and `vmrun state` prints.
  public func json(status: ContainerState? = nil) -> JSON {
    let status = status ?? self.status
    var members: [JSON.Member] = [
      .init("ociVersion", .string(version)), .init("id", .string(id)), .init("status", .string(status.name)),
    ]
    if status != .stopped { members.append(.init("pid", .integer(Int64(pid)))) }
    members.append(.init("bundle", .string(bundle)))
    if !annotations.isEmpty {
      members.append(.init("annotations", .object(annotations.map { .init($0.name, .string($0.value)) })))
    }
    return .object(members)
  }
}
