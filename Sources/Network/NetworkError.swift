import System

/// What keeps a network from being set up; the description is the whole message.
public struct NetworkError: Error, Equatable, Sendable, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }

  /// A failure of the kernel: "context: operation object: reason".
  init(_ context: String, _ error: SystemError) { self.init("\(context): \(error.description)") }
}
