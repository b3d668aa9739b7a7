import Boot

extension KernelInspection {
  /// "2.15".
  public var protocolVersion: String? {
    guard let version = header?.version else { return nil }
    let minor = version & 0xFF
    return "\(version >> 8).\(minor < 10 ? "0" : "")\(minor)"
  }

  /// What xloadflags of the setup header announces (boot.rst), in words.
  public var loadFlags: [String] {
    // xloadflags lies at 0x236 of the file, and the header's bytes begin with 0x1F1.
    guard let header, header.version >= 0x020C, header.bytes.count > 0x237 - 0x1F1 else { return [] }
    let flags = UInt16(header.bytes[0x236 - 0x1F1]) | UInt16(header.bytes[0x237 - 0x1F1]) << 8
    var words: [String] = []
    for (bit, word) in [
      (0, "64-bit entry"), (1, "may lie above 4 GiB"), (2, "EFI handover 32-bit"), (3, "EFI handover 64-bit"),
      (4, "EFI kexec"), (5, "5-level paging"), (6, "5-level paging enabled"),
    ] where flags & 1 << bit != 0 { words.append(word) }
    return words
  }

  /// "bzImage" or "ELF".
  public var format: String { header == nil ? "ELF" : "bzImage" }

  /// The verdict as one line, behind "boots a command payload: ".
  public var verdictText: String {
    switch verdict {
    case .yes: return "yes"
    case .probably(let unknown): return "yes, as far as can be seen (not known: \(KernelInspection.join(unknown)))"
    case .no(let reasons): return "no, because " + KernelInspection.join(reasons, "; ")
    case .unknown(let reason): return "not known: \(reason)"
    }
  }

  /// Everything, for a terminal.
  public var text: String {
    var lines = "\(Printable.text(path.utf8, limit: 4096))\n"
    func add(_ name: String, _ value: String) { lines += KernelInspection.row(name, value) }
    add("version", version.utf8.isEmpty ? "not told" : version)
    var kernel = "\(format), \(fileSize) bytes"
    if header != nil {
      kernel += "; the kernel in it is \(codec?.name ?? "packed in an unknown way")"
      if kernelSize > 0 { kernel += ", \(kernelSize) bytes" }
    }
    add("format", kernel)
    if let problem { add("problem", problem) }
    if let protocolVersion { add("boot protocol", protocolVersion) }
    var entries = header == nil ? "" : "32-bit"
    func addEntry(_ text: String) { entries += entries.isEmpty ? text : ", \(text)" }
    if header?.has64BitEntry == true { addEntry("64-bit") }
    if let entry {
      addEntry("\(header == nil ? "64-bit" : "unpacked 64-bit") at \(KernelInspection.hexadecimal(entry))")
    }
    if let pvhEntry {
      addEntry("PVH at \(KernelInspection.hexadecimal(pvhEntry))")
    } else if kernelSize > 0 {
      addEntry("no PVH note")
    }
    add("entries", entries)
    if let header {
      let place = KernelInspection.hexadecimal(header.preferredAddress)
      add(
        "memory",
        "\(header.isRelocatable ? "relocatable by \(header.alignment >> 10) KiB, preferred" : "not relocatable,") at \(place); needs \((header.initSize + 1023) >> 10) KiB there (init_size)"
      )
      add("command line", "at most \(header.commandLineSize) bytes")
      if !loadFlags.isEmpty { add("load flags", KernelInspection.join(loadFlags)) }
    }
    var told = sources.map { $0.text }
    if told.isEmpty { told = ["nothing"] }
    add("options from", KernelInspection.join(told, "; "))
    for group in KernelOption.Group.allCases {
      lines += "\n\(group.title)\n"
      for finding in findings where finding.option.group == group {
        lines +=
          "  " + KernelInspection.pad(finding.state == .builtIn ? "built in" : finding.state.name, 9)
          + KernelInspection.pad(finding.option.name, 28) + finding.option.purpose + "\n"
      }
    }
    return lines + "\nboots a command payload: \(verdictText)\n"
  }

  private static func row(_ name: String, _ value: String) -> String { "  \(pad(name, 15))\(value)\n" }

  static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.utf8.count))
  }

  public static func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

  static func join(_ words: [String], _ separator: String = ", ") -> String {
    var text = ""
    for (index, word) in words.enumerated() { text += (index == 0 ? "" : separator) + word }
    return text
  }
}

extension KernelCatalogue {
  /// A table of `entries`, for a terminal; the default one has a star.
  public static func table(_ entries: [KernelEntry]) -> String {
    let preferred = preferred(of: entries)
    var width = 4
    for entry in entries { width = max(width, entry.name.utf8.count) }
    var text = "  " + KernelInspection.pad("NAME", width + 2) + "FROM   SIZE      PATH\n"
    for entry in entries {
      let tenths = (entry.size * 10 + (1 << 19)) >> 20
      text +=
        (entry == preferred ? "* " : "  ") + KernelInspection.pad(entry.name, width + 2)
        + KernelInspection.pad(entry.source.name, 7) + KernelInspection.pad("\(tenths / 10).\(tenths % 10) MiB", 10)
        + entry.path + (entry.isReadable ? "" : "   (not readable by you: sudo chmod a+r \(entry.path))") + "\n"
    }
    return text
  }
}
