import System

/// What keeps a container from being made, started or managed; the description is the whole message.
public struct ContainerError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What kind of failure it is, for exit codes and for callers that react.
  public enum Kind: UInt8, Equatable, Sendable {
    /// The kernel or a file refused.
    case system
    /// The configuration or an argument is wrong.
    case invalid
    /// The configuration asks for what vmrun or this kernel does not offer.
    case notSupported
    /// There is no such container, process or file.
    case notFound
    /// The ID is taken.
    case exists
    /// The container's state does not allow it.
    case wrongState
    /// The command cannot be found: exit code 127.
    case commandNotFound
    /// The command cannot be executed: exit code 126.
    case commandNotExecutable
  }

  public let kind: Kind
  public let description: String

  /// A failure with its whole message.
  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }

  /// A failure of the kernel: "context: operation object: reason".
  public init(_ context: String, _ error: SystemError) {
    self.init(.system, context.isEmpty ? error.description : "\(context): \(error)")
  }

  /// The same failure with `context` before its text.
  public func inside(_ context: String) -> ContainerError { ContainerError(kind, "\(context): \(description)") }
}

/// Runs `body`, whose error becomes this room's, with `context` in front of its text.
func naming<Value: ~Copyable, Failure: Error & CustomStringConvertible>(
  _ context: String = "", _ body: () throws(Failure) -> Value
) throws(ContainerError) -> Value {
  do { return try body() } catch {
    throw ContainerError(.system, context.isEmpty ? error.description : "\(context): \(error.description)")
  }
}
