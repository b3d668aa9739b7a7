import CLinux
import System

/// Why an output was given up.
public enum OutputLoss: Equatable, Sendable {
  /// EPIPE: the reader has gone. vmrun ends the VM as the shell would see any program of a pipeline end, with 128 + SIGPIPE.
  case readerGone
  /// Another error, for example a full disk.
  case failed(Errno)
}

/// Moves bytes from vCPU threads to a descriptor, through a bounded buffer and a thread of its own.
///
/// Why a thread, and neither O_NONBLOCK nor the event loop: the open file description behind standard output is shared
/// with the user's shell, so its flags are not ours to change; and a blocking write is only known not to block for a pipe with
/// a single writer and at most PIPE_BUF bytes, not for a terminal, a socket or a shared pipe. A blocking write on its own thread
/// is right for every kind of descriptor, keeps the event loop free for signals, and needs no special case for
/// files, which epoll refuses. The thread starts with the first byte.
///
/// An output that is lost is reported once; from then on every byte is discarded and nobody waits, so neither a console nor a
/// command hangs on it. A descriptor that was closed from the start discards silently.
public final class OutputPump: ByteSink, CreditedSink, @unchecked Sendable {
  /// Bytes that wait for the descriptor at most.
  public static let defaultCapacity = 256 << 10

  /// Bytes in one write(2). Smaller than a pipe's 64 KiB, so that room comes back before a slow reader has taken everything.
  private static let chunkSize = 32 << 10
  /// A coalescing pump writes this much without waiting for the line to end.
  private static let coalescedSize = 1024
  /// How long a coalescing pump waits for a line to end, in nanoseconds.
  private static let coalescingTime = 500_000

  /// nil: discards everything.
  private let descriptor: FileDescriptor?
  /// `descriptor`'s number.
  private let number: Int32
  private let capacity: Int
  private let coalesces: Bool
  private let wake: EventFD
  private let drained: EventFD

  private let lock = Lock()
  private let space = Condition()
  private var queue = ByteQueue()
  /// Bytes that the thread has taken from the queue and not written yet.
  private var inFlight = 0
  private var thread: Thread?
  /// What the thread waits for, and so who has to wake it.
  private var waiting = Waiting.no
  private var hurried = false
  private var closing = false
  private var aborted = false
  private var lost = false
  private var roomBody: (@Sendable () -> Void)?
  private var lossBody: (@Sendable (OutputLoss) -> Void)?

  private enum Waiting { case no, forBytes, forLineEnd }

  /// A pump to descriptor `number` (1 or 2), which stays open. When it is closed, everything is discarded.
  /// - coalesce: gather what comes in single bytes into lines (a console); a line that does not end is held back for half a
  ///   millisecond at most.
  public init(inherited number: Int32, capacity: Int = defaultCapacity, coalesce: Bool = false) throws(SystemError) {
    // Assigned to a variable, since an optional chain would consume a constant.
    var copy: FileDescriptor?
    copy = try FileDescriptor.inherited(number)
    self.number = copy?.rawValue ?? -1
    lost = copy == nil
    descriptor = copy
    self.capacity = max(1, capacity)
    coalesces = coalesce
    wake = try EventFD()
    drained = try EventFD()
  }

  /// A pump to `descriptor`, which it closes when it goes.
  public init(
    _ descriptor: consuming FileDescriptor, capacity: Int = defaultCapacity, coalesce: Bool = false
  ) throws(SystemError) {
    number = descriptor.rawValue
    self.descriptor = consume descriptor
    self.capacity = max(1, capacity)
    coalesces = coalesce
    wake = try EventFD()
    drained = try EventFD()
  }

  /// Takes all of `bytes`; waits while there is no room, until `abort()`.
  public func write(_ bytes: Span<UInt8>) {
    var done = 0
    while done < bytes.count {
      lock.lock()
      while currentRoom == 0 && !aborted && !lost { space.wait(lock) }
      let count = min(bytes.count - done, currentRoom)
      // Without room the VM is ending and nobody reads: what does not fit is dropped.
      if lost || count == 0 {
        lock.unlock()
        return
      }
      enqueueAndUnlock(bytes.extracting(done..<done + count))
      done += count
    }
  }

