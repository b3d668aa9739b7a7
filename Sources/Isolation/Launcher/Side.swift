/// One of the places that are compared.
public enum IsolationSide: String, CaseIterable, Sendable {
  case host, container, vm

  /// The column's name.
  public var title: String { self == .vm ? "VM" : rawValue }
}

/// All that was found out about one side, from inside and from outside.
struct SideResult {
  let side: IsolationSide
  var findings = Findings()
  var bombs = Findings()
  var calls = CallTable()
  /// Why there is nothing of it; nil when there is.
  var failure: String?
  /// Why its bombs were not set off; nil when they were, or were not asked for.
  var bombFailure: String?
  /// The same files on the host, each just after the probe had read its own.
  var hostFiles: [[FileSample]] = []
  var counted: CountedCalls?
  var launcher: [LauncherProcess] = []
  /// What the host saw of what the probe made: by name, "seen" or why not.
  var crossings = Findings()
  var damage: [Damage] = []
  /// Exits of the processor from the guest by reason, during the workload; nil where they cannot be read.
  var exits: [(reason: String, count: UInt64)]?
  /// How the VM was run, when vmrun said so.
  var backend = ""

  init(_ side: IsolationSide) { self.side = side }

  /// Whether a program in place of the processor executes the guest.
  var isEmulated: Bool { backend.hasPrefix("libvirt, emulation") }

  /// The column's name, with how a VM was run.
  var title: String {
    let words = backend.utf8.split(separator: UInt8(ascii: ",")).prefix(2).map { String(decoding: $0, as: UTF8.self) }
    guard let first = words.first else { return side.title }
    return "\(side.title) (\(first)\(words.count > 1 ? ",\(words[1])" : ""))"
  }
}

/// System calls of the host's kernel that a sandbox's processes made, counted from outside.
struct CountedCalls {
  var total: UInt64 = 0
  var markers: UInt64 = 0
  /// Most frequent first.
  var calls: [(number: UInt32, count: UInt32)] = []
  var threads: UInt32 = 0
  var refused: UInt32 = 0
  var refusal: Int32 = 0
}

/// A process of the host that runs a sandbox, or is in it.
struct LauncherProcess {
  var name: String
  var threads: Int
  var user: String
  var capabilities: String
  var noNewPrivileges: String
  var seccomp: String
  /// Descriptors of /dev/kvm and what belongs to it.
  var kvmDescriptors: Int
  /// Whether it lives in the launcher's own PID namespace, and so is no process of the sandbox.
  var isOutside: Bool
}

/// What the host noticed of one bomb.
struct Damage {
  var name: String
  var milliseconds: UInt64 = 0
  /// KiB that the host had available before, and the least that it had meanwhile.
  var memoryBefore: UInt64 = 0
  var memoryLeast = UInt64.max
  /// Processes and threads of the host, before and at most.
  var tasksBefore: UInt64 = 0
  var tasksMost: UInt64 = 0
  var filesBefore: UInt64 = 0
  var filesMost: UInt64 = 0
  /// Processor time of the sandbox's processes, in milliseconds.
  var processorTime: UInt64 = 0
}
