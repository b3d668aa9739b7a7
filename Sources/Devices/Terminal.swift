import CLinux
import System

/// A terminal's size as TIOCGWINSZ gives it.
public struct WindowSize: Equatable, Sendable {
  public var rows: UInt16
  public var columns: UInt16
  public var widthPixels: UInt16
  public var heightPixels: UInt16

  public init(rows: UInt16, columns: UInt16, widthPixels: UInt16 = 0, heightPixels: UInt16 = 0) {
    self.rows = rows
    self.columns = columns
    self.widthPixels = widthPixels
    self.heightPixels = heightPixels
  }

  /// The size of the terminal behind `descriptor`; nil when it is none.
  public init?(of descriptor: Int32) { return nil }
}

/// The process's one terminal in raw mode.
public enum Terminal {
  /// True when `descriptor` is a terminal.
  public static func isTerminal(_ descriptor: Int32) -> Bool { false }
  /// Puts the terminal behind `descriptor` in raw mode until `restore()`, exit(3), or a fatal signal.
  public static func enterRawMode(_ descriptor: Int32) throws(SystemError) {}
  /// Gives the terminal back as it was; harmless when it is not in raw mode. Any thread.
  public static func restore() {}
}

/// Descriptors 0, 1 and 2 as they were inherited.
public enum StandardStreams {
  /// Occupies those of 0, 1, 2 that are closed, so that no file opened later takes their place. Call first of all.
  public static func hold() {}
  /// True when both descriptors are the same open file, so that one pump must serve both to keep the order.
  public static func same(_ first: Int32, _ second: Int32) -> Bool { false }
}