  /// Takes all of `bytes` without waiting, beyond the capacity if the caller ignored `room`.
  public func append(_ bytes: Span<UInt8>) {
    if bytes.count == 0 { return }
    lock.lock()
    if lost { return lock.unlock() }
    enqueueAndUnlock(bytes)
  }

  /// Bytes that it takes now without waiting.
  public var room: Int { lock.withLock { lost ? capacity : currentRoom } }

  /// Registers what is called, on the pump's thread with no lock held, each time that `room` has grown.
  public func onRoom(_ body: @escaping @Sendable () -> Void) { lock.withLock { roomBody = body } }

  /// Registers what is called once, on the pump's thread, when the output is lost. Bytes are discarded from then on.
  public func onLoss(_ body: @escaping @Sendable (OutputLoss) -> Void) { lock.withLock { lossBody = body } }

  /// Lets every waiting writer go; from then on `write` does not wait any more. Called when the VM ends.
  public func abort() {
    lock.withLock { aborted = true }
    space.broadcast()
  }

  /// Waits until everything is written or lost: at most `milliseconds` (-1: for ever), and only until `interruption`, such
  /// as a signalfd, becomes readable. One thread at a time.
  /// - Returns: false when something remains.
  public func drain(milliseconds: Int32, interruption: Int32 = -1) -> Bool {
    let deadline = Clock.now() &+ UInt64(max(0, milliseconds)) * 1_000_000
    while true {
      drained.drain()
      if isDrainedAfterHurrying() { return true }
      var rest: Int32 = -1
      if milliseconds >= 0 {
        let now = Clock.now()
        rest = now >= deadline ? 0 : Int32(clamping: (deadline - now) / 1_000_000 + 1)
      }
      var sources: InlineArray<2, pollfd> = [
        pollfd(fd: drained.descriptor.rawValue, events: Int16(POLLIN), revents: 0),
        pollfd(fd: interruption, events: Int16(POLLIN), revents: 0),
      ]
      var span = sources.mutableSpan
      // unsafe: poll is given the two entries of the array.
      let count = unsafe span.withUnsafeMutableBufferPointer { unsafe poll($0.baseAddress, 2, rest) }
      if count == 0 || (count > 0 && sources[0].revents == 0) { return isDrainedAfterHurrying() }
    }
  }

  /// `drain`, then ends the thread if nothing remains. The pump takes no bytes afterwards.
  public func finish(milliseconds: Int32, interruption: Int32 = -1) -> Bool {
    abort()
    guard drain(milliseconds: milliseconds, interruption: interruption) else { return false }
    lock.lock()
    closing = true
    lost = true
    let ending = thread.take()
    lock.unlock()
    wake.signal()
    ending?.join()
    return true
  }

  private var currentRoom: Int { max(0, capacity - queue.count - inFlight) }

  private func isDrainedAfterHurrying() -> Bool {
    let (done, wakeUp) = lock.withLock {
      hurried = true
      let wakeUp = waiting == .forLineEnd
      if wakeUp { waiting = .no }
      return (queue.isEmpty && inFlight == 0, wakeUp)
    }
    if wakeUp { wake.signal() }
    return done
  }

  /// Appends, starts or wakes the thread, and gives the lock back.
  private func enqueueAndUnlock(_ bytes: Span<UInt8>) {
    queue.append(bytes)
    hurried = false
    if thread == nil {
      do throws(SystemError) {
        thread = try Thread { self.run() }
      } catch {
        lock.unlock()
        return give(up: .failed(error.errno))
      }
    }
    let wakeUp: Bool
    switch waiting {
    case .no: wakeUp = false
    case .forBytes: wakeUp = true
    case .forLineEnd: wakeUp = bytes[bytes.count - 1] == 0x0A || queue.count >= Self.coalescedSize
    }
    if wakeUp { waiting = .no }
    lock.unlock()
    if wakeUp { wake.signal() }
  }
}

