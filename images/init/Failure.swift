import System

/// Why there is no command to run, or no longer one: the exit code that vmrun ends with, and what to tell the user.
public struct Failure: Error, Equatable, CustomStringConvertible {
  /// 125: vmrun's own failure; 126: found but not executable; 127: not found.
  public let code: UInt32
  public let message: String

  public init(code: UInt32 = 125, _ message: String) {
    self.code = code
    self.message = message
  }

  /// A system call of init that failed.
  init(_ error: SystemError) { self.init("guest init: \(error)") }

  public var description: String { message }
}
