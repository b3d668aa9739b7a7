import JSON

extension Diagnosis {
  /// The diagnosis for programs: {"version", "works", "jobs", "findings"}; IDs and the words for states never change.
  public var json: JSON {
    .object([
      JSON.Member("version", .integer(1)), JSON.Member("works", .boolean(isWell)),
      JSON.Member(
        "jobs",
        .array(
          jobs.map { job in
            .object([
              JSON.Member("id", .string(job.id)), JSON.Member("title", .string(job.title)),
              JSON.Member("works", .boolean(job.works)), JSON.Member("text", .string(job.text)),
            ])
          })),
      JSON.Member(
        "findings",
        .array(
          findings.map { finding in
            .object([
              JSON.Member("id", .string(finding.id)), JSON.Member("section", .string(finding.section.title)),
              JSON.Member("title", .string(finding.title)), JSON.Member("state", .string(finding.state.name)),
              JSON.Member("text", .string(finding.text)), JSON.Member("costs", .string(finding.cost)),
              JSON.Member("mend", .string(finding.remedy)),
            ])
          })),
    ])
  }
}
