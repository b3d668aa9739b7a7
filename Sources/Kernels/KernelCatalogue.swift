import Boot
import CLinux
import System

/// The kernels on this machine: those in /boot, and those in vmrun's cache folder.
public struct KernelCatalogue: Sendable {
  /// The folder whose vmlinuz-* are kernels.
  let bootFolder: String
  /// The folder that holds a folder for each fetched series, with boot/vmlinuz-* in it; nil when this user has none.
  let cacheFolder: String?

  /// A catalogue of these two folders.
  init(bootFolder: String, cacheFolder: String?) {
    self.bootFolder = bootFolder
    self.cacheFolder = cacheFolder
  }

  /// The catalogue of this machine and user.
  public static var standard: KernelCatalogue {
    KernelCatalogue(bootFolder: "/boot", cacheFolder: CacheFolder.path())
  }

  /// The kernels of this machine: the cache's first, the newest first in each.
  public static func find() -> [KernelEntry] { standard.entries() }

  /// The path of the kernel that the user calls `nameOrPath`: a path with '/' or the name of an existing file is itself; else
  /// the release of a kernel that `find` lists, or as much of its beginning as only one of them has ("6.12").
  /// - Throws: what is known instead, and how to get a kernel.
  public static func resolve(_ nameOrPath: String) throws(KernelsError) -> String {
    try standard.path(of: nameOrPath)
  }

  /// The kernel for a command that names none: the newest in the cache, else the newest in /boot that this user may read; nil
  /// when there is none.
  public static func defaultKernel() -> KernelEntry? { standard.preferred() }

  /// What is wrong when there is no default kernel, and what to type.
  public static let noKernel = """
    there is no kernel for it, neither in vmrun's cache nor, readable, in /boot. Get one: vmrun kernel fetch debian   (or give \
    one: --kernel FILE)
    """

  /// The version text in the header of the bzImage at `path`; nil when it is none or cannot be read.
  public static func version(of path: String) -> String? {
    guard let head = TextFile.read(path, limit: KernelImage.prefixCount), let size = Listing.fileSize(path),
      // unsafe: bytes have no padding that could be uninitialised.
      case .bzImage(let image)? = try? KernelImage.identify(unsafe head.span.bytes, fileSize: size)
    else { return nil }
    return image.kernelVersion
  }

  // MARK: The folders given

  /// The kernels: the cache's first, the newest first in each.
  func entries() -> [KernelEntry] {
    var cached: [KernelEntry] = []
    if let cacheFolder {
      for series in Listing.names(in: cacheFolder) where !series.hasPrefix(".") {
        cached += KernelCatalogue.kernels(in: "\(cacheFolder)/\(series)/boot", .cache)
      }
    }
    return KernelCatalogue.newestFirst(cached)
      + KernelCatalogue.newestFirst(KernelCatalogue.kernels(in: bootFolder, .boot))
  }

  func preferred() -> KernelEntry? { KernelCatalogue.preferred(of: entries()) }

  static func preferred(of entries: [KernelEntry]) -> KernelEntry? { entries.first { $0.isReadable } }

  func path(of nameOrPath: String) throws(KernelsError) -> String {
    guard !nameOrPath.utf8.isEmpty else { throw KernelsError("the kernel's name is empty") }
    if nameOrPath.utf8.contains(UInt8(ascii: "/")) || Listing.isFile(nameOrPath) { return nameOrPath }
    return try KernelCatalogue.match(nameOrPath, entries()).path
  }

  static func match(_ name: String, _ entries: [KernelEntry]) throws(KernelsError) -> KernelEntry {
    // By how much the user said: all of it, whole components of the version, any beginning.
    let exact = entries.filter { $0.name == name }
    let components = entries.filter { begins($0.name, with: name, atBorder: true) }
    let beginnings = entries.filter { begins($0.name, with: name, atBorder: false) }
    let found = !exact.isEmpty ? exact : !components.isEmpty ? components : beginnings
    guard let first = found.first else {
      guard !entries.isEmpty else {
        throw KernelsError(
          "\(name): there is no such file, and no kernel of that name: none is in vmrun's cache or in /boot. Get one: vmrun kernel fetch debian"
        )
      }
      throw KernelsError(
        "\(name): there is no such file, and no kernel of that name; there are \(list(entries)) (vmrun kernel list)")
    }
    // The same release in both places is one kernel; the one that can be read is meant.
    if let other = found.first(where: { $0.name != first.name }) {
      throw KernelsError(
        "\(name) names several kernels: \(first.name), \(other.name)\(found.count > 2 ? ", ..." : ""). Write more of it"
      )
    }
    return found.first { $0.isReadable } ?? first
  }

  private static func list(_ entries: [KernelEntry]) -> String {
    var text = ""
    var names: [String] = []
    for entry in entries where !names.contains(entry.name) { names.append(entry.name) }
    for (index, name) in names.prefix(6).enumerated() { text += (index == 0 ? "" : ", ") + name }
    return names.count > 6 ? text + ", ..." : text
  }

  private static func begins(_ name: String, with beginning: String, atBorder: Bool) -> Bool {
    let (name, beginning) = (Array(name.utf8), Array(beginning.utf8))
    guard name.starts(with: beginning) else { return false }
    if !atBorder || name.count == beginning.count { return true }
    // "6.1" is not the beginning of "6.12", but of "6.1.0" and "6.1-custom".
    return !(ReleaseOrder.isDigit(name[beginning.count]) && ReleaseOrder.isDigit(beginning[beginning.count - 1]))
  }

  private static func newestFirst(_ entries: [KernelEntry]) -> [KernelEntry] {
    entries.sorted { ReleaseOrder.isOlder($1.name, $0.name) }
  }

  private static func kernels(in folder: String, _ source: KernelEntry.Source) -> [KernelEntry] {
    var entries: [KernelEntry] = []
    let prefix = "vmlinuz-"
    for file in Listing.names(in: folder) where file.hasPrefix(prefix) && file.utf8.count > prefix.utf8.count {
      let path = "\(folder)/\(file)"
      guard let size = Listing.fileSize(path) else { continue }
      entries.append(
        KernelEntry(
          name: String(decoding: file.utf8.dropFirst(prefix.utf8.count), as: UTF8.self), path: path, source: source,
          size: size, isReadable: Listing.isReadable(path)))
    }
    return entries
  }
}

/// Where fetched kernels are kept.
public enum CacheFolder {
  /// `$XDG_CACHE_HOME/vmrun/debian` (when that is absolute, as the XDG base directory specification demands), else
  /// `$HOME/.cache/vmrun/debian`; nil when neither is set.
  public static func path() -> String? {
    // unsafe: getenv's strings are valid while nobody changes the environment, which vmrun never does.
    let base = unsafe getenv("XDG_CACHE_HOME").map { unsafe String(cString: $0) }
    let home = unsafe getenv("HOME").map { unsafe String(cString: $0) }
    return path(xdgCacheHome: base, home: home)
  }

  static func path(xdgCacheHome: String?, home: String?) -> String? {
    if let base = xdgCacheHome, base.hasPrefix("/") { return base + "/vmrun/debian" }
    if let home, home.hasPrefix("/") { return home + "/.cache/vmrun/debian" }
    return nil
  }
}
