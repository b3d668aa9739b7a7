import System

/// When each phase of one start was reached, on CLOCK_MONOTONIC. Written by the main thread and, for what the guest
/// marks, by the one vCPU thread that takes the mark; read after both have ended.
public final class Timeline: @unchecked Sendable {
  /// The phases of a start, in the order in which they are normally reached.
  public enum Phase: Int, CaseIterable, Sendable {
    case parse, backend, kernelFile, openKVM, createVM, memory, kernelLoad, vcpu, firstEntry, initramfs, connect,
      domainStart,
      kernel, initProcess, firstByte, exit, teardown

    /// The name in tables and JSON.
    public var name: String {
      switch self {
      case .parse: return "parse"
      case .backend: return "backend"
      case .kernelFile: return "kernel file"
      case .openKVM: return "open KVM"
      case .createVM: return "create VM"
      case .memory: return "memory"
      case .kernelLoad: return "kernel load"
      case .vcpu: return "vCPU"
      case .firstEntry: return "first entry"
      case .initramfs: return "initramfs"
      case .connect: return "connect"
      case .domainStart: return "domain start"
      case .kernel: return "kernel"
      case .initProcess: return "init"
      case .firstByte: return "first byte"
      case .exit: return "exit"
      case .teardown: return "teardown"
      }
    }
  }

  /// When vmrun's main was entered.
  public let start: UInt64
  private var ends = InlineArray<17, UInt64>(repeating: 0)

  /// A timeline that starts now.
  public init() { start = Clock.now() }

  /// A timeline that another process began at `start`, on the same clock.
  public init(start: UInt64) { self.start = min(start, Clock.now()) }

  /// Phase `phase` ends now; the first call for a phase counts.
  public func end(_ phase: Phase) {
    if ends[phase.rawValue] == 0 { ends[phase.rawValue] = Clock.now() }
  }

  /// Nanoseconds from the start to the end of `phase`, or nil when it was not reached.
  public func reached(_ phase: Phase) -> UInt64? {
    let end = ends[phase.rawValue]
    return end == 0 ? nil : end - start
  }

  /// The phases that were reached in order of time, each with its own length and the time at its end, in nanoseconds.
  public var waterfall: [(phase: Phase, length: UInt64, end: UInt64)] {
    var rows: [(phase: Phase, length: UInt64, end: UInt64)] = []
    for phase in Phase.allCases {
      guard let end = reached(phase) else { continue }
      // Of two at the same time the one that is normally first comes first.
      let place = rows.firstIndex { $0.end > end } ?? rows.count
      rows.insert((phase, 0, end), at: place)
    }
    var previous: UInt64 = 0
    for index in rows.indices {
      rows[index].length = rows[index].end - previous
      previous = rows[index].end
    }
    return rows
  }
}
