import CLinux

/// CLOCK_MONOTONIC.
public enum Clock {
  /// Nanoseconds since an arbitrary point; comes from the vDSO, without a system call.
  @inline(__always)
  public static func now() -> UInt64 {
    var time = timespec()
    // unsafe: clock_gettime fills the one struct it is given.
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }
}

/// Messages for the user, on standard error, each one line with the program's name in front.
public enum Log {
  /// Writes "vmrun: message" and a line end in one write(2).
  public static func message(_ text: String) { raw("vmrun: \(text)\n") }

  /// Writes `text` as it is.
  public static func raw(_ text: String) {
    var text = text
    text.withUTF8 { buffer in
      var done = 0
      while done < buffer.count {
        // unsafe: done < buffer.count, so the rest lies inside the buffer.
        let count = unsafe write(2, buffer.baseAddress?.advanced(by: done), buffer.count - done)
        if count < 0 && Errno.current == .interrupted { continue }
        if count <= 0 { return }
        done += count
      }
    }
  }
}
