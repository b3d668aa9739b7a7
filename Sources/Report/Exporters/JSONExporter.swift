import JSON

extension BenchReport {
  /// The report as JSON: hyperfine's layout where the fields mean the same, with raw samples and the bench's own fields beside.
  public func json() -> String { "" }

  /// Reads what `json()` wrote. The text is not trusted.
  /// - Throws: `ReportError`, which names the field.
  public static func decode(_ json: [UInt8]) throws(ReportError) -> BenchReport {
    throw ReportError("not yet readable")
  }
  /// One line for each sample (RFC 4180).
  public func csv() -> String { "" }
  /// Tables in GitHub's Markdown, fit for a job summary.
  public func markdown() -> String { "" }
  /// Tables for a terminal of `width` columns.
  public func terminalTable(width: Int, colour: Bool) -> String { "" }
  /// One self-contained page.
  public func html() -> String { "" }
}

extension IsolationReport {
  /// The report as JSON.
  public func json() -> String { "" }
  /// Tables in GitHub's Markdown.
  public func markdown() -> String { "" }
  /// Tables for a terminal of `width` columns.
  public func terminalTable(width: Int, colour: Bool) -> String { "" }
  /// One self-contained page.
  public func html() -> String { "" }
}
