import System

/// The room's errors.
public struct BenchError: Error, Equatable, CustomStringConvertible {
  /// What went wrong, on what, and why.
  public let description: String

  public init(_ description: String) { self.description = description }

  init(_ error: SystemError) { description = error.description }
}

/// Runs `body`; its system error becomes the room's, behind `context` where that is not empty.
func naming<Value: ~Copyable>(_ context: String, _ body: () throws(SystemError) -> Value) throws(BenchError) -> Value {
  do throws(SystemError) {
    return try body()
  } catch {
    throw BenchError(context.isEmpty ? error.description : "\(context): \(error)")
  }
}
