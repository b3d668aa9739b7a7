import Boot
import JSON
import Kernels

/// `vmrun kernel info --json`.
enum KernelJSON {
  /// Everything about one kernel.
  static func value(_ inspection: KernelInspection) -> JSON {
    var members = [
      JSON.Member("path", .string(inspection.path)), JSON.Member("version", .string(inspection.version)),
      JSON.Member("release", .string(inspection.release)), JSON.Member("format", .string(inspection.format)),
      JSON.Member("file_size", .unsigned(inspection.fileSize)),
      JSON.Member("compression", inspection.codec.map { .string($0.name) } ?? .null),
      JSON.Member("kernel_size", .unsigned(inspection.kernelSize)),
      JSON.Member("problem", inspection.problem.map { .string($0) } ?? .null),
      JSON.Member("entry", inspection.entry.map { .unsigned($0) } ?? .null),
      JSON.Member("pvh_entry", inspection.pvhEntry.map { .unsigned($0) } ?? .null),
    ]
    if let header = inspection.header {
      members += [
        JSON.Member("boot_protocol", .string(inspection.protocolVersion ?? "")),
        JSON.Member("entry_32bit", .boolean(true)), JSON.Member("entry_64bit", .boolean(header.has64BitEntry)),
        JSON.Member("relocatable", .boolean(header.isRelocatable)),
        JSON.Member("alignment", .unsigned(header.alignment)),
        JSON.Member("preferred_address", .unsigned(header.preferredAddress)),
        JSON.Member("init_size", .unsigned(header.initSize)),
        JSON.Member("command_line_size", .integer(Int64(header.commandLineSize))),
        JSON.Member("load_flags", .array(inspection.loadFlags.map { .string($0) })),
      ]
    }
    members.append(JSON.Member("sources", .array(inspection.sources.map { .string($0.text) })))
    let options = inspection.findings.map { finding in
      JSON.Member(
        finding.option.name,
        .object([
          JSON.Member("state", .string(finding.state.name)), JSON.Member("source", .string(finding.source.name)),
          JSON.Member("purpose", .string(finding.option.purpose)),
        ]))
    }
    members.append(JSON.Member("options", .object(options)))
    members.append(JSON.Member("verdict", verdict(inspection)))
    return .object(members)
  }

  private static func verdict(_ inspection: KernelInspection) -> JSON {
    let word: String
    switch inspection.verdict {
    case .yes: word = "yes"
    case .probably: word = "probably"
    case .no: word = "no"
    case .unknown: word = "unknown"
    }
    return .object([
      JSON.Member("boots_command", .string(word)), JSON.Member("text", .string(inspection.verdictText)),
    ])
  }
}
