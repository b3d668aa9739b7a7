import CContainer
import CLinux
import System

/// Fetches Debian's cloud kernels through apt into the cache folder, without rights of root.
///
/// A series has the folder SERIES in the cache, with what the package holds (boot/vmlinuz-RELEASE, boot/config-RELEASE,
/// lib/modules/RELEASE) and a file `complete` with the release in it. It appears by one rename; whoever fetches holds the
/// lock file `lock` of the cache. `Scripts/kernel` keeps to the same layout.
public struct KernelFetch {
  /// A series of kernels, and the package that depends on its newest one.
  public enum Series: String, CaseIterable, Sendable {
    case six1 = "6.1"
    case six12 = "6.12"

    var metaPackage: String {
      switch self {
      case .six1: return "linux-image-cloud-amd64"
      case .six12: return "linux-image-6.12-cloud-amd64"
      }
    }
    /// Where Debian 12 has it.
    var archive: String {
      switch self {
      case .six1: return "bookworm and bookworm-security"
      case .six12: return "bookworm-security or bookworm-backports"
      }
    }
  }

  /// How a fetch ended.
  public enum Result: Equatable, Sendable {
    /// The kernel is there now.
    case fetched(path: String)
    /// It was there already.
    case present(path: String)
    /// A signal ended it; nothing of it is left.
    case interrupted(Int32)
  }

  /// Bytes that must be free: the package, what it holds, and some air.
  static let neededSpace: UInt64 = 128 << 20

  let series: Series
  let cache: String
  private let interruption: Interruption
  private let say: (String) -> Void
  private let progress: ((String) -> Void)?
  private var folder: String { "\(cache)/\(series.rawValue)" }

  /// A fetch of `series` into the user's cache folder. `say` gets lines for the user; `progress`, where there is a terminal,
  /// texts that replace each other, the last one empty.
  public init(
    _ series: Series, interruption: Interruption, say: @escaping (String) -> Void, progress: ((String) -> Void)?
  ) throws(KernelsError) {
    guard let cache = CacheFolder.path() else {
      throw KernelsError(
        "there is no cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path. Set one of them")
    }
    self.init(series, cache: cache, interruption: interruption, say: say, progress: progress)
  }

  init(
    _ series: Series, cache: String, interruption: Interruption, say: @escaping (String) -> Void,
    progress: ((String) -> Void)?
  ) {
    self.series = series
    self.cache = cache
    self.interruption = interruption
    self.say = say
    self.progress = progress
  }

  /// The bzImage of the series when it is in the cache, whole.
  func present() -> String? {
    guard let release = TextFile.line("\(folder)/complete") else { return nil }
    let path = "\(folder)/boot/vmlinuz-\(release)"
    return !release.utf8.isEmpty && !release.utf8.contains(UInt8(ascii: "/")) && Listing.isFile(path) ? path : nil
  }

  /// Fetches the kernel unless it is there; with `again` it is fetched anew, after a look for a newer package.
  /// - Throws: the cause, and what to type next.
  public func run(again: Bool) throws(KernelsError) -> Result {
    if !again, let path = present() { return .present(path: path) }
    do throws(Stop) {
      try makeFolders(cache)
      let lock = try takeLock()
      defer { _ = lock.rawValue }
      // Another process may just have made it.
      if !again, let path = present() { return .present(path: path) }
      removeLeftovers()
      return .fetched(path: try fetch(again: again))
    } catch {
      progress?("")
      switch error {
      case .signal(let number): return .interrupted(number)
      case .failed(let message): throw KernelsError(message)
      }
    }
  }

  private enum Stop: Error {
    case signal(Int32)
    case failed(String)
  }

  // MARK: Folders

  private func makeFolders(_ path: String) throws(Stop) {
    let bytes = Array(path.utf8)
    for index in 1...max(bytes.count, 1) where index == bytes.count || bytes[index] == UInt8(ascii: "/") {
      // unsafe: the string is NUL-terminated for the call. That one is there already shows below.
      _ = unsafe mkdir(String(decoding: bytes[..<index], as: UTF8.self), 0o755)
    }
    let cause = Errno.current
    guard Listing.isFolder(path) else { throw .failed(SystemError("make the folder", path, cause).description) }
  }

  private func takeLock() throws(Stop) -> FileDescriptor {
    let file = try openLock()
    var told = false
    while flock(file.rawValue, LOCK_EX | LOCK_NB) != 0 {
      guard Errno.current == .again || Errno.current == .interrupted else {
        throw .failed(SystemError("lock", "\(cache)/lock", .current).description)
      }
      if !told { say("another process fetches a kernel into this cache; waiting for it") }
      told = true
      if let number = interruption.received { throw .signal(number) }
      _ = usleep(100_000)
    }
    return file
  }

  private func openLock() throws(Stop) -> FileDescriptor {
    do throws(SystemError) {
      return try FileDescriptor.open("\(cache)/lock", O_RDWR | O_CREAT, mode: 0o644)
    } catch {
      throw .failed(error.description)
    }
  }

