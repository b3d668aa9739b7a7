/// What keeps a network from being set up; the description is the whole message.
public struct NetworkError: Error, Equatable, Sendable, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }
}
