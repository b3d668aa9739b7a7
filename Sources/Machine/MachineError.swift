/// What keeps a machine from being put together or started; the description is the whole message.
public struct MachineError: Error, Equatable, CustomStringConvertible {
  public let description: String

  package init(_ description: String) { self.description = description }
}

/// Runs `body`, whose error becomes this room's, with `context` in front of its text.
package func naming<Value: ~Copyable, Failure: Error & CustomStringConvertible>(
  _ context: String = "", _ body: () throws(Failure) -> Value
) throws(MachineError) -> Value {
  do { return try body() } catch {
    throw MachineError(context.isEmpty ? error.description : "\(context): \(error.description)")
  }
}
