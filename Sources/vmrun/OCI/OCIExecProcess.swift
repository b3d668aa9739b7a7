import Container
import JSON
import OCI

/// The process of `vmrun exec`.
enum OCIExecProcess {
  /// From `--process FILE`, or from the container's own, `base`, with the command line's words put in.
  static func make(_ words: OCIWords, base: () throws(ContainerError) -> Process) throws(ContainerError) -> Process {
    let command = Array(words.operands.dropFirst())
    if let path = try checked({ () throws(UsageError) in try words.path("--process") }) {
      guard command.isEmpty else {
        throw ContainerError(.invalid, "exec: a command and --process exclude each other")
      }
      var process = try OCIInput.decode(path, OCIInput.read(path)) { (json) throws(SpecError) in
        try Process(decoding: json)
      }
      // conmon says both.
      if words.has("--tty") { process.terminal = true }
      return process
    }
    guard let program = command.first, !program.isEmpty else {
      throw ContainerError(.invalid, "exec: what is to run? vmrun exec [options] ID CMD [ARGS], or --process FILE")
    }
    var process = try base()
    process.args = command
    process.terminal = words.has("--tty")
    process.consoleSize = nil
    try checked { () throws(UsageError) in try apply(words, to: &process) }
    return process
  }

  private static func apply(_ words: OCIWords, to process: inout Process) throws(UsageError) {
    if let folder = words.value("--cwd") {
      guard folder.utf8.first == UInt8(ascii: "/") else {
        throw UsageError("--cwd \(folder): the path must be absolute in the container")
      }
      process.cwd = folder
    }
    for variable in words.values("--env") {
      guard let equals = variable.utf8.firstIndex(of: UInt8(ascii: "=")), equals != variable.utf8.startIndex else {
        throw UsageError("--env \(variable): expected NAME=VALUE")
      }
      let name = variable.utf8[...equals]
      process.env.removeAll { $0.starts(with: name) }
      process.env.append(Array(variable.utf8))
    }
    if let user = words.value("--user") {
      let parts = user.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count <= 2, let uid = id(parts[0]), let gid = parts.count == 2 ? id(parts[1]) : process.user.gid
      else {
        throw UsageError("--user \(user): expected numbers: UID or UID:GID")
      }
      (process.user.uid, process.user.gid) = (uid, gid)
    }
    for group in words.values("--additional-gids") {
      guard let gid = id(Substring(group)) else { throw UsageError("--additional-gids \(group): expected a number") }
      process.user.additionalGids.append(gid)
    }
    for name in words.values("--cap") {
      guard let number = CapabilityName.number(of: name) else {
        throw UsageError("--cap \(name): unknown; expected for example CAP_NET_ADMIN")
      }
      var capabilities = process.capabilities ?? Process.Capabilities()
      capabilities.bounding |= 1 << UInt64(number)
      capabilities.effective |= 1 << UInt64(number)
      capabilities.permitted |= 1 << UInt64(number)
      process.capabilities = capabilities
    }
    if words.has("--no-new-privs") { process.noNewPrivileges = true }
    if let profile = words.value("--apparmor") { process.apparmorProfile = profile }
    if let label = words.value("--process-label") { process.selinuxLabel = label }
  }

  /// 2^32 - 1 means "unchanged" to the kernel.
  private static func id(_ text: Substring) -> UInt32? {
    guard let id = UInt32(String(text)), id != .max else { return nil }
    return id
  }
}
