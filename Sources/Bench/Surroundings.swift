import CContainer
import CLinux
import Report
import System

/// Where the bench runs: what a reader needs to know to believe the figures.
public enum Surroundings {
  /// The process's environment, "NAME=VALUE".
  public static func variables() -> [[UInt8]] {
    // unsafe: the C library's array, which ends in a null pointer; its strings are NUL-terminated.
    guard let start = unsafe clinux_environment() else { return [] }
    var variables: [[UInt8]] = []
    var next = unsafe start
    while let text = unsafe next.pointee {
      unsafe variables.append(Array(String(cString: text).utf8))
      unsafe next += 1
    }
    return variables
  }

  /// The facts, in the order in which they are shown.
  public static func facts() -> [Fact] {
    var facts: [Fact] = []
    func add(_ name: String, _ value: String?) { if let value, !value.isEmpty { facts.append(Fact(name, value)) } }
    let processor = Processor.current
    add("processor", processor.model)
    add("processors", "\(sysconf(Int32(_SC_NPROCESSORS_ONLN)))")
    add("kernel", Files.line("/proc/sys/kernel/osrelease"))
    add("virtualised", processor.isVirtual ? "yes: this host is itself a virtual machine" : "not by what CPUID says")
    add("KVM", kvm(processor))
    add("frequency governor", governor())
    add("transparent huge pages", chosen(Files.line("/sys/kernel/mm/transparent_hugepage/enabled")))
    add("cgroups", cgroups())
    add("mitigations", mitigations())
    add("load", Files.line("/proc/loadavg"))
    if let total = Memory.field("MemTotal:"), let available = Memory.available() {
      add("memory", "\(total >> 20) MiB, \(available >> 20) MiB available")
    }
    add("inside", container())
    return facts
  }

  /// The first line that each program of `names` says of its version.
  public static func versions(of names: [String]) -> [Fact] {
    var facts: [Fact] = []
    for (arm, program) in [
      ("bwrap", "bwrap"), ("crun", "crun"), ("runc", "runc"), ("podman", "podman"), ("docker", "docker"),
      ("qemu-microvm", "qemu-system-x86_64"),
    ] where names.contains(arm) {
      guard let path = Files.program(program),
        let said = Program.run(
          [Array(path.utf8), Array("--version".utf8)], environment: variables(), timeout: 10_000_000_000),
        said.exitCode == 0
      else { continue }
      let line = said.output.prefix { $0 != UInt8(ascii: "\n") }
      facts.append(Fact(program, String(decoding: line, as: UTF8.self)))
    }
    return facts
  }

  private struct Processor {
    var model = ""
    var hasHardware = false
    var isVirtual = false

    static var current: Processor {
      var processor = Processor()
      for line in (Files.read("/proc/cpuinfo", limit: 64 << 10) ?? []).split(separator: UInt8(ascii: "\n")) {
        let parts = line.split(separator: UInt8(ascii: ":"), maxSplits: 1)
        guard parts.count == 2 else { continue }
        let name = parts[0].prefix { $0 != UInt8(ascii: "\t") && $0 != UInt8(ascii: " ") }
        if processor.model.isEmpty, line.starts(with: "model name".utf8) {
          processor.model = String(decoding: parts[1].drop { $0 == UInt8(ascii: " ") }, as: UTF8.self)
        } else if name.elementsEqual("flags".utf8) {
          for flag in parts[1].split(separator: UInt8(ascii: " ")) {
            if flag.elementsEqual("vmx".utf8) || flag.elementsEqual("svm".utf8) { processor.hasHardware = true }
            if flag.elementsEqual("hypervisor".utf8) { processor.isVirtual = true }
          }
          break
        }
      }
      return processor
    }
  }

  private static func kvm(_ processor: Processor) -> String {
    // unsafe: the path is NUL-terminated for the call.
    let usable = unsafe access("/dev/kvm", R_OK | W_OK) == 0
    guard usable else { return "/dev/kvm: \(Errno.current)" }
    let modules = Files.names(in: "/sys/module").filter { $0.utf8.starts(with: "kvm_".utf8) }
    let module = modules.isEmpty ? "built in" : modules.joined(separator: ", ")
    if modules.contains("kvm_pvm") { return "\(module): paravirtual (PVM), no hardware virtualisation" }
    guard processor.hasHardware else { return "\(module): the processor shows neither vmx nor svm" }
    return "\(module): " + (processor.isVirtual ? "hardware, nested" : "hardware")
  }

  private static func governor() -> String {
    Files.line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") ?? "not shown by this host"
  }

  /// The word in brackets of "always [madvise] never".
  private static func chosen(_ line: String?) -> String? {
    guard let line else { return nil }
    let bytes = Array(line.utf8)
    guard let open = bytes.firstIndex(of: UInt8(ascii: "[")), let close = bytes.firstIndex(of: UInt8(ascii: "]")),
      open < close
    else { return line }
    return String(decoding: bytes[(open + 1)..<close], as: UTF8.self)
  }

  private static func cgroups() -> String {
    if Files.isFile("/sys/fs/cgroup/cgroup.controllers") { return "v2" }
    return Files.names(in: "/sys/fs/cgroup").contains("unified") ? "v1, with v2 at unified" : "v1"
  }

  /// How many of the processor's weaknesses the kernel works around.
  private static func mitigations() -> String? {
    let folder = "/sys/devices/system/cpu/vulnerabilities"
    let names = Files.names(in: folder)
    guard !names.isEmpty else { return nil }
    var (mitigated, vulnerable) = (0, 0)
    for name in names {
      let line = Array((Files.line("\(folder)/\(name)") ?? "").utf8)
      if line.starts(with: "Mitigation".utf8) { mitigated += 1 }
      if line.starts(with: "Vulnerable".utf8) { vulnerable += 1 }
    }
    return
      "\(mitigated) mitigated, \(vulnerable) vulnerable, \(names.count - mitigated - vulnerable) not affected or unknown"
  }

  /// Signs that the bench itself runs in a container.
  private static func container() -> String? {
    if Files.isFile("/.dockerenv") { return "a docker container (/.dockerenv)" }
    if Files.isFile("/run/.containerenv") { return "a podman container (/run/.containerenv)" }
    for variable in (Files.read("/proc/1/environ", limit: 64 << 10) ?? []).split(separator: 0) {
      if variable.starts(with: "container=".utf8) {
        return "a container (\(String(decoding: variable, as: UTF8.self)))"
      }
    }
    return nil
  }
}
