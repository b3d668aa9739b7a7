import System

/// The room's errors: why a trial did not succeed.
public struct DoctorError: Error, Equatable, CustomStringConvertible {
  /// What went wrong, on what, and why.
  public let description: String
  /// The kernel's reason, where it gave one.
  let errno: Errno?

  /// An error whose whole message is `description`.
  public init(_ description: String) {
    self.description = description
    errno = nil
  }

  /// `operation` was refused just now.
  init(refused operation: String, _ object: String = "") {
    let error = SystemError(operation, object, .current)
    description = error.description
    errno = error.errno
  }
}

/// Runs `body`, whose error becomes this room's, with `context` in front of its text.
func naming<Value: ~Copyable, Failure: Error & CustomStringConvertible>(
  _ context: String = "", _ body: () throws(Failure) -> Value
) throws(DoctorError) -> Value {
  do { return try body() } catch {
    throw DoctorError(context.isEmpty ? error.description : "\(context): \(error.description)")
  }
}
