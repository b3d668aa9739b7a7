/// The room's errors: the whole message, with what to type next where there is something.
public struct KernelsError: Error, Equatable, CustomStringConvertible {
  /// What went wrong, on what, and why.
  public let description: String

  /// An error whose whole message is `description`.
  public init(_ description: String) { self.description = description }
}
