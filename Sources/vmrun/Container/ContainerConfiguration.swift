/// What one command line asks of a container, validated: every value is in range and no two contradict each other.
struct ContainerConfiguration: Equatable, Sendable {
  /// What the container sees of the network.
  enum Network: Equatable, Sendable {
    /// A `lo` of its own.
    case none
    /// The host's.
    case host
    /// An interface on a bridge with other containers and the host.
    case bridge
  }

  /// A file or folder of the host inside the container.
  struct Volume: Equatable, Sendable {
    /// Absolute, or relative to where vmrun was started.
    var source: String
    /// Absolute, not "/".
    var destination: String
    var isReadOnly: Bool
  }

  /// The directory that becomes the root; never changed.
  var rootfs: String
  /// The command and its arguments, in bytes; not empty.
  var arguments: [[UInt8]]
  /// "K=V" in bytes, in the order given.
  var environment: [[UInt8]] = []
  var workingDirectory = "/"
  var hostname = "vmrun"
  /// Numeric user and group in the container.
  var user: UInt32 = 0
  var group: UInt32 = 0
  /// Whether the command gets a terminal.
  var hasTerminal = false
  /// Thousandths of a processor's time; nil for as much as there is.
  var processorTime: UInt32?
  /// Bytes; nil for as much as there is.
  var memory: UInt64?
  /// Processes and threads; nil for as many as there may be.
  var processes: UInt32?
  var volumes: [Volume] = []
  var network = Network.none
  /// Nanoseconds from vmrun's start to a forced end; nil waits for ever.
  var timeout: UInt64?
  /// Whether the root cannot be written to.
  var isReadOnly = false
  /// A directory that keeps what the container changes; nil forgets it.
  var keptChanges: String?
  /// The container's ID; nil makes one up.
  var name: String?
}
