import CLinux
import System

/// Whether this host lets a user without privileges make a container, and the setting to change where it does not.
enum RootlessCheck {
  /// The first setting that forbids it, with what to do; nil when none does.
  /// - Parameter setting: the content of a file below /proc/sys, or nil when there is none.
  static func obstacle(_ setting: (String) -> [UInt8]?) -> String? {
    if number(setting("kernel/unprivileged_userns_clone")) == 0 {
      return "this host forbids user namespaces; as root: sysctl -w kernel.unprivileged_userns_clone=1"
    }
    if number(setting("user/max_user_namespaces")) == 0 {
      return "this host allows no user namespaces; as root: sysctl -w user.max_user_namespaces=10000"
    }
    if number(setting("kernel/apparmor_restrict_unprivileged_userns")) == 1 {
      return
        "AppArmor restricts user namespaces on this host; as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile for vmrun that allows userns"
    }
    return nil
  }

  /// The same, about this host.
  static func obstacle() -> String? { obstacle { name in try? HostFile.read("/proc/sys/\(name)", limit: 64) } }

  private static func number(_ bytes: [UInt8]?) -> Int? {
    guard let bytes else { return nil }
    return Int(String(decoding: bytes.prefix { $0 >= 0x30 && $0 <= 0x39 }, as: UTF8.self))
  }

  /// What may be behind a refusal that no setting explains.
  static func explain(_ text: String) -> String {
    guard text.utf8.containsSequence("overlay") else { return text }
    return
      "\(text); without root an overlay needs a kernel that allows it in user namespaces (Linux 5.11), and a --rootfs that its user may read"
  }
}

extension String.UTF8View {
  /// Whether `text` stands somewhere in it.
  func containsSequence(_ text: String) -> Bool {
    let wanted = Array(text.utf8)
    let bytes = Array(self)
    guard bytes.count >= wanted.count else { return false }
    return (0...(bytes.count - wanted.count)).contains { bytes[$0..<($0 + wanted.count)].elementsEqual(wanted) }
  }
}
