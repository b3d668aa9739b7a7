/// One thing that was tried, and what came of it.
public struct Finding: Equatable, Sendable {
  /// What came of it.
  public enum State: Equatable, Sendable {
    /// It works.
    case works
    /// It is not there, and only something beside the main jobs is lost.
    case missing
    /// It does not work, and a main job suffers.
    case fails

    /// As it stands at a line's beginning: readable without colour.
    public var word: String {
      switch self {
      case .works: return "ok"
      case .missing: return "--"
      case .fails: return "NO"
      }
    }

    /// In JSON.
    public var name: String {
      switch self {
      case .works: return "ok"
      case .missing: return "missing"
      case .fails: return "no"
      }
    }
  }

  /// The groups of a report, in their order.
  public enum Section: CaseIterable, Sendable {
    case kvm, libvirt, kernels, namespaces, cgroups, containers, network, limits

    /// The heading.
    public var title: String {
      switch self {
      case .kvm: return "KVM"
      case .libvirt: return "libvirt and QEMU"
      case .kernels: return "kernels"
      case .namespaces: return "namespaces"
      case .cgroups: return "cgroups"
      case .containers: return "containers"
      case .network: return "network"
      case .limits: return "limits"
      }
    }
  }

  /// The name by which programs know it; never changes.
  public let id: String
  public let section: Section
  /// What was tried, in a word or two.
  public let title: String
  public let state: State
  /// What was seen.
  public let text: String
  /// What one does without as long as it does not work; empty when it works.
  public let cost: String
  /// What to type to mend it; empty when it works, and where nothing helps.
  public let remedy: String
  /// On a screen, those of a section that work stand on one line under this title, each by its own title alone; empty for a line of its own.
  public let group: String

  /// Something that works.
  public static func works(
    _ id: String, _ section: Section, _ title: String, _ text: String, group: String = ""
  ) -> Finding {
    Finding(
      id: id, section: section, title: title, state: .works, text: text, cost: "", remedy: "", group: group)
  }

  /// Something that does not.
  public static func lacks(
    _ id: String, _ section: Section, _ title: String, _ text: String, state: State = .fails, cost: String,
    remedy: String = "", group: String = ""
  ) -> Finding {
    Finding(id: id, section: section, title: title, state: state, text: text, cost: cost, remedy: remedy, group: group)
  }
}

/// Who asks.
struct Caller: Equatable, Sendable {
  /// The effective user.
  var user: UInt32
  /// Whether this user is root.
  var isRoot: Bool { user == 0 }

  /// `command` as this user types it to have it done by root.
  func asRoot(_ command: String) -> String { isRoot ? command : "sudo \(command)" }
}
