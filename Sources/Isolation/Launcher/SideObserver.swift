import CContainer
import CLinux
import System

/// Looks from outside while one side's probe waits, or explodes.
final class SideObserver: SandboxObserver {
  private(set) var result: SideResult
  private let order: ProbeOrder
  private let progress: (String) -> Void
  private var load: HostLoad?
  private var counters: [(name: String, value: UInt64)]?
  private var window: Damage?
  private var windowStart: UInt64 = 0

  init(_ result: SideResult, _ order: ProbeOrder, progress: @escaping (String) -> Void) {
    self.result = result
    self.order = order
    self.progress = progress
  }

  private static let bombs: [(name: String, begins: String, ends: String)] =
    ["fork", "memory", "descriptors", "processor"].map { ($0, "\($0)-begins", "\($0)-ends") }

  func reached(_ point: String, _ sandbox: Sandbox) {
    switch point {
    case "privilege":
      let own = SystemFile.link("/proc/self/ns/pid")
      for process in ProcessTree.of(sandbox.process) {
        if let found = ProcessTree.privileges(of: process, own: own) { result.launcher.append(found) }
      }
    case "files1":
      guard result.side != .host else { return }
      result.hostFiles = [SampledFiles.take()]
      if !order.isQuick { load = HostLoad() }
    case "files2":
      guard result.side != .host else { return }
      result.hostFiles.append(SampledFiles.take())
      load = nil
    case "effects": lookForEffects(sandbox)
    case "trace":
      counters = HostFigures.kvmCounters()
      sandbox.beginCounting()
    case "traced":
      result.counted = sandbox.endCounting()
      compareCounters()
    default:
      for bomb in Self.bombs {
        if point == bomb.begins { openWindow(bomb.name, sandbox) }
        if point == bomb.ends { closeWindow(sandbox) }
      }
    }
  }

  func tick(_ sandbox: Sandbox) {
    guard var damage = window else { return }
    damage.memoryLeast = min(damage.memoryLeast, HostFigures.availableMemory())
    damage.tasksMost = max(damage.tasksMost, HostFigures.tasks())
    damage.filesMost = max(damage.filesMost, HostFigures.files())
    window = damage
  }

  // MARK: Bombs

  private func openWindow(_ name: String, _ sandbox: Sandbox) {
    var damage = Damage(name: name)
    damage.memoryBefore = HostFigures.availableMemory()
    damage.tasksBefore = HostFigures.tasks()
    damage.filesBefore = HostFigures.files()
    damage.processorTime = ProcessTree.processorTime(ProcessTree.of(sandbox.process))
    window = damage
    windowStart = Clock.now()
  }

  private func closeWindow(_ sandbox: Sandbox) {
    tick(sandbox)
    guard var damage = window else { return }
    damage.milliseconds = (Clock.now() - windowStart) / 1_000_000
    let now = ProcessTree.processorTime(ProcessTree.of(sandbox.process))
    damage.processorTime = now > damage.processorTime ? now - damage.processorTime : 0
    result.damage.append(damage)
    window = nil
  }

  // MARK: Effects

  private func lookForEffects(_ sandbox: Sandbox) {
    func note(_ name: String, _ isSeen: Bool) { result.crossings.add(name, isSeen ? "seen" : "not seen") }
    note("hostname", SystemFile.line("/proc/sys/kernel/hostname") == order.insideHostname)
    // unsafe: names are passed that outlive the calls, here and below.
    note("key", unsafe cisolation_find_key(order.insideKey) > 0)
    note("queue", cisolation_find_queue(order.insideQueueKey) == 0)
    note("mqueue", unsafe cisolation_find_mqueue(order.insideQueue) == 0)
    note("socket", unsafe cisolation_connect_abstract(order.insideSocket) == 0)
    if let text = sandbox.reader.findings["effect.tcp"], let number = Text.number(text.utf8),
      let port = UInt16(exactly: number)
    {
      note("tcp", cisolation_connect_tcp(port) == 0)
    }
  }

  // MARK: KVM's counters

  private func compareCounters() {
    guard let before = counters, let after = HostFigures.kvmCounters() else { return }
    var exits: [(reason: String, count: UInt64)] = []
    for (name, value) in after {
      guard name.hasSuffix("exits"), let old = before.first(where: { $0.name == name }), value > old.value else {
        continue
      }
      exits.append((name, value - old.value))
    }
    exits.sort { $0.count > $1.count }
    result.exits = exits
  }
}
