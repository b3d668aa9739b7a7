import CLinux
import System

/// A small file in vmrun's cache folder: what was found out once and is believed until it no longer fits. It is replaced in one rename,
/// and believed only when nobody but this user can have written it.
public struct CacheNote: Sendable {
  /// The folder; nil keeps nothing.
  public let folder: String?
  /// The file's name in it.
  public let name: String

  /// The note `name` in `folder`, which is made when it is first written.
  public init(_ name: String, folder: String? = CacheNote.folder()) {
    self.name = name
    self.folder = folder
  }

  /// `$XDG_CACHE_HOME/vmrun` (when that is absolute, as the XDG base directory specification demands), else `$HOME/.cache/vmrun`;
  /// nil when neither is set.
  public static func folder(xdgCacheHome: String?, home: String?) -> String? {
    if let base = xdgCacheHome, base.hasPrefix("/") { return base + "/vmrun" }
    if let home, home.hasPrefix("/") { return home + "/.cache/vmrun" }
    return nil
  }

  /// The folder by this process's environment.
  public static func folder() -> String? {
    // unsafe: getenv's strings are valid while nobody changes the environment, which vmrun never does.
    let base = unsafe getenv("XDG_CACHE_HOME").map { unsafe String(cString: $0) }
    let home = unsafe getenv("HOME").map { unsafe String(cString: $0) }
    return folder(xdgCacheHome: base, home: home)
  }

  /// Its bytes; nil when there is none that can be believed, or it is longer than `limit`.
  public func read(limit: Int) -> [UInt8]? {
    guard let folder,
      let file = try? FileDescriptor.open("\(folder)/\(name)", O_RDONLY | O_NOFOLLOW | O_NONBLOCK),
      let status = try? file.status(), clinux_s_isreg(status.st_mode), status.st_uid == geteuid(),
      status.st_mode & 0o022 == 0, status.st_size > 0, status.st_size <= limit
    else { return nil }
    return try? file.readBytes(Int(status.st_size), at: 0)
  }

  /// Writes it anew.
  /// - Throws: `SystemError`; `.notPermitted` when others own the folder or may write to it.
  public func write(_ bytes: [UInt8]) throws(SystemError) {
    guard let folder else { return }
    let place = try Folder(folder)
    let temporary = try place.createTemporary()
    do throws(SystemError) {
      try temporary.file.writeFully(bytes)
      try place.rename(temporary.name, to: name)
    } catch {
      place.remove(temporary.name)
      throw error
    }
  }
}
