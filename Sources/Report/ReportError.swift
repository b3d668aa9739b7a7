/// The room's errors.
public struct ReportError: Error, CustomStringConvertible {
  /// What went wrong, on what, and why.
  public let description: String

  public init(_ description: String) { self.description = description }
}
