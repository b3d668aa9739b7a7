import CLinux

/// A counter that one side signals and another waits for or polls (eventfd(2)).
public struct EventFD: ~Copyable, @unchecked Sendable {
  /// The descriptor, readable while the counter is not zero.
  public let descriptor: FileDescriptor

  /// A fresh, non-blocking counter at zero.
  public init() throws(SystemError) {
    let raw = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    guard raw >= 0 else { throw SystemError("eventfd", "", .current) }
    descriptor = FileDescriptor(owning: raw)
  }

  /// Adds one. A full counter already means "signalled", so nothing can be lost.
  public borrowing func signal() {
    var one: UInt64 = 1
    // unsafe: write(2) reads the eight bytes of `one`.
    _ = unsafe write(descriptor.rawValue, &one, 8)
  }

  /// Sets the counter to zero and returns what it held; 0 when it was not signalled.
  @discardableResult
  public borrowing func drain() -> UInt64 {
    var value: UInt64 = 0
    // unsafe: read(2) fills the eight bytes of `value`.
    return unsafe read(descriptor.rawValue, &value, 8) == 8 ? value : 0
  }
}

/// A timer on CLOCK_MONOTONIC that becomes readable when it expires (timerfd_create(2)).
public struct TimerFD: ~Copyable, @unchecked Sendable {
  public let descriptor: FileDescriptor

  /// A disarmed, non-blocking timer.
  public init() throws(SystemError) {
    let raw = timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC | TFD_NONBLOCK))
    guard raw >= 0 else { throw SystemError("timerfd_create", "", .current) }
    descriptor = FileDescriptor(owning: raw)
  }

  /// Expires once after `nanoseconds` (0 disarms), then every `interval` nanoseconds if that is not 0.
  public borrowing func arm(nanoseconds: UInt64, interval: UInt64 = 0) {
    var setting = itimerspec(
      it_interval: timespec(tv_sec: Int(interval / 1_000_000_000), tv_nsec: Int(interval % 1_000_000_000)),
      it_value: timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000)))
    // unsafe: timerfd_settime reads the one struct it is given.
    if unsafe timerfd_settime(descriptor.rawValue, 0, &setting, nil) != 0 { die("timerfd_settime: \(Errno.current)") }
  }

  /// How often it expired since the last look; 0 for not at all.
  @discardableResult
  public borrowing func drain() -> UInt64 {
    var value: UInt64 = 0
    // unsafe: read(2) fills the eight bytes of `value`.
    return unsafe read(descriptor.rawValue, &value, 8) == 8 ? value : 0
  }
}

/// Signals delivered by reading a descriptor (signalfd(2)). The signals are blocked in the calling thread, and in threads
/// that it starts later.
public struct SignalFD: ~Copyable, @unchecked Sendable {
  public let descriptor: FileDescriptor

  /// Blocks `numbers` and takes them over. Call before any thread is started.
  public init(_ numbers: [Int32]) throws(SystemError) {
    var set = sigset_t()
    // unsafe: the set is initialised here and outlives the calls.
    unsafe sigemptyset(&set)
    for number in numbers {
      // unsafe: as above; sigaddset refuses a wrong number without touching the set.
      guard unsafe sigaddset(&set, number) == 0 else { throw SystemError("sigaddset", "signal \(number)", .current) }
    }
    // unsafe: as above.
    let error = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    guard error == 0 else { throw SystemError("pthread_sigmask", "", Errno(rawValue: error)) }
    // unsafe: as above.
    let raw = unsafe signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK))
    guard raw >= 0 else { throw SystemError("signalfd", "", .current) }
    descriptor = FileDescriptor(owning: raw)
  }

  /// The next pending signal's number, or nil when there is none.
  public borrowing func next() -> Int32? {
    var info = signalfd_siginfo()
    let size = MemoryLayout<signalfd_siginfo>.size
    // unsafe: read(2) fills at most the struct's own size.
    return unsafe read(descriptor.rawValue, &info, size) == size ? Int32(info.ssi_signo) : nil
  }
}
