import CLinux
import Container
import JSON
import OCI
import System

/// `vmrun spec`.
enum OCITemplateFile {
  /// Writes config.json into `--bundle`, or the current directory.
  /// - Throws: `.exists` when there is one.
  static func write(_ words: OCIWords) throws(ContainerError) {
    let folder = try checked { () throws(UsageError) in try words.path("--bundle") } ?? "."
    let path = "\(folder)/config.json"
    let isRootless = words.has("--rootless")
    let json = Spec.template(rootless: isRootless ? (user: geteuid(), group: getegid()) : nil)
    do throws(SystemError) {
      let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o666)
      try file.writeFully(json.serialized(pretty: true) + [UInt8(ascii: "\n")])
    } catch {
      if error.errno == .exists {
        throw ContainerError(.exists, "\(path) exists; remove it first, or give another folder: --bundle DIR")
      }
      throw ContainerError("", error)
    }
  }
}
