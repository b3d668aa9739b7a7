import CLibvirt
import Machine

/// What keeps a machine from being run through libvirt; the description is the whole message.
public struct LibvirtError: Error, Equatable, CustomStringConvertible {
  public let description: String

  public init(_ description: String) { self.description = description }

  /// What libvirt says about the last call on this thread, in the context of `operation`.
  static func last(_ operation: String) -> LibvirtError {
    // unsafe: the text stays valid until this thread's next call of the library.
    LibvirtError("\(operation): \(unsafe String(cString: clibvirt_error()))")
  }
}

/// Runs `body`, whose error becomes this room's, with `context` in front of its text.
func naming<Value: ~Copyable, Failure: Error & CustomStringConvertible>(
  _ context: String = "", _ body: () throws(Failure) -> Value
) throws(LibvirtError) -> Value {
  do { return try body() } catch {
    throw LibvirtError(context.isEmpty ? error.description : "\(context): \(error.description)")
  }
}
