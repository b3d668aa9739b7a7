import CContainer
import CLinux
import System

/// What a process sees of the machine that it believes to be on, and of its own privileges.
enum ProbeFacts {
  // MARK: Whose kernel

  static func kernel(_ channel: inout ProbeChannel) {
    channel.put("kernel.release", SystemFile.line("/proc/sys/kernel/osrelease"))
    channel.put("kernel.version", SystemFile.line("/proc/sys/kernel/version"))
    channel.put("kernel.boot", SystemFile.line("/proc/sys/kernel/random/boot_id"))
    let statistics = SystemFile.read("/proc/stat", limit: 1 << 18).bytes ?? []
    for line in Text.lines(statistics) where line.starts(with: "btime ".utf8) {
      channel.put("kernel.btime", Text.string(line.dropFirst(6)))
    }
    let uptime = SystemFile.line("/proc/uptime")
    channel.put("kernel.uptime", String(decoding: uptime.utf8.prefix { $0 != 0x2E }, as: UTF8.self))
  }

  // MARK: What is visible

  static func visible(_ channel: inout ProbeChannel) {
    processes(&channel)
    mounts(&channel)
    devices(&channel)
    sockets(&channel)
    processor(&channel)
    let modules = SystemFile.read("/proc/modules", limit: 1 << 18)
    if let bytes = modules.bytes { channel.put("modules", Text.lines(bytes).count) }
    var interfaces: [String] = []
    for line in Text.lines(SystemFile.read("/proc/self/net/dev").bytes ?? []).dropFirst(2) {
      let name = Text.trimmed(line.prefix { $0 != UInt8(ascii: ":") })
      interfaces.append(Text.string(name))
    }
    channel.put("interfaces", Text.list(interfaces, most: 6))
    if let users = SystemFile.read("/etc/passwd").bytes { channel.put("users", Text.lines(users).count) }
    for line in Text.lines(SystemFile.read("/proc/self/cgroup").bytes ?? []) {
      channel.put("cgroup", Text.string(line))
    }
    channel.put("cmdline", SystemFile.line("/proc/cmdline"))
    for name in ["sys_vendor", "product_name", "board_vendor", "bios_vendor"] {
      let value = SystemFile.line("/sys/class/dmi/id/\(name)")
      if !value.isEmpty { channel.put("dmi", "\(name) \(value)") }
    }
    channel.put("memory", Text.value("MemTotal", in: SystemFile.read("/proc/meminfo").bytes ?? []))
    for name in ["pid", "net", "mnt", "uts", "ipc", "user", "cgroup", "time"] {
      channel.put("namespace", "\(name) \(SystemFile.link("/proc/self/ns/\(name)"))")
    }
    channel.put("pid", Int(getpid()))
  }

  private static func processes(_ channel: inout ProbeChannel) {
    var names: [String] = []
    var count = 0
    for name in SystemFile.names("/proc") ?? [] where Text.number(name.utf8) != nil {
      count += 1
      let comm = SystemFile.line("/proc/\(name)/comm")
      if !comm.isEmpty, names.count < 64, !names.contains(comm) { names.append(comm) }
    }
    channel.put("processes", count)
    channel.put("process.names", Text.list(names, most: 6))
  }

  private static func mounts(_ channel: inout ProbeChannel) {
    var (count, shared) = (0, 0)
    var types: [String] = []
    for line in Text.lines(SystemFile.read("/proc/self/mountinfo", limit: 1 << 18).bytes ?? []) {
      count += 1
      // proc(5): optional fields from the seventh on, then "-", the type and the source.
      let fields = Text.fields(line)
      var index = 6
      while index < fields.count, !fields[index].elementsEqual("-".utf8) {
        if fields[index].starts(with: "shared:".utf8) || fields[index].starts(with: "master:".utf8) { shared += 1 }
        index += 1
      }
      guard index + 1 < fields.count else { continue }
      let type = Text.string(fields[index + 1])
      if !types.contains(type) { types.append(type) }
    }
    channel.put("mounts", count)
    channel.put("mounts.shared", shared)
    channel.put("mounts.types", Text.list(types, most: 8))
  }

  private static func devices(_ channel: inout ProbeChannel) {
    var nodes: [String] = []
    for name in SystemFile.names("/dev") ?? [] {
      let kind = SystemFile.kind("/dev/\(name)")
      if kind == "c" || kind == "b" { nodes.append(name) }
    }
    channel.put("devices", nodes.count)
    channel.put("devices.names", Text.list(nodes, most: 8))
    for name in ["kvm", "mem", "kmsg", "fuse", "net/tun", "vhost-net", "disk"] where nodes.contains(name) {
      channel.put("device.special", name)
    }
  }

  private static func sockets(_ channel: inout ProbeChannel) {
    var all = 0
    for name in ["tcp", "tcp6", "udp", "udp6", "raw", "packet", "netlink", "unix"] {
      guard let bytes = SystemFile.read("/proc/self/net/\(name)", limit: 1 << 18).bytes else { continue }
      all += max(0, Text.lines(bytes).count - 1)
    }
    channel.put("sockets", all)
  }

  private static func processor(_ channel: inout ProbeChannel) {
    let file = SystemFile.read("/proc/cpuinfo", limit: 1 << 18).bytes ?? []
    var count = 0
    for line in Text.lines(file) where line.starts(with: "processor".utf8) { count += 1 }
    channel.put("processors", count)
    func value(_ name: String) -> String {
      for line in Text.lines(file) where line.starts(with: name.utf8) {
        guard let border = line.firstIndex(of: UInt8(ascii: ":")) else { continue }
        return Text.string(Text.trimmed(line[(border + 1)...]))
      }
      return ""
    }
    channel.put("processor.model", value("model name"))
    channel.put("processor.flags", value("flags"))
  }

  // MARK: Privileges

  static func privilege(_ channel: inout ProbeChannel) {
    let status = SystemFile.read("/proc/self/status").bytes ?? []
    for name in [
      "Uid", "CapEff", "CapBnd", "CapPrm", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
    ] {
      let value = Text.value(name, in: status)
      let words = Text.fields(Array(value.utf8)[...]).map { Text.string($0) }
      channel.put("status.\(name == "Seccomp_filters" ? "filters" : lower(name))", Text.list(words, most: 4))
    }
    for line in Text.lines(SystemFile.read("/proc/self/uid_map").bytes ?? []) {
      channel.put("uidmap", Text.list(Text.fields(line).map { Text.string($0) }, most: 3))
    }
    let label = SystemFile.line("/proc/self/attr/current")
    channel.put("label", label)
    channel.put("securebits", Int(cisolation_securebits()))
  }

  private static func lower(_ name: String) -> String {
    String(decoding: name.utf8.map { $0 >= 0x41 && $0 <= 0x5A ? $0 | 0x20 : $0 }, as: UTF8.self)
  }
}
