import CContainer
import CLinux
import System

/// The folder in which a bench keeps what its arms start from: copies of vmrun as launcher and as payload, a root directory, bundles.
public final class Stage {
  /// Its absolute path.
  public let folder: String
  /// Whether it stays when the bench is over.
  public let isKept: Bool
  /// Commands that give back what is kept elsewhere, such as an image in docker's store.
  var closing: [[String]] = []

  /// The launcher of vmrun's own arms: a copy, so that its pages can be dropped from memory though the bench itself runs.
  var launcher: String { "\(folder)/bin/vmrun" }
  /// The root directory of containers and of the Linux guest.
  var root: String { "\(folder)/root" }
  /// The payload, as the host sees it and as the others do.
  var payload: String { "\(folder)/root/payload" }
  static let payloadInside = "/payload"

  /// Makes the folder `path`, which is kept; or, for nil, one for temporary files. /var/tmp is on a disk, unlike /tmp on many systems.
  public init(_ path: String?) throws(BenchError) {
    if let path {
      try Files.makeFolder(path)
      // unsafe: the path is NUL-terminated for the call, and what realpath returns is freed here.
      guard let real = unsafe realpath(path, nil) else { throw BenchError("\(path): \(Errno.current)") }
      defer { unsafe free(real) }
      folder = unsafe String(cString: real)
      guard Files.names(in: folder).isEmpty else { throw BenchError("--folder \(path): it is not empty") }
      isKept = true
    } else {
      // unsafe: getenv returns a NUL-terminated string that stays valid, since vmrun never changes its environment.
      let base = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/var/tmp"
      var template = Array("\(base)/vmrun-bench.XXXXXX".utf8) + [0]
      // unsafe: the template ends in NUL and is changed in place; characters and bytes have one layout.
      let made = unsafe template.withUnsafeMutableBytes { bytes in
        guard let start = bytes.baseAddress else { return false }
        return unsafe mkdtemp(start.assumingMemoryBound(to: CChar.self)) != nil
      }
      guard made else { throw BenchError("make a folder in \(base): \(Errno.current)") }
      folder = String(decoding: template.dropLast(), as: UTF8.self)
      isKept = false
    }
    // A user namespace's root must be able to enter it.
    // unsafe: the path is NUL-terminated for the call.
    _ = unsafe chmod(folder, 0o755)
  }

  /// Puts copies of the running program, and a link to its `helper` where there is one, into the folder.
  public func fill(helper: String?) throws(BenchError) {
    let own = "/proc/self/exe"
    for name in ["bin", "root"] { try Files.makeFolder("\(folder)/\(name)") }
    // Where they are missing, a runtime would make them at its first start.
    for name in ["proc", "sys", "dev", "tmp", "etc"] { try Files.makeFolder("\(root)/\(name)") }
    try Files.copy(own, to: launcher, mode: 0o755)
    try Files.copy(own, to: payload, mode: 0o755)
    guard let helper else { return }
    // unsafe: the paths are NUL-terminated for the call.
    _ = unsafe symlink(helper, "\(folder)/bin/vmrun-libvirt")
  }

  /// Gives back all that the bench made, unless it is to be kept.
  public func close() {
    for command in closing {
      _ = Program.run(command.map { Array($0.utf8) }, environment: Surroundings.variables(), timeout: 30_000_000_000)
    }
    closing = []
    if !isKept { Files.removeTree(folder) }
  }
}
