import CLinux
import Glibc
import System

/// A folder that goes with this object, with everything in it.
final class TemporaryFolder {
  let path: String

  init() throws {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? P_tmpdir
    path = "\(parent)/vmrun-tree-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    guard mkdir(path, 0o755) == 0 else { throw SystemError("mkdir", path, .current) }
  }

  deinit {
    let callback: __nftw_func_t = { path, _, kind, _ in
      guard let path else { return -1 }
      return kind == Int32(FTW_DP) ? rmdir(path) : unlink(path)
    }
    nftw(path, callback, 32, Int32(FTW_DEPTH | FTW_PHYS))
  }

  func folder(_ name: String, mode: mode_t = 0o755) throws {
    guard mkdir("\(path)/\(name)", mode) == 0, chmod("\(path)/\(name)", mode) == 0 else {
      throw SystemError("mkdir", name, .current)
    }
  }

  /// A file whose name is bytes.
  func file(_ name: [UInt8], _ bytes: [UInt8] = [], mode: mode_t = 0o644) throws {
    let full = (Array("\(path)/".utf8) + name + [0]).map { CChar(bitPattern: $0) }
    let raw = full.withUnsafeBufferPointer { clinux_open($0.baseAddress, O_CREAT | O_EXCL | O_WRONLY, 0o600) }
    guard raw >= 0 else { throw SystemError("open", String(decoding: name, as: UTF8.self), .current) }
    let descriptor = FileDescriptor(owning: raw)
    try descriptor.writeFully(bytes)
    guard fchmod(raw, mode) == 0 else { throw SystemError("fchmod", "", .current) }
  }

  func file(_ name: String, _ bytes: [UInt8] = [], mode: mode_t = 0o644) throws {
    try file(Array(name.utf8), bytes, mode: mode)
  }

  func link(_ name: String, to target: String) throws {
    guard symlink(target, "\(path)/\(name)") == 0 else { throw SystemError("symlink", name, .current) }
  }

  func hardLink(_ name: String, to other: String) throws {
    guard CLinux.link("\(path)/\(other)", "\(path)/\(name)") == 0 else { throw SystemError("link", name, .current) }
  }
}
