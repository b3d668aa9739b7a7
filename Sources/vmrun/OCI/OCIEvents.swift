import CLinux
import Container
import JSON
import System

/// `vmrun events`.
enum OCIEvents {
  static func statistics(_ id: String, _ statistics: CgroupStatistics) -> JSON {
    event("stats", id, statistics.json)
  }

  private static func event(_ type: String, _ id: String, _ data: JSON? = nil) -> JSON {
    var members: [JSON.Member] = [.init("type", .string(type)), .init("id", .string(id))]
    if let data { members.append(.init("data", data)) }
    return .object(members)
  }

  /// Prints statistics every `interval` nanoseconds, and kills for want of memory as they come, until the container ends.
  static func follow(
    _ id: String, _ placement: CgroupPlacement, interval: UInt64, _ engine: Engine, _ print: (JSON) -> Int32
  ) throws(ContainerError) -> Int32 {
    var watch = try placement.oomEvents()
    var next = Clock.now()
    while true {
      let now = Clock.now()
      if now >= next {
        guard isRunning(id, engine) else { return 0 }
        let code = print(event("stats", id, try placement.statistics().json))
        if code != 0 { return code }
        next = now &+ interval
        continue
      }
      // At least every second, so that the container's end is noticed.
      let wait = min((next - now) / 1_000_000 + 1, 1000)
      var ready = pollfd(fd: watch.descriptor.rawValue, events: Int16(POLLIN), revents: 0)
      // unsafe: poll reads and writes the one struct it is given.
      let count = unsafe poll(&ready, 1, Int32(wait))
      if count > 0 {
        switch watch.drain() {
        case .nothing: break
        case .ended: return 0
        case .outOfMemory:
          let code = print(event("oom", id))
          if code != 0 { return code }
        }
      } else if !isRunning(id, engine) {
        return 0
      }
    }
  }

  private static func isRunning(_ id: String, _ engine: Engine) -> Bool {
    guard let status = try? engine.state(id) else { return false }
    return status.status != .stopped
  }
}
