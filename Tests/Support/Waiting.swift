import CLinux
import System

/// Polls until `condition` holds; false when that takes longer than `milliseconds`.
public func eventually(milliseconds: UInt64 = 5000, _ condition: () -> Bool) -> Bool {
  let deadline = Clock.now() + milliseconds * 1_000_000
  while !condition() {
    if Clock.now() > deadline { return condition() }
    usleep(50)
  }
  return true
}

/// Lets `milliseconds` pass.
public func pause(milliseconds: UInt32) { usleep(milliseconds * 1000) }
