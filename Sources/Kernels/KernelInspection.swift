import Boot
import CLinux
import System

/// What a kernel's file tells about it. The file is nobody's friend: everything in it is checked before it is used.
public struct KernelInspection: Sendable {
  /// An option, what is known about it, and from where.
  public struct Finding: Sendable {
    public let option: KernelOption
    public let state: OptionState
    public let source: OptionSource
  }

  /// Whether the kernel boots a command payload.
  public enum Verdict: Equatable, Sendable {
    case yes
    /// As far as can be seen; these options are not known.
    case probably(unknown: [String])
    case no(reasons: [String])
    /// Nothing about its options can be seen.
    case unknown(reason: String)
  }

  /// Where the file lies.
  public let path: String
  /// Its bytes.
  public let fileSize: UInt64
  /// The kernel's own version text; may be empty.
  public let version: String
  /// The setup header of a bzImage; nil for an ELF kernel.
  public let header: SetupHeader?
  /// How the kernel in the file is packed; nil when vmrun does not know.
  public let codec: Codec?
  /// Bytes of the ELF kernel when decompressed, as far as segments go; 0 when it could not be read.
  public let kernelSize: UInt64
  /// The physical address of the ELF kernel's 64-bit entry.
  public let entry: UInt64?
  /// The 32-bit entry of the PVH protocol, when there is a note for it.
  public let pvhEntry: UInt64?
  /// Why the kernel inside could not be read.
  public let problem: String?
  /// One for each of `KernelOption.all`.
  public let findings: [Finding]

  /// The most that is decompressed for a look, in bytes.
  static let decompressionLimit = 512 << 20
  static let fileLimit: UInt64 = 1 << 30

  /// "6.1.0-56-cloud-amd64"; empty when the version is.
  public var release: String { String(decoding: version.utf8.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self) }

  /// Looks at the file at `path`, and at what lies beside it and on this machine about the same release.
  /// - Throws: what the file is instead of a kernel, or why it cannot be read.
  public init(_ path: String) throws(KernelsError) { try self.init(path, system: "") }

  /// - Parameter system: what /boot and /lib/modules lie below; tests have their own.
  init(_ path: String, system: String) throws(KernelsError) {
    self.init(path, system: system, image: try KernelInspection.load(path))
  }

  private static func load(_ path: String) throws(KernelsError) -> KernelImageFile {
    do throws(KernelImageError) { return try KernelImageFile.load(path) } catch {
      throw KernelsError("\(path): \(error)")
    }
  }

