import CContainer
import JSON
import Testing

@testable import OCI

@Suite struct DefaultsTests {
  /// The position in the list is the kernel's number.
  @Test func capabilityNumbers() {
    for (name, number) in [
      ("CAP_CHOWN", CAP_CHOWN), ("CAP_KILL", CAP_KILL), ("CAP_NET_ADMIN", CAP_NET_ADMIN),
      ("CAP_SYS_ADMIN", CAP_SYS_ADMIN),
      ("CAP_MKNOD", CAP_MKNOD), ("CAP_SETFCAP", CAP_SETFCAP), ("CAP_SYSLOG", CAP_SYSLOG),
      ("CAP_AUDIT_READ", CAP_AUDIT_READ), ("CAP_CHECKPOINT_RESTORE", CAP_CHECKPOINT_RESTORE),
    ] { #expect(CapabilityName.number(of: name) == Int(number), "\(name)") }
    #expect(
      CapabilityName.all.count == Int(CAP_LAST_CAP) + 1 && Set(CapabilityName.all).count == CapabilityName.all.count)
    #expect(CapabilityName.number(of: "net_admin") == 12 && CapabilityName.number(of: "CAP_NONE") == nil)
    #expect(CapabilityName.names(of: CapabilityName.mask(["CAP_KILL", "CAP_BPF"])) == ["CAP_KILL", "CAP_BPF"])
    // The mask that docker's containers show in /proc/self/status.
    #expect(DockerDefaults.capabilities == 0xA804_25FB)
  }

  @Test func seccompDependsOnCapabilities() {
    let plain = DockerDefaults.seccomp(capabilities: DockerDefaults.capabilities)
    let all = DockerDefaults.seccomp(capabilities: .max)
    let none = DockerDefaults.seccomp(capabilities: 0)
    func allowed(_ profile: Seccomp, _ name: String) -> Bool {
      profile.syscalls.contains { $0.action == .allow && $0.args.isEmpty && $0.names.contains(name) }
    }
    for (name, capability) in [
      ("mount", "CAP_SYS_ADMIN"), ("reboot", "CAP_SYS_BOOT"), ("init_module", "CAP_SYS_MODULE"), ("bpf", "CAP_BPF"),
      ("clock_settime", "CAP_SYS_TIME"), ("iopl", "CAP_SYS_RAWIO"), ("set_mempolicy", "CAP_SYS_NICE"),
      ("open_by_handle_at", "CAP_DAC_READ_SEARCH"), ("acct", "CAP_SYS_PACCT"), ("syslog", "CAP_SYSLOG"),
      ("vhangup", "CAP_SYS_TTY_CONFIG"), ("pidfd_getfd", "CAP_SYS_PTRACE"), ("perf_event_open", "CAP_PERFMON"),
    ] {
      #expect(!allowed(plain, name) && allowed(all, name), "\(name)")
      #expect(allowed(DockerDefaults.seccomp(capabilities: CapabilityName.mask([capability])), name), "\(name)")
    }
    #expect(allowed(plain, "chroot") && !allowed(none, "chroot"))
    for name in ["read", "execve", "openat2", "ptrace", "landlock_restrict_self", "uname"] {
      #expect(allowed(none, name))
    }
    for name in ["io_uring_setup", "kexec_load", "swapon", "keyctl", "userfaultfd"] {
      #expect(!allowed(all, name), "\(name)")
    }
    let clone = plain.syscalls.first { $0.names == ["clone"] }
    #expect(clone?.args == [.init(index: 0, value: 2_114_060_288, comparison: .maskedEqual)])
    #expect(plain.syscalls.contains { $0.names == ["clone3"] && $0.action == .errno && $0.errno == 38 })
    #expect(!all.syscalls.contains { $0.names == ["clone"] || $0.names == ["clone3"] })
    let families = plain.syscalls.filter { $0.names == ["socket"] }.flatMap(\.args)
    #expect(!families.contains { $0.comparison == .equal && ($0.value == 38 || $0.value == 40) })
    #expect(families.contains { $0.comparison == .less && $0.value == 12 } && families.contains { $0.value == 16 })
    #expect(plain.defaultAction == .errno && plain.defaultErrno == 1 && plain.architectures.count == 3)
  }

  @Test func namesStandOnce() throws {
    let names = try #require(DockerDefaults.seccomp(capabilities: 0).syscalls.first).names
    #expect(names.count > 350 && Set(names).count == names.count)
  }

  @Test(arguments: [false, true]) func templateIsAConfiguration(rootless: Bool) throws {
    let json = Spec.template(rootless: rootless ? (user: 1000, group: 1001) : nil)
    let spec = try Spec(decoding: JSON.parse(json.serialized(pretty: true)))
    #expect(spec.warnings.isEmpty && spec.process?.args == [Array("sh".utf8)] && spec.root?.isReadOnly == true)
    #expect(spec.process?.capabilities == Process.Capabilities(all: DockerDefaults.capabilities))
    #expect((spec.linux.namespace(.user) != nil) == rootless && (spec.linux.namespace(.network) == nil) == rootless)
    #expect(spec.linux.uidMappings.map(\.hostID) == (rootless ? [1000] : []))
    #expect(spec.linux.gidMappings.map(\.hostID) == (rootless ? [1001] : []))
    #expect(spec.mounts.contains { $0.options.contains("gid=5") } == !rootless)
    #expect(spec.linux.maskedPaths == DockerDefaults.maskedPaths)
  }

  @Test func deviceRules() {
    let rules = DockerDefaults.deviceRules
    #expect(rules.first == .init(allow: false, type: .all, major: nil, minor: nil, access: .all))
    #expect(rules.contains(.init(allow: true, type: .character, major: 1, minor: 3, access: .all)))
    #expect(rules.contains(.init(allow: true, type: .character, major: 136, minor: nil, access: .all)))
    #expect(!rules.contains { $0.allow && $0.type == .block && $0.access != .mknod })
  }
}
