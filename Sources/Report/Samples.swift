/// One moment of a start, in nanoseconds from the start of the process.
public struct PhaseEnd: Equatable, Sendable {
  public var name: String
  public var end: UInt64

  public init(name: String, end: UInt64) {
    self.name = name
    self.end = end
  }
}

/// What was measured of one run of one arm. Times in nanoseconds; what could not be measured is nil.
public struct Sample: Equatable, Sendable {
  /// From just before the process was made to wait4(2) returning.
  public var wall: UInt64
  /// From just before the process was made to the first byte of the payload's output.
  public var firstByte: UInt64?
  /// Processor time in user and system mode, of the process and its waited-for children.
  public var user: UInt64
  public var system: UInt64
  /// Peak resident memory of the largest process, in bytes.
  public var peakResident: UInt64
  /// The phases that the arm tells about itself, in order of time.
  public var phases: [PhaseEnd]
  /// The sample's place among all runs of the bench, from 0: what drift is looked for in.
  public var order: UInt64
  /// What the run ended with: its exit code, or 128 and the signal's number.
  public var exitCode: Int32

  public init(
    wall: UInt64, firstByte: UInt64? = nil, user: UInt64 = 0, system: UInt64 = 0, peakResident: UInt64 = 0,
    phases: [PhaseEnd] = [], order: UInt64 = 0, exitCode: Int32 = 0
  ) {
    self.wall = wall
    self.firstByte = firstByte
    self.user = user
    self.system = system
    self.peakResident = peakResident
    self.phases = phases
    self.order = order
    self.exitCode = exitCode
  }
}

/// Whether the files of an arm were in memory when it started.
public enum PageCache: String, Sendable { case warm, cold }

/// One of the things that are compared.
public struct Arm: Equatable, Sendable {
  /// What keeps the payload apart from the host.
  public enum Kind: String, Sendable { case host, container, machine }

  /// Short, of lower-case letters, digits and '-': what `--arms` and `--fail-if` name.
  public var id: String
  /// For people.
  public var name: String
  public var kind: Kind
  /// Whether it is another program than vmrun.
  public var isPeer: Bool
  /// How the command was started, for the report's "how to reproduce".
  public var command: [String]
  /// What a reader must know to read the figures, such as "libvirt, QEMU's TCG: no hardware virtualisation"; empty for nothing.
  public var note: String

  public init(id: String, name: String, kind: Kind, isPeer: Bool, command: [String], note: String = "") {
    self.id = id
    self.name = name
    self.kind = kind
    self.isPeer = isPeer
    self.command = command
    self.note = note
  }
}

/// All samples of one arm with one state of the page cache.
public struct Series: Equatable, Sendable {
  public var arm: String
  public var cache: PageCache
  public var samples: [Sample]
  /// Bytes that are read from storage for one run, and system calls of one run; nil where they could not be counted.
  public var bytesRead: UInt64?
  public var systemCalls: UInt64?
  /// PSS of the launcher's processes while the payload waits, in bytes.
  public var residentShare: UInt64?

  public init(
    arm: String, cache: PageCache, samples: [Sample], bytesRead: UInt64? = nil, systemCalls: UInt64? = nil,
    residentShare: UInt64? = nil
  ) {
    self.arm = arm
    self.cache = cache
    self.samples = samples
    self.bytesRead = bytesRead
    self.systemCalls = systemCalls
    self.residentShare = residentShare
  }
}

/// One arm with several at once.
public struct ConcurrencyPoint: Equatable, Sendable {
  public var arm: String
  /// How many run at once.
  public var level: UInt32
  /// Wall time of each run, in nanoseconds.
  public var latencies: [UInt64]
  /// From the first start to the last end, in nanoseconds.
  public var elapsed: UInt64

  public init(arm: String, level: UInt32, latencies: [UInt64], elapsed: UInt64) {
    self.arm = arm
    self.level = level
    self.latencies = latencies
    self.elapsed = elapsed
  }
}

/// One arm with so many instances waiting.
public struct DensityPoint: Equatable, Sendable {
  public var arm: String
  public var count: UInt32
  /// Sum of the PSS of all their processes, in bytes; nil where it could not be read.
  public var residentShare: UInt64?
  /// How much less memory the host has available than before the first one, in bytes; may be negative.
  public var availableChange: Int64

  public init(arm: String, count: UInt32, residentShare: UInt64?, availableChange: Int64) {
    self.arm = arm
    self.count = count
    self.residentShare = residentShare
    self.availableChange = availableChange
  }
}
