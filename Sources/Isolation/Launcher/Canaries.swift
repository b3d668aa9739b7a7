import CContainer
import CLinux
import System

/// Things planted on the host that no sandbox should find; they go with this object.
final class Canaries {
  let order: ProbeOrder
  private var sleeper: Int32 = 0
  private var sockets: [Int32] = []
  private var key = 0

  /// What each is called in the report, and what its probe calls it.
  static let all: [(name: String, text: String)] = [
    ("variable", "an environment variable of the launcher"), ("file", "a file on the host"),
    ("process", "a process by its name"), ("socket", "an abstract socket"),
    ("tcp", "a TCP port on the host's 127.0.0.1"), ("key", "a key in the user's keyring"),
    ("queue", "a SysV message queue"), ("mqueue", "a POSIX message queue"),
  ]

  /// The names of those that could not be planted, with the reason.
  private(set) var missing: [(name: String, reason: String)] = []

  /// Plants them.
  /// - Parameter order: with token and file; the port is added.
  init(_ order: ProbeOrder) {
    var order = order
    var port: UInt16 = 0
    // unsafe: the port is written before the call returns.
    let tcp = unsafe cisolation_listen_tcp(&port)
    order.port = port
    self.order = order
    note("tcp", tcp)
    // unsafe: names are passed that outlive the calls, here and below.
    let local = unsafe cisolation_listen_abstract(order.socketName)
    note("socket", local)
    sockets = [tcp, local].filter { $0 >= 0 }
    sleeper = unsafe cisolation_sleeper(order.processName)
    note("process", sleeper)
    key = unsafe cisolation_add_key(order.keyName)
    note("key", Int32(truncatingIfNeeded: min(0, key)))
    note("queue", cisolation_make_queue(order.queueKey))
    note("mqueue", unsafe cisolation_make_mqueue(order.queueName))
    do throws(SystemError) { try FileDescriptor.create(order.file).writeFully(Array("vmrun".utf8)) } catch {
      missing.append(("file", error.description))
    }
  }

  private func note(_ name: String, _ result: Int32) {
    if result < 0 { missing.append((name, ErrnoName.of(-result))) }
  }

  deinit {
    for socket in sockets { _ = close(socket) }
    if sleeper > 0 {
      _ = kill(sleeper, SIGKILL)
      var status: Int32 = 0
      // unsafe: the status is written before the call returns.
      _ = unsafe ccontainer_wait(sleeper, 0, &status)
    }
    if key > 0 { _ = cisolation_remove_key(key) }
    _ = cisolation_remove_queue(order.queueKey)
    // unsafe: the names outlive the calls.
    _ = unsafe cisolation_remove_mqueue(order.queueName)
    _ = unsafe unlink(order.file)
  }
}

/// Changes on the host that its counters show; they end with this object.
@safe final class HostLoad {
  private static let mebibytes: Int32 = 96
  private let memory: UnsafeMutableRawPointer?
  private var sockets: [Int32] = []

  /// What it does, for the report.
  static let text = "starts 300 processes, touches 96 MiB, opens 400 sockets, and turns a processor for 0.2 s"

  init() {
    // unsafe: given back by deinit.
    unsafe memory = cisolation_hold_memory(Self.mebibytes)
    _ = cisolation_fork_and_reap(300)
    for _ in 0..<400 {
      let socket = cisolation_idle_socket()
      if socket >= 0 { sockets.append(socket) }
    }
    cisolation_spin(200)
  }

  deinit {
    // unsafe: it is what init was given.
    if let memory = unsafe memory { unsafe cisolation_give_back_memory(memory, Self.mebibytes) }
    for socket in sockets { _ = close(socket) }
  }
}
