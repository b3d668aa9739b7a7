/// A JSON value (RFC 8259). Objects keep their members' order; integers that fit 64 bits stay exact.
public enum JSON: Equatable, Sendable {
  case null
  case boolean(Bool)
  case integer(Int64)
  /// An integer above Int64.max.
  case unsigned(UInt64)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  /// A name and its value in an object.
  public struct Member: Equatable, Sendable {
    public var name: String
    public var value: JSON
    /// `"name": value`.
    public init(_ name: String, _ value: JSON) {
      self.name = name
      self.value = value
    }
  }

  /// The member `name` of an object (the last, where a name stands twice), or nil.
  public subscript(name: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.name == name }?.value
  }
}
