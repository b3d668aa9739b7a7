import CLinux
import JSON
import Kernels
import System

/// `vmrun kernel`.
enum KernelTool {
  /// Runs it with the words behind its name; returns the exit code.
  static func run(_ words: [[UInt8]]) -> Int32 {
    let words = words.map { String(decoding: $0, as: UTF8.self) }
    guard let verb = words.first else { return usage("a verb is missing: list, fetch or info") }
    if words.contains("--help") || words.contains("-h") || verb == "help" { return Output.standard(help) }
    let rest = Array(words.dropFirst())
    switch verb {
    case "list": return list(rest)
    case "fetch": return fetch(rest)
    case "info": return info(rest)
    default: return usage("there is no verb '\(Printable.text(verb.utf8, limit: 60))': list, fetch or info")
    }
  }

  private static func usage(_ message: String) -> Int32 {
    Log.message("kernel: \(message)\n       see vmrun kernel --help")
    return 125
  }

  /// Splits `words` into the options that are allowed and the others; nil, after a message, for an option that is not.
  private static func split(_ words: [String], options: [String]) -> (options: [String], others: [String])? {
    var result: (options: [String], others: [String]) = ([], [])
    for word in words {
      if options.contains(word) {
        result.options.append(word)
      } else if word.hasPrefix("-") {
        _ = usage("unknown option '\(Printable.text(word.utf8, limit: 60))'")
        return nil
      } else {
        result.others.append(word)
      }
    }
    return result
  }

  // MARK: list

  private static func list(_ words: [String]) -> Int32 {
    guard let (options, others) = split(words, options: ["--json"]) else { return 125 }
    guard others.isEmpty else {
      return usage("list takes no arguments: '\(Printable.text(others[0].utf8, limit: 60))'")
    }
    let entries = KernelCatalogue.find()
    if options.contains("--json") {
      let preferred = KernelCatalogue.defaultKernel()
      let kernels = entries.map { entry in
        JSON.object([
          JSON.Member("name", .string(entry.name)), JSON.Member("source", .string(entry.source.name)),
          JSON.Member("path", .string(entry.path)), JSON.Member("size", .unsigned(entry.size)),
          JSON.Member("readable", .boolean(entry.isReadable)),
          JSON.Member("version", version(of: entry).map { .string($0) } ?? .null),
          JSON.Member("default", .boolean(entry == preferred)),
        ])
      }
      return Output.standard(json(.object([JSON.Member("kernels", .array(kernels))])))
    }
    guard !entries.isEmpty else {
      Log.message("no kernel is in /boot or in vmrun's cache. Get one: vmrun kernel fetch debian")
      return 0
    }
    return Output.standard(KernelCatalogue.table(entries))
  }

  /// The text in the kernel's own header.
  private static func version(of entry: KernelEntry) -> String? {
    guard entry.isReadable else { return nil }
    return KernelCatalogue.version(of: entry.path)
  }

  static func json(_ value: JSON) -> String { String(decoding: value.serialized(pretty: true), as: UTF8.self) + "\n" }

  // MARK: fetch

  private static func fetch(_ words: [String]) -> Int32 {
    guard let (options, others) = split(words, options: ["--again", "--quiet", "-q"]) else { return 125 }
    guard let system = others.first else { return usage("fetch wants the name of a distribution: debian") }
    guard system == "debian" else {
      return usage("'\(Printable.text(system.utf8, limit: 60))' is not known to fetch; debian is")
    }
    guard others.count <= 2 else { return usage("too many words: '\(Printable.text(others[2].utf8, limit: 60))'") }
    let name = others.count > 1 ? others[1] : KernelFetch.Series.six1.rawValue
    guard let series = KernelFetch.Series(rawValue: name) else {
      return usage("Debian's series '\(Printable.text(name.utf8, limit: 60))' is not known; 6.1 and 6.12 are")
    }
    let isQuiet = options.contains("--quiet") || options.contains("-q")
    var progress: ((String) -> Void)?
    if !isQuiet, isatty(2) == 1 { progress = { Log.raw("\r\u{1B}[K" + ($0.utf8.isEmpty ? "" : "vmrun: \($0)")) } }
    do throws(KernelsError) {
      let interruption = try Interruption()
      let fetch = try KernelFetch(
        series, interruption: interruption, say: { if !isQuiet { Log.message($0) } }, progress: progress)
      switch try fetch.run(again: options.contains("--again")) {
      case .fetched(let path): return Output.standard(path + "\n")
      case .present(let path):
        if !isQuiet { Log.message("it is there already; --again fetches it anew") }
        return Output.standard(path + "\n")
      case .interrupted(let number):
        Log.message("interrupted; nothing of it is left")
        return 128 + number
      }
    } catch {
      Log.message(error.description)
      return 125
    }
  }

  // MARK: info

  private static func info(_ words: [String]) -> Int32 {
    guard let (options, others) = split(words, options: ["--json"]) else { return 125 }
    guard others.count <= 1 else { return usage("too many words: '\(Printable.text(others[1].utf8, limit: 60))'") }
    do throws(KernelsError) {
      let inspection = try KernelInspection(try path(others.first))
      let text = options.contains("--json") ? json(KernelJSON.value(inspection)) : inspection.text
      let code = Output.standard(text)
      if code != 0 { return code }
      if case .no = inspection.verdict { return 1 }
      return 0
    } catch {
      Log.message(error.description)
      return 125
    }
  }

  private static func path(_ word: String?) throws(KernelsError) -> String {
    if let word { return try KernelCatalogue.resolve(word) }
    guard let kernel = KernelCatalogue.defaultKernel() else { throw KernelsError(KernelCatalogue.noKernel) }
    return kernel.path
  }

  // MARK: help

  static let help = """
    vmrun kernel finds, fetches and explains Linux kernels for virtual machines.

    usage:
      vmrun kernel list [--json]
      vmrun kernel fetch debian [6.1|6.12] [--again] [--quiet]
      vmrun kernel info [FILE|NAME] [--json]

    list
      The kernels in vmrun's cache and in /boot, the newest first. NAME, or as much of its beginning as only one has, can be
      given to --kernel and to info. The one with a star is used when a command is run without --kernel: the newest in the
      cache, else the newest in /boot that you may read.

    fetch debian [SERIES]
      Downloads Debian's cloud kernel of SERIES [6.1] with its modules through apt, without root, unpacks it into the cache and
      prints the path of its bzImage as the only line on standard output. Package lists are read into the cache when the
      system has none or old ones. What is there already is not fetched again.
      --again      looks for a newer package and fetches it anew
      --quiet, -q  says nothing but errors

    info [FILE|NAME]
      What a bzImage or ELF kernel [the default one] is: version, format, compression, boot protocol, entries, memory; and which of
      the options that matter in a micro-VM are built in, modules, absent or unknown. It asks the configuration inside the
      kernel (IKCONFIG), else a file config-RELEASE beside it or in /boot or /lib/modules, else the lists of its modules, and
      for what is still unknown, texts in the kernel. Nothing is run.

    The cache is $XDG_CACHE_HOME/vmrun/debian, or ~/.cache/vmrun/debian; it may be deleted at any time.

    exit codes:
      0    done; for info: it boots a command payload, as far as can be seen
      1    info: it does not boot a command payload
      125  vmrun could not do it
      130, 143, 129  ended by SIGINT, SIGTERM, SIGHUP; nothing half fetched is left

    examples:
      vmrun --kernel "$(vmrun kernel fetch debian)" --rootfs ./busybox -- uname -r
      vmrun kernel info 6.12
      vmrun kernel info /boot/vmlinuz-$(uname -r) --json

    """
}
