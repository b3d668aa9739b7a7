import CLinux
import KernelCache
import System

/// KVM's module as it is loaded now.
struct KVMModule: Equatable {
  /// "kvm_intel", "kvm_amd", "kvm_pvm" or "unknown".
  let name: String
  /// The number of its folder in sysfs: every loading makes a new one.
  let generation: UInt64

  /// "KVM here (kvm_amd)", as messages begin.
  var subject: String { "KVM here (\(name))" }

  /// The module of this host. Of those that are built in, only the one of this processor's extension is at work.
  static func current() -> KVMModule {
    var candidates: [String] = []
    if clinux_cpuid(1, 0).ecx & 1 << 5 != 0 { candidates.append("kvm_intel") }
    if clinux_cpuid(0x8000_0001, 0).ecx & 1 << 2 != 0 { candidates.append("kvm_amd") }
    candidates.append("kvm_pvm")
    for name in candidates {
      var status = stat()
      // unsafe: stat fills the one struct it is given; the path is NUL-terminated for the call.
      if unsafe stat("/sys/module/\(name)", &status) == 0 { return KVMModule(name: name, generation: UInt64(status.st_ino)) }
    }
    return KVMModule(name: "unknown", generation: 0)
  }
}

/// What the probe found, kept in the user's cache folder for as long as the host runs and its KVM module stays loaded.
struct ProbeMemory {
  private let note: CacheNote
  private let boot: String?

  /// The memory in `folder`, of the start of the host that `boot` names; nil for either keeps nothing.
  init(folder: String? = CacheNote.folder(), boot: String? = ProbeMemory.bootID()) {
    note = CacheNote("kvm-probe", folder: folder)
    self.boot = boot
  }

  /// The number that the kernel gave itself at this start (random(4)): 36 hexadecimal digits and hyphens.
  static func bootID() -> String? {
    guard let file = try? FileDescriptor.open("/proc/sys/kernel/random/boot_id", O_RDONLY) else { return nil }
    var bytes = [UInt8](repeating: 0, count: 36)
    // unsafe: the buffer is the array's own memory, valid inside the closure.
    let count = unsafe bytes.withUnsafeMutableBytes { buffer in (try? unsafe file.read(into: buffer)) ?? 0 }
    return count == 36 ? String(decoding: bytes, as: UTF8.self) : nil
  }

  /// What is remembered of `module`.
  func recall(_ module: KVMModule) -> KVMProbe.Verdict? {
    guard let boot, let bytes = note.read(limit: ProbeRecord.sizeLimit), let record = ProbeRecord(bytes),
      record.boot == boot, record.module == module
    else { return nil }
    return KVMProbe.Verdict(
      ability: record.ability, reason: record.reason, remedy: "", module: module.name, isRemembered: true,
      nanoseconds: record.nanoseconds)
  }

  /// Remembers `verdict`, unless KVM could not be asked. That it cannot be kept costs the next launch a probe, and this one nothing.
  func keep(_ verdict: KVMProbe.Verdict, _ module: KVMModule) {
    guard let boot, verdict.ability != .unanswered else { return }
    let record = ProbeRecord(
      boot: boot, module: module, ability: verdict.ability, nanoseconds: verdict.nanoseconds, reason: verdict.reason)
    if ProbeRecord(record.bytes()) == record { try? note.write(record.bytes()) }
  }
}

/// The file: seven lines of "name value", in this order, and nothing else.
struct ProbeRecord: Equatable {
  let boot: String
  let module: KVMModule
  /// Never `unanswered`.
  let ability: KVMProbe.Ability
  let nanoseconds: UInt64
  let reason: String

  /// Of the file and of what the guest does: what another vmrun found is not believed.
  static let version = 1
  static let sizeLimit = 1024

  init(boot: String, module: KVMModule, ability: KVMProbe.Ability, nanoseconds: UInt64, reason: String) {
    self.boot = boot
    self.module = module
    self.ability = ability
    self.nanoseconds = nanoseconds
    self.reason = reason
  }

  /// The record in `bytes`; nil for anything that `bytes()` would not have written.
  init?(_ bytes: [UInt8]) {
    guard bytes.count <= Self.sizeLimit, bytes.last == UInt8(ascii: "\n"),
      // What is shown on a terminal holds nothing that a terminal obeys.
      bytes.allSatisfy({ $0 == UInt8(ascii: "\n") || ($0 >= 0x20 && $0 < 0x7F) })
    else { return nil }
    let lines = bytes.dropLast().split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    guard lines.count == 7, Self.value(lines[0], "vmrun-kvm-probe") == "\(Self.version)",
      let boot = Self.value(lines[1], "boot"), let name = Self.value(lines[2], "module"),
      let generation = Self.number(lines[3], "generation"), let word = Self.value(lines[4], "verdict"),
      let nanoseconds = Self.number(lines[5], "took"), let reason = Self.value(lines[6], "reason")
    else { return nil }
    switch word {
    case "capable": ability = .capable
    case "incapable": ability = .incapable
    default: return nil
    }
    self.boot = boot
    module = KVMModule(name: name, generation: generation)
    self.nanoseconds = nanoseconds
    self.reason = reason
  }

  /// The file's content.
  func bytes() -> [UInt8] {
    var text = "vmrun-kvm-probe \(Self.version)\nboot "
    text += boot
    text += "\nmodule "
    text += module.name
    text += "\ngeneration \(module.generation)\nverdict "
    text += ability == .capable ? "capable" : "incapable"
    text += "\ntook \(nanoseconds)\nreason "
    text += reason
    text += "\n"
    return Array(text.utf8)
  }

  private static func value(_ line: ArraySlice<UInt8>, _ name: String) -> String? {
    let prefix = Array(name.utf8) + [UInt8(ascii: " ")]
    guard line.starts(with: prefix), line.count > prefix.count else { return nil }
    return String(decoding: line.dropFirst(prefix.count), as: UTF8.self)
  }

  /// A number as it is written: no sign, no leading zero.
  private static func number(_ line: ArraySlice<UInt8>, _ name: String) -> UInt64? {
    guard let text = value(line, name), let number = UInt64(text), "\(number)" == text else { return nil }
    return number
  }
}
