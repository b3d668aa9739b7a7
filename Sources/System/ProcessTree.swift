import CLinux

/// Processes of the host and their children, as /proc shows them (proc(5)).
public enum ProcessTree {
  /// `root` and all that descend from it, and the QEMUs that libvirt's daemon runs for any of them.
  public static func of(_ root: Int32) -> [Int32] {
    var parents: [(process: Int32, parent: Int32)] = []
    for name in directoryNames("/proc") ?? [] {
      guard let process = decimal(name.utf8), let fields = Self.fields(of: process), fields.count > 1,
        let parent = decimal(fields[1])
      else { continue }
      parents.append((process, launcher(of: process) ?? parent))
    }
    var tree = [root]
    var index = 0
    while index < tree.count {
      for (process, parent) in parents where parent == tree[index] && !tree.contains(process) { tree.append(process) }
      index += 1
    }
    return tree
  }

  /// The fields of the process's `stat` behind its name: the state, the parent ...; nil when it is no more.
  public static func fields(of process: Int32) -> [ArraySlice<UInt8>]? {
    // The second field, the name, may hold anything; the last parenthesis ends it.
    guard let bytes = contents("/proc/\(process)/stat"), let border = bytes.lastIndex(of: UInt8(ascii: ")")) else {
      return nil
    }
    return bytes[(border + 1)...].split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
  }

  /// The process that had libvirt start `process`: a QEMU's command line holds the domain's name, which begins with vmrun's process ID.
  private static func launcher(of process: Int32) -> Int32? {
    guard contents("/proc/\(process)/comm")?.starts(with: "qemu-".utf8) == true,
      let words = contents("/proc/\(process)/cmdline")?.split(separator: 0)
    else { return nil }
    let mark = Array("guest=vmrun-".utf8)
    for word in words where word.starts(with: mark) {
      return decimal(word.dropFirst(mark.count).prefix { $0 != UInt8(ascii: "-") })
    }
    return nil
  }

  private static func contents(_ path: String) -> [UInt8]? {
    guard let file = try? FileDescriptor.open(path, O_RDONLY) else { return nil }
    return try? file.rest(limit: 4096)
  }

  private static func decimal(_ digits: some Sequence<UInt8>) -> Int32? {
    var value: Int32?
    for digit in digits {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
      let (tenfold, overflow) = (value ?? 0).multipliedReportingOverflow(by: 10)
      let (sum, carry) = tenfold.addingReportingOverflow(Int32(digit - UInt8(ascii: "0")))
      if overflow || carry { return nil }
      value = sum
    }
    return value
  }
}
