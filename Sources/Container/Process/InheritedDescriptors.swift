import CContainer

/// The descriptors that vmrun's caller left open.
public enum InheritedDescriptors {
  /// Closes all from `first` on. To be called before anything else is opened: a container that waits to be started would hold them
  /// open, and an engine that reads a pipe to its end waits for ever.
  public static func close(from first: UInt32) {
    // No error is possible for a valid range (close_range(2)), and descriptors that are not there are none.
    _ = ccontainer_close_range(first, UInt32.max)
  }
}
