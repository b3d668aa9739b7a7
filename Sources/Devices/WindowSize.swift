import CLinux

/// A terminal's size as TIOCGWINSZ (ioctl_tty(2)) gives it.
public struct WindowSize: Equatable, Sendable {
  /// Lines of text.
  public var rows: UInt16
  /// Characters in a line.
  public var columns: UInt16
  /// Width in pixels; 0 when unknown.
  public var widthPixels: UInt16
  /// Height in pixels; 0 when unknown.
  public var heightPixels: UInt16

  public init(rows: UInt16, columns: UInt16, widthPixels: UInt16 = 0, heightPixels: UInt16 = 0) {
    self.rows = rows
    self.columns = columns
    self.widthPixels = widthPixels
    self.heightPixels = heightPixels
  }

  /// The size of the terminal behind `descriptor`; nil when it is none.
  public init?(of descriptor: Int32) {
    var size = winsize()
    // unsafe: TIOCGWINSZ fills the one struct it is given.
    let result = unsafe clinux_ioctl_pointer(descriptor, UInt(clinux_request.tiocgwinsz.rawValue), &size)
    if result != 0 { return nil }
    self.init(rows: size.ws_row, columns: size.ws_col, widthPixels: size.ws_xpixel, heightPixels: size.ws_ypixel)
  }
}