  /// What fetches that were killed left behind: nobody else is at work while the lock is held.
  private func removeLeftovers() {
    for name in Listing.names(in: cache) where name.hasPrefix(".new.") {
      // unsafe: the string is NUL-terminated for the call.
      _ = unsafe ccontainer_remove_tree("\(cache)/\(name)")
    }
  }

  private func makeStage() throws(Stop) -> String {
    var template = Array("\(cache)/.new.XXXXXX".utf8).map { CChar(bitPattern: $0) } + [0]
    // unsafe: the template is NUL-terminated and written to in place.
    guard unsafe ccontainer_make_temporary_folder(&template) == 0 else {
      throw .failed(SystemError("make a folder in", cache, .current).description)
    }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  // MARK: Fetching

  private func fetch(again: Bool) throws(Stop) -> String {
    guard let apt = Program.find("apt-get"), let query = Program.find("apt-cache"),
      let unpacker = Program.find("dpkg-deb")
    else {
      throw .failed(
        "this machine has no apt-get and dpkg-deb, with which Debian's kernels are fetched. Give vmrun any bzImage: --kernel FILE"
      )
    }
    try checkSpace()
    let stage = try makeStage()
    // unsafe: the string is NUL-terminated for the call.
    defer { _ = unsafe ccontainer_remove_tree(stage) }

    var options: [String] = []
    var package = again ? nil : try resolve(query, options)
    var updated = false
    if package == nil {
      options = try update(apt)
      updated = true
      package = try resolve(query, options)
    }
    guard let first = package else { throw .failed(missingPackage) }
    var name = first
    if let complaint = try download(apt, options, name, stage) {
      guard !updated else { throw .failed(downloadFailed(name, complaint)) }
      // Lists from before the last security update name a file that is no longer on the mirror.
      say("apt's package lists are old or wrong (\(complaint)); reading new ones")
      options = try update(apt)
      guard let newer = try resolve(query, options) else { throw .failed(missingPackage) }
      name = newer
      if let complaint = try download(apt, options, name, stage) { throw .failed(downloadFailed(name, complaint)) }
    }
    return try unpack(unpacker, name, stage)
  }

  private func checkSpace() throws(Stop) {
    if let free = freeSpace(), free < KernelFetch.neededSpace {
      throw .failed(
        "\(cache): the disk has only \(free >> 20) MiB free, and a kernel with its modules needs \(KernelFetch.neededSpace >> 20) MiB. Free some, or set XDG_CACHE_HOME to a folder elsewhere"
      )
    }
  }

  private func freeSpace() -> UInt64? {
    var status = statvfs()
    // unsafe: statvfs fills the one struct it is given.
    guard unsafe statvfs(cache, &status) == 0 else { return nil }
    return UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue
  }

  private var missingPackage: String {
    "Debian's package \(series.metaPackage) is not in the package lists that this machine's apt sources give. On Debian 12, enable \(series.archive) in /etc/apt/sources.list and type the same again; elsewhere give vmrun any bzImage: --kernel FILE"
  }

  private func downloadFailed(_ package: String, _ complaint: String) -> String {
    if let free = freeSpace(), free < 4 << 20 {
      return "cannot download \(package): the disk of \(cache) is full. Free 128 MiB and type the same again"
    }
    return
      "cannot download \(package): \(complaint). Is the network there, and a proxy set if one is needed (http_proxy)? Then type the same again"
  }

  private func run(
    _ path: String, _ arguments: [String], in folder: String = "/", tick: (() -> Void)? = nil
  ) throws(Stop) -> Program.Outcome {
    let outcome: Program.Outcome
    do throws(KernelsError) {
      outcome = try Program.run(path, arguments, in: folder, interruption: interruption, tick: tick)
    } catch {
      throw .failed(error.description)
    }
    if case .interrupted(let number) = outcome.ending { throw .signal(number) }
    return outcome
  }

  /// The package that the series' meta package depends on, by the lists that `options` name; nil when they do not have it.
  private func resolve(_ query: String, _ options: [String]) throws(Stop) -> String? {
    let outcome = try run(query, options + ["depends", "--no-recommends", "--no-suggests", series.metaPackage])
    return outcome.succeeded ? KernelFetch.dependency(outcome.output) : nil
  }

  /// The kernel's package in what `apt-cache depends` prints.
  static func dependency(_ output: [UInt8]) -> String? {
    for line in output.split(separator: UInt8(ascii: "\n")) {
      let words = line.split(separator: UInt8(ascii: " "))
      guard words.count == 2, words[0].elementsEqual("Depends:".utf8), words[1].starts(with: "linux-image-".utf8),
        let digit = words[1].dropFirst(12).first, ReleaseOrder.isDigit(digit),
        words[1].allSatisfy({ isNamePart($0) })
      else { continue }
      return String(decoding: words[1], as: UTF8.self)
    }
    return nil
  }

  /// What a package's name is made of (Debian policy, 5.6.7).
  private static func isNamePart(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x61...0x7A, UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."): return true
    default: return false
    }
  }

