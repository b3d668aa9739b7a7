import CLinux
import System

/// What else the observer wants to know of them.
extension ProcessTree {
  static func threads(of process: Int32) -> [Int32] {
    (SystemFile.names("/proc/\(process)/task") ?? []).compactMap { name in
      Text.number(name.utf8).flatMap { Int32(exactly: $0) }
    }
  }

  /// Milliseconds of processor time of `processes` and of the children that they waited for.
  static func processorTime(_ processes: [Int32]) -> UInt64 {
    let ticks = UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
    var sum: UInt64 = 0
    for process in processes {
      // proc(5): utime, stime, cutime and cstime are fields 14 to 17; the state is field 3.
      guard let fields = Self.fields(of: process), fields.count > 14 else { continue }
      for field in fields[11...14] { sum &+= Text.number(field) ?? 0 }
    }
    return sum &* 1000 / ticks
  }

  /// What the host shows about the privileges of one process.
  static func privileges(of process: Int32, own: String) -> LauncherProcess? {
    guard let status = SystemFile.read("/proc/\(process)/status").bytes else { return nil }
    var devices = 0
    for name in SystemFile.names("/proc/\(process)/fd") ?? [] {
      let target = SystemFile.link("/proc/\(process)/fd/\(name)")
      if target == "/dev/kvm" || target.hasPrefix("anon_inode:kvm") { devices += 1 }
    }
    let user = Text.fields(Array(Text.value("Uid", in: status).utf8)[...])
    return LauncherProcess(
      name: Text.value("Name", in: status), threads: threads(of: process).count,
      user: user.isEmpty ? "?" : Text.string(user[0]), capabilities: Text.value("CapEff", in: status),
      noNewPrivileges: Text.value("NoNewPrivs", in: status), seccomp: Text.value("Seccomp", in: status),
      kvmDescriptors: devices, isOutside: SystemFile.link("/proc/\(process)/ns/pid") == own)
  }
}

/// Figures of the whole host.
enum HostFigures {
  /// MemAvailable, in KiB.
  static func availableMemory() -> UInt64 {
    let text = Text.value("MemAvailable", in: SystemFile.read("/proc/meminfo").bytes ?? [])
    return Text.fields(Array(text.utf8)[...]).first.flatMap { Text.number($0) } ?? 0
  }

  /// Processes and threads: the second number of /proc/loadavg's fourth field.
  static func tasks() -> UInt64 {
    let fields = Text.fields((SystemFile.read("/proc/loadavg", limit: 256).bytes ?? [])[...])
    guard fields.count > 3, let border = fields[3].firstIndex(of: UInt8(ascii: "/")) else { return 0 }
    return Text.number(fields[3][(border + 1)...]) ?? 0
  }

  /// Open files.
  static func files() -> UInt64 {
    let fields = Text.fields((SystemFile.read("/proc/sys/fs/file-nr", limit: 256).bytes ?? [])[...])
    return fields.first.flatMap { Text.number($0) } ?? 0
  }

  private static let kvm = "/sys/kernel/debug/kvm"

  /// KVM's counters of all its machines; nil where debugfs is not mounted or may not be read.
  static func kvmCounters() -> [(name: String, value: UInt64)]? {
    guard let names = SystemFile.names(kvm) else { return nil }
    var counters: [(name: String, value: UInt64)] = []
    for name in names {
      let path = "\(kvm)/\(name)"
      guard SystemFile.kind(path) == "-", let value = Text.number(SystemFile.line(path).utf8) else { continue }
      counters.append((name, value))
    }
    return counters.isEmpty ? nil : counters
  }
}
