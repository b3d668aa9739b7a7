import CLinux

/// A thread, whose end is waited for by `join`; one that is dropped instead runs on by itself.
public struct Thread: ~Copyable {
  /// nil once it is joined.
  private var handle: pthread_t?

  /// Starts `body` on a new thread with `stackSize` bytes of stack.
  public init(stackSize: Int = 256 << 10, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    let box = unsafe Unmanaged.passRetained(Body(run: body))
    var handle = pthread_t()
    // unsafe: the box is retained above and released once: by the new thread, or below when there is none.
    let error = unsafe clinux_thread_create(
      &handle, stackSize,
      { context in
        // unsafe: context is the box that was passed, with the reference that belongs to this thread.
        if let context = unsafe context { unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
      }, box.toOpaque())
    if error != 0 {
      unsafe box.release()
      throw SystemError("pthread_create", "", Errno(rawValue: error))
    }
    self.handle = handle
  }

  /// Sends `signal` to the thread, to interrupt a system call that it is in.
  public borrowing func interrupt(_ signal: Int32) {
    if let handle { _ = pthread_kill(handle, signal) }
  }

  /// Waits until the body has returned.
  public consuming func join() {
    if let handle { _ = pthread_join(handle, nil) }
    handle = nil
  }

  // Neither joined nor detached, it would keep its stack for as long as the process lives.
  deinit {
    if let handle { _ = pthread_detach(handle) }
  }

  private final class Body {
    let run: @Sendable () -> Void
    init(run: @escaping @Sendable () -> Void) { self.run = run }
  }
}

/// A mutex of the C library, for short critical sections. Not recursive.
@safe public final class Lock: @unchecked Sendable {
  private let word: UnsafeMutablePointer<pthread_mutex_t>

  /// An unlocked lock.
  public init() {
    unsafe word = .allocate(capacity: 1)
    // unsafe: freshly allocated, initialised once.
    _ = unsafe pthread_mutex_init(word, nil)
  }

  deinit {
    // unsafe: nobody can hold the lock when its last reference goes.
    _ = unsafe pthread_mutex_destroy(word)
    unsafe word.deallocate()
  }

  /// Runs `body` while holding the lock.
  @inline(__always)
  public func withLock<Value: ~Copyable, Failure: Error>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
    // unsafe: the mutex lives as long as self.
    _ = unsafe pthread_mutex_lock(word)
    defer { _ = unsafe pthread_mutex_unlock(word) }
    return try body()
  }

  /// Takes the lock; pair with `unlock`.
  public func lock() { _ = unsafe pthread_mutex_lock(word) }
  /// Gives the lock back.
  public func unlock() { _ = unsafe pthread_mutex_unlock(word) }

  fileprivate func wait(on condition: UnsafeMutablePointer<pthread_cond_t>) {
    // unsafe: both live, and the caller holds the lock.
    _ = unsafe pthread_cond_wait(condition, word)
  }
}

/// A condition that threads wait for while holding a `Lock`.
@safe public final class Condition: @unchecked Sendable {
  private let word: UnsafeMutablePointer<pthread_cond_t>

  /// A condition nobody waits for.
  public init() {
    unsafe word = .allocate(capacity: 1)
    // unsafe: freshly allocated, initialised once.
    _ = unsafe pthread_cond_init(word, nil)
  }

  deinit {
    // unsafe: nobody can wait when the last reference goes.
    _ = unsafe pthread_cond_destroy(word)
    unsafe word.deallocate()
  }

  /// Gives `lock` back, waits for a wake-up, takes it again. May return without one: check again.
  public func wait(_ lock: Lock) { unsafe lock.wait(on: word) }
  /// Wakes all waiters.
  public func broadcast() { _ = unsafe pthread_cond_broadcast(word) }
}
