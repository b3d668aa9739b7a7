import CContainer
import CLinux
import System

/// An exclusive lock that the kernel gives back when its holder ends (flock(2)).
struct BridgeLock: ~Copyable {
  private let file: FileDescriptor

  /// Waits for the lock of `folder`, which is made when it is missing.
  init(folder: String) throws(NetworkError) {
    file = try Self.locked(folder)
  }

  /// Runs `body` while holding the lock.
  consuming func hold<Value>(_ body: () throws(NetworkError) -> Value) throws(NetworkError) -> Value { try body() }

  private static func locked(_ folder: String) throws(NetworkError) -> FileDescriptor {
    if unsafe mkdir(folder, 0o700) != 0 {
      let error = Errno.current
      if error != .exists { throw NetworkError("bridge", SystemError("mkdir", folder, error)) }
    }
    do throws(SystemError) {
      let file = try FileDescriptor.open("\(folder)/bridge.lock", O_RDWR | O_CREAT | O_NOFOLLOW)
      while flock(file.rawValue, LOCK_EX) != 0 {
        let error = Errno.current
        if error != .interrupted { throw SystemError("flock", folder, error) }
      }
      return file
    } catch {
      throw NetworkError("bridge", error)
    }
  }
}