// The pump's thread.
extension OutputPump {
  private func run() {
    Self.blockSignals()
    var chunk = [UInt8](repeating: 0, count: Self.chunkSize)
    while let count = takeChunk(&chunk) {
      var done = 0
      while done < count {
        switch writeSome(chunk.span.extracting(done..<count)) {
        case .success(let written):
          done += written
          released(written)
        case .failure(let error) where error.errno == .again: waitUntilWritable()
        case .failure(let error):
          give(up: error.errno == .brokenPipe ? .readerGone : .failed(error.errno))
          // `inFlight` was forgotten with the rest.
          done = count
        }
      }
    }
  }

  /// Waits for bytes and takes up to a chunk of them; nil when the pump closes.
  private func takeChunk(_ chunk: inout [UInt8]) -> Int? {
    var gathered = false
    lock.lock()
    defer { lock.unlock() }
    while true {
      if queue.isEmpty {
        if closing { return nil }
        gathered = false
        pause(.forBytes, nanoseconds: nil)
      } else if !gathered && isLineOpen {
        gathered = true
        pause(.forLineEnd, nanoseconds: Self.coalescingTime)
      } else {
        var target = chunk.mutableSpan
        inFlight = queue.copyPrefix(into: &target)
        queue.drop(inFlight)
        return inFlight
      }
    }
  }

  /// Whether more of a console's line is worth waiting for.
  private var isLineOpen: Bool {
    coalesces && !hurried && !aborted && queue.count < Self.coalescedSize && queue.last != 0x0A
  }

  /// Gives the lock back while waiting for `wake`.
  private func pause(_ reason: Waiting, nanoseconds: Int?) {
    waiting = reason
    lock.unlock()
    var source = pollfd(fd: wake.descriptor.rawValue, events: Int16(POLLIN), revents: 0)
    if let nanoseconds {
      var time = timespec(tv_sec: 0, tv_nsec: nanoseconds)
      // unsafe: ppoll is given one entry and one time, both alive during the call.
      _ = unsafe ppoll(&source, 1, &time, nil)
    } else {
      // unsafe: as above.
      _ = unsafe ppoll(&source, 1, nil, nil)
    }
    wake.drain()
    lock.lock()
    waiting = .no
  }

  private func writeSome(_ bytes: Span<UInt8>) -> Result<Int, SystemError> {
    // unsafe: the buffer is valid for the call.
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(SystemError) {
        return .success(try unsafe descriptor?.write(buffer) ?? buffer.count)
      } catch {
        return .failure(error)
      }
    }
  }

  /// Someone else made the description non-blocking: it is theirs, so it is left as it is.
  private func waitUntilWritable() {
    var source = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
    // unsafe: poll is given one entry.
    _ = unsafe poll(&source, 1, -1)
  }

  private func released(_ count: Int) {
    lock.lock()
    inFlight -= count
    let done = queue.isEmpty && inFlight == 0
    let body = roomBody
    lock.unlock()
    space.broadcast()
    if done { drained.signal() }
    if let body { body() }
  }

  private func give(up loss: OutputLoss) {
    lock.lock()
    let first = !lost
    lost = true
    queue = ByteQueue()
    inFlight = 0
    let room = roomBody
    let body = lossBody
    lock.unlock()
    space.broadcast()
    drained.signal()
    if first, let body { body(loss) }
    if let room { room() }
  }

  /// Signals are the event loop's business. SIGPIPE stays blocked here, so that write(2) says EPIPE instead whatever its
  /// disposition is; faults of this thread itself are left to the process.
  private static func blockSignals() {
    var set = sigset_t()
    // unsafe: the set is filled here and outlives the calls.
    unsafe sigfillset(&set)
    for fault in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP] {
      // unsafe: as above.
      unsafe sigdelset(&set, fault)
    }
    // unsafe: as above.
    _ = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
  }
}
