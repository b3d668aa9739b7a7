import Bench
import Isolation

/// The commands beside launching and the runtime's verbs: `vmrun TOOL ...`.
enum Tool: String, CaseIterable {
  case bench, isolation, doctor, kernel

  init?(word: [UInt8]) {
    for tool in Self.allCases where word.elementsEqual(tool.rawValue.utf8) {
      self = tool
      return
    }
    return nil
  }

  /// Runs the tool with the words behind its name; returns the exit code.
  func run(_ words: [[UInt8]]) -> Int32 {
    switch self {
    case .bench: return BenchTool.run(words)
    case .isolation: return IsolationTool.run(words)
    case .doctor: return DoctorTool.run(words)
    case .kernel: return KernelTool.run(words)
    }
  }
}

/// What vmrun's executable is besides itself, for its own tools: `vmrun __ROLE ...`. Not for users.
enum HiddenRole: String, CaseIterable {
  /// The payload of the bench's arms.
  case payload = "__payload"
  /// What asks the questions inside the sandboxes that `vmrun isolation` compares.
  case isolationProbe = "__isolation-probe"

  init?(word: [UInt8]) {
    for role in Self.allCases where word.elementsEqual(role.rawValue.utf8) {
      self = role
      return
    }
    return nil
  }

  /// Plays it with the words behind its name; returns the exit code.
  func run(_ words: [[UInt8]]) -> Int32 {
    switch self {
    case .payload: return Payload.run(words)
    case .isolationProbe: return Probe.run(words)
    }
  }
}