  private init(_ path: String, system: String, image: borrowing KernelImageFile) {
    self.path = path
    fileSize = image.size
    header = image.header
    codec = image.codec
    kernelSize = image.kernel?.plan.segments.reduce(0) { $0 + $1.fileSize } ?? 0
    entry = image.kernel?.plan.entry
    pvhEntry = image.kernel?.pvhEntry
    problem = image.problem
    let text = image.version.utf8.isEmpty ? image.content.versionText : image.version
    version = text
    let release = String(decoding: text.utf8.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
    let hasImage = image.kernel != nil
    let evidence = Evidence(path, release: release, system: system, image: image.content)
    var findings: [Finding] = []
    for option in KernelOption.all {
      var (state, source) = evidence.state(of: option)
      if source == .none || state == .unknown {
        (state, source) = KernelInspection.shown(option, image, hasImage: hasImage)
      }
      findings.append(Finding(option: option, state: state, source: source))
    }
    self.findings = findings
  }

  /// What the image itself shows. Only what is there proves something: a text that is missing may have changed.
  private static func shown(
    _ option: KernelOption, _ image: borrowing KernelImageFile, hasImage: Bool
  ) -> (OptionState, OptionSource) {
    switch option.name {
    case "64BIT": if hasImage || image.header?.has64BitEntry == true { return (.builtIn, .image) }
    case "PVH": if let kernel = image.kernel { return (kernel.pvhEntry == nil ? .absent : .builtIn, .image) }
    case "RELOCATABLE":
      if let header = image.header { return (header.isRelocatable ? .builtIn : .absent, .image) }
    default: for mark in option.marks where image.content.find(mark) != nil { return (.builtIn, .image) }
    }
    return (.unknown, .none)
  }

  /// The verdict.
  public var verdict: Verdict {
    var reasons: [String] = []
    // A kernel that vmrun cannot unpack boots by its own decompressor, which its 64-bit entry starts.
    if let problem, header?.has64BitEntry != true || codec?.isSupported == true { reasons.append(problem) }
    var unknown: [String] = []
    var known = 0
    for finding in findings where finding.option.group == .command {
      switch finding.state {
      case .builtIn: known += 1
      case .unknown: unknown.append(finding.option.name)
      case .module: reasons.append("\(finding.option.name) is a module, and modules are loaded too late for it")
      case .absent: reasons.append("\(finding.option.name) is missing: \(finding.option.purpose)")
      }
    }
    if !reasons.isEmpty { return .no(reasons: reasons) }
    // The header alone tells that it is 64-bit code, and no more.
    if known <= 1 { return .unknown(reason: problem ?? "neither its configuration nor known texts were found") }
    return unknown.isEmpty ? .yes : .probably(unknown: unknown)
  }

  /// The sources that answered, in the order of the findings, each once.
  public var sources: [OptionSource] {
    var sources: [OptionSource] = []
    for finding in findings where finding.source != .none && !sources.contains(finding.source) {
      sources.append(finding.source)
    }
    return sources
  }
}

/// What is on record about a kernel's options.
private struct Evidence {
  private var configuration: (KernelConfiguration, OptionSource)?
  private var modules: KernelModules?

  /// Looks in this order: in the kernel, beside it, on this system; and for the lists of its modules only when there is no
  /// configuration.
  init(_ path: String, release: String, system: String, image: borrowing SearchableBytes) {
    if let inside = KernelConfiguration(in: image) {
      configuration = (inside, .ikconfig)
      return
    }
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let folder =
      slash.map { $0 == path.utf8.startIndex ? "/" : String(decoding: path.utf8[..<$0], as: UTF8.self) } ?? "."
    let file = String(decoding: slash.map { path.utf8[path.utf8.index(after: $0)...] } ?? path.utf8[...], as: UTF8.self)
    let named = Evidence.suffix(of: file)
    var places: [String] = []
    for name in [release, named] where Evidence.isSafe(name) {
      places += ["\(folder)/config-\(name)"]
    }
    if Evidence.isSafe(release) {
      places += [
        "\(system)/boot/config-\(release)", "\(system)/lib/modules/\(release)/build/.config",
        "\(system)/lib/modules/\(release)/config",
      ]
    }
    for place in places {
      guard let text = TextFile.read(place, limit: KernelConfiguration.limit),
        let found = KernelConfiguration(text)
      else { continue }
      configuration = (found, .file(place))
      return
    }
    guard Evidence.isSafe(release) else { return }
    for place in ["\(folder)/../lib/modules/\(release)", folder, "\(system)/lib/modules/\(release)"] {
      if let found = KernelModules(folder: place) {
        modules = found
        return
      }
    }
  }

  func state(of option: KernelOption) -> (OptionState, OptionSource) {
    if let configuration { return (configuration.0.state(of: option), configuration.1) }
    if let modules {
      let state = modules.state(of: option)
      return (state, state == .unknown ? .none : .modules(modules.folder))
    }
    return (.unknown, .none)
  }

  private static func suffix(of file: String) -> String {
    for prefix in ["vmlinuz-", "vmlinux-", "bzImage-"] where file.hasPrefix(prefix) {
      return String(decoding: file.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
    }
    return ""
  }

  /// Whether `name`, which the file says, may become a part of a path.
  private static func isSafe(_ name: String) -> Bool {
    guard let first = name.utf8.first, first != UInt8(ascii: "."), name.utf8.count <= 128 else { return false }
    return name.utf8.allSatisfy { $0 != UInt8(ascii: "/") && $0 > 0x20 && $0 < 0x7F }
  }
}
