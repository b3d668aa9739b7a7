extension BenchReport {
  /// One self-contained page.
  public func html() -> String { "" }
}
extension IsolationReport {
  /// One self-contained page.
  public func html() -> String { "" }
}