  /// Reads the package lists of this machine's sources into the cache folder, and returns the options with which apt uses them.
  /// The system's own lists are root's, and are left as they are.
  private func update(_ apt: String) throws(Stop) -> [String] {
    let state = "\(cache)/apt"
    try makeFolders("\(state)/lists/partial")
    try makeFolders("\(state)/cache/archives/partial")
    let options = [
      "-o", "Dir::State::Lists=\(state)/lists", "-o", "Dir::Cache=\(state)/cache", "-o", "APT::Sandbox::User=",
    ]
    say("reading Debian's package lists")
    let outcome = try run(apt, options + ["-qq", "update"])
    if !outcome.succeeded {
      if let free = freeSpace(), free < 4 << 20 {
        throw .failed(
          "cannot read the package lists: the disk of \(cache) is full. Free 128 MiB and type the same again")
      }
      say("apt-get update did not succeed (\(outcome.complaint)); going on with what is there")
    }
    return options
  }

  /// Downloads `package` into `stage`; returns apt's complaint, or nil when the package is there.
  private func download(
    _ apt: String, _ options: [String], _ package: String, _ stage: String
  ) throws(Stop) -> String? {
    let announced = try run(apt, options + ["-qq", "--print-uris", "download", package], in: stage)
    let file = KernelFetch.announcement(announced.output)
    guard announced.succeeded, let file else { return announced.complaint }
    say("fetching \(package), \((file.size + 999_999) / 1_000_000) MB")
    let progress = progress
    let outcome = try run(apt, options + ["-qq", "download", package], in: stage) {
      guard let progress else { return }
      let megabytes = (Listing.fileSize("\(stage)/\(file.name)") ?? 0) / 1_000_000
      progress("fetching \(package): \(megabytes) of \((file.size + 999_999) / 1_000_000) MB")
    }
    progress?("")
    return outcome.succeeded ? nil : outcome.complaint
  }

  /// The file's name and size in what `apt-get --print-uris download` prints: 'URI' NAME SIZE CHECKSUM.
  static func announcement(_ output: [UInt8]) -> (name: String, size: UInt64)? {
    let words = output.prefix { $0 != UInt8(ascii: "\n") }.split(separator: UInt8(ascii: " "))
    guard words.count >= 3, let size = UInt64(String(decoding: words[2], as: UTF8.self)) else { return nil }
    return (String(decoding: words[1], as: UTF8.self), size)
  }

  private func unpack(_ unpacker: String, _ package: String, _ stage: String) throws(Stop) -> String {
    guard let file = Listing.names(in: stage).first(where: { $0.hasSuffix(".deb") }) else {
      throw .failed("apt-get downloaded no file of \(package). Type the same again")
    }
    progress?("unpacking \(package)")
    let tree = "\(stage)/x"
    let outcome = try run(unpacker, ["-x", "\(stage)/\(file)", tree])
    progress?("")
    guard outcome.succeeded else {
      if let free = freeSpace(), free < 4 << 20 {
        throw .failed("cannot unpack \(package): the disk of \(cache) is full. Free 128 MiB and type the same again")
      }
      throw .failed("dpkg-deb cannot unpack \(package): \(outcome.complaint)")
    }
    let releases = Listing.names(in: "\(tree)/lib/modules")
    guard let release = releases.first, releases.count == 1, Listing.isFile("\(tree)/boot/vmlinuz-\(release)") else {
      throw .failed("\(package) does not hold what kernel packages hold: lib/modules/RELEASE and boot/vmlinuz-RELEASE")
    }
    try index(tree, release)
    do throws(SystemError) {
      let mark = try FileDescriptor.open("\(tree)/complete", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
      try mark.writeFully(Array("\(release)\n".utf8))
      _ = syncfs(mark.rawValue)
    } catch {
      throw .failed(error.description)
    }
    // unsafe: both strings are NUL-terminated for the call.
    guard unsafe ccontainer_exchange(tree, folder) == 0 else {
      throw .failed(SystemError("put the kernel at", folder, .current).description)
    }
    return "\(folder)/boot/vmlinuz-\(release)"
  }

  /// The index of the modules, which the package leaves to its installation script.
  private func index(_ tree: String, _ release: String) throws(Stop) {
    let outcome: Program.Outcome
    if let depmod = Program.find("depmod") {
      outcome = try run(depmod, ["-b", tree, release])
    } else if let busybox = Program.find("busybox") {
      outcome = try run(busybox, ["depmod", "-b", tree, release], in: tree)
    } else {
      say("there is no depmod (package kmod) or busybox: the kernel's modules stay without their index, modules.dep")
      return
    }
    if !outcome.succeeded { throw .failed("depmod cannot index the modules of \(release): \(outcome.complaint)") }
  }
}
