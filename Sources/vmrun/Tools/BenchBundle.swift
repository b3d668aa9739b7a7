import CLinux
import JSON
import OCI

/// The OCI bundle from which other runtimes start the payload: what `vmrun --container` gives a container, as config.json.
enum BenchBundle {
  /// The text of config.json for the root directory `root`, an absolute path, and the command `words`.
  static func configuration(root: String, _ words: [String]) -> [UInt8] {
    var configuration = ContainerConfiguration(rootfs: root, arguments: words.map { Array($0.utf8) })
    configuration.hostname = "vmrun"
    // As root without files of subordinate IDs: such runtimes need root anyway, or say so themselves.
    let host = ContainerSpec.Host(user: geteuid(), group: getegid())
    let builder = ContainerSpec(configuration: configuration, host: host, root: root)
    guard let spec = try? builder.make(), case .object(var members) = spec.jsonForExec else { return [] }
    // Older runtimes refuse what they do not know.
    for index in members.indices where members[index].name == "ociVersion" { members[index].value = .string("1.0.2") }
    members.append(.init("hostname", .string("vmrun")))
    members.append(.init("mounts", .array(spec.mounts.map { mount($0) })))
    for index in members.indices where members[index].name == "linux" {
      guard case .object(var linux) = members[index].value else { continue }
      linux.append(.init("maskedPaths", strings(spec.linux.maskedPaths)))
      linux.append(.init("readonlyPaths", strings(spec.linux.readonlyPaths)))
      let nothing = JSON.object([.init("allow", .boolean(false)), .init("access", .string("rwm"))])
      linux.append(.init("resources", .object([.init("devices", .array([nothing]))])))
      members[index].value = .object(linux)
    }
    return JSON.object(members).serialized(pretty: true)
  }

  private static func mount(_ mount: Spec.Mount) -> JSON {
    .object([
      .init("destination", .string(mount.destination)), .init("type", .string(mount.type)),
      .init("source", .string(mount.source)), .init("options", strings(mount.options)),
    ])
  }

  private static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
}
