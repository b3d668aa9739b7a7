import CContainer
import CLinux
import System

/// Looks for what the launcher planted on the host, and leaves things for the launcher to look for.
enum ProbeEffects {
  /// "found", or why it was not.
  private static func found(_ result: Int) -> String { result >= 0 ? "found" : ErrnoName.of(Int32(-result)) }
  /// "done", or why it was not.
  private static func done(_ result: Int32) -> String { result >= 0 ? "done" : ErrnoName.of(-result) }
  private static func opened(_ path: String) -> String {
    SystemFile.obstacleToWriting(path).map { ErrnoName.of($0.rawValue) } ?? "done"
  }

  // MARK: Canaries

  static func canaries(_ order: ProbeOrder, _ channel: inout ProbeChannel) {
    channel.put("canary.variable", variable(order) ? "found" : "not there")
    // unsafe: the path outlives the call.
    channel.put("canary.file", unsafe access(order.file, F_OK) == 0 ? "found" : ErrnoName.of(Errno.current.rawValue))
    var named = false
    for name in SystemFile.names("/proc") ?? [] where Text.number(name.utf8) != nil {
      if SystemFile.line("/proc/\(name)/comm") == order.processName { named = true }
    }
    channel.put("canary.process", named ? "found" : "not there")
    channel.put("canary.socket", found(Int(unsafe cisolation_connect_abstract(order.socketName))))
    channel.put("canary.tcp", order.port == 0 ? "not planted" : found(Int(cisolation_connect_tcp(order.port))))
    channel.put("canary.key", found(unsafe cisolation_find_key(order.keyName)))
    channel.put("canary.queue", found(Int(cisolation_find_queue(order.queueKey))))
    channel.put("canary.mqueue", found(Int(unsafe cisolation_find_mqueue(order.queueName))))
    channel.put("canary.hostname", SystemFile.line("/proc/sys/kernel/hostname"))
  }

  /// Whether any process's variables hold the canary's name, its own or another's.
  private static func variable(_ order: ProbeOrder) -> Bool {
    let name = Array(order.variable.utf8)
    for process in SystemFile.names("/proc") ?? [] where Text.number(process.utf8) != nil {
      if let bytes = SystemFile.read("/proc/\(process)/environ").bytes, Text.contains(bytes, name) { return true }
    }
    return false
  }

  // MARK: Effects

  static func effects(_ order: ProbeOrder, _ channel: inout ProbeChannel) {
    let ownName = SystemFile.line("/proc/sys/kernel/hostname")
    // On the host nothing may change: its own name again.
    let hostname = unsafe cisolation_set_hostname(order.isHost ? ownName : order.insideHostname)
    channel.put("effect.hostname", done(hostname))
    channel.put("effect.clock", done(cisolation_set_nothing_as_time()))
    channel.put("effect.nice", done(cisolation_lower_nice()))
    channel.put("effect.domainname", opened("/proc/sys/kernel/domainname"))
    channel.put("effect.core-pattern", opened("/proc/sys/kernel/core_pattern"))
    channel.put("effect.drop-caches", opened("/proc/sys/vm/drop_caches"))
    channel.put("effect.sysrq", opened("/proc/sysrq-trigger"))
    channel.put("effect.hugepages", opened("/sys/kernel/mm/transparent_hugepage/enabled"))
    channel.put("effect.log-read", done(cisolation_read_kernel_log()))
    channel.put("effect.log-write", opened("/dev/kmsg"))
    let key = unsafe cisolation_add_key(order.insideKey)
    channel.put("effect.key", key > 0 ? "done" : ErrnoName.of(Int32(-key)))
    channel.put("effect.queue", done(cisolation_make_queue(order.insideQueueKey)))
    channel.put("effect.mqueue", done(unsafe cisolation_make_mqueue(order.insideQueue)))
    let local = unsafe cisolation_listen_abstract(order.insideSocket)
    channel.put("effect.socket", done(local))
    var port: UInt16 = 0
    // unsafe: the port is written before the call returns.
    let tcp = unsafe cisolation_listen_tcp(&port)
    channel.put("effect.tcp", tcp >= 0 ? "\(port)" : ErrnoName.of(-tcp))
    // On the host a mount would be seen by everybody.
    let mounted = order.isHost ? -1 : unsafe cisolation_mount_tmpfs("/tmp")
    channel.put("effect.mount", order.isHost ? "not tried" : done(mounted))
    channel.wait("effects")
    if mounted == 0 { _ = unsafe cisolation_unmount("/tmp") }
    if local >= 0 { _ = close(local) }
    if tcp >= 0 { _ = close(tcp) }
    _ = unsafe cisolation_remove_mqueue(order.insideQueue)
    _ = cisolation_remove_queue(order.insideQueueKey)
    if key > 0 { _ = cisolation_remove_key(key) }
    if hostname == 0 { _ = unsafe cisolation_set_hostname(ownName) }
  }
}

/// What a sandbox can take: each bomb is bounded by itself, in time and size, and by the limits that the launcher gave the sandbox.
enum ProbeBombs {
  static let mostForks: Int32 = 500
  static let mostMebibytes: Int32 = 256
  static let mostDescriptors: Int32 = 20_000
  static let spinners: Int32 = 4
  static let spinTime: Int32 = 1500

  static func run(_ channel: inout ProbeChannel) {
    // unsafe: each writes the one number that it is given.
    unsafe bomb("fork", &channel) { unsafe cisolation_bomb_forks(mostForks, 4000, $0) }
    unsafe bomb("memory", &channel) { unsafe cisolation_bomb_memory(mostMebibytes, 6000, $0) }
    unsafe bomb("descriptors", &channel) { unsafe cisolation_bomb_descriptors(mostDescriptors, 4000, $0) }
    unsafe bomb("processor", &channel) { unsafe cisolation_bomb_processor(spinners, spinTime, $0) }
  }

  private static func bomb(
    _ name: String, _ channel: inout ProbeChannel, _ body: (UnsafeMutablePointer<Int32>) -> Int32
  ) {
    channel.wait("\(name)-begins")
    var error: Int32 = 0
    let start = Clock.now()
    let count = unsafe body(&error)
    channel.put("bomb.\(name)", "\(count) \(error) \((Clock.now() - start) / 1_000_000)")
    channel.wait("\(name)-ends")
  }
}
