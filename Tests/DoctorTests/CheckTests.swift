import JSON
import Kernels
import System
import Testing

@testable import Doctor

/// The verdicts over what was seen, without seeing anything.
@Suite struct CheckTests {
  static let root = Caller(user: 0)
  static let user = Caller(user: 1000)
  private let denied = TrialResult.failed(DoctorError("/dev/kvm: Permission denied"))
  private let kvmNode = KVMChecks.Node(mode: 0o020660, group: 104, groupName: "kvm")
  private let rootNode = KVMChecks.Node(mode: 0o020600, group: 0, groupName: "root")

  /// A finding that does not work says what it costs, one that works has nothing to mend.
  private func expect(
    _ finding: Finding, _ id: String, _ state: Finding.State, _ words: String..., remedy: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(finding.id == id, sourceLocation: sourceLocation)
    #expect(finding.state == state, "\(finding)", sourceLocation: sourceLocation)
    #expect(finding.cost.isEmpty == (state == .works), "\(finding)", sourceLocation: sourceLocation)
    for word in words { #expect(finding.text.contains(word), "\(finding)", sourceLocation: sourceLocation) }
    #expect(finding.remedy.contains(remedy) || remedy.isEmpty, "\(finding)", sourceLocation: sourceLocation)
    if state == .works { #expect(finding.remedy.isEmpty, sourceLocation: sourceLocation) }
  }

  @Test func device() {
    expect(KVMChecks.device(.done("opens"), kvmNode, Self.user), "kvm.device", .works, "opens")
    expect(
      KVMChecks.device(.failed(DoctorError("x")), nil, Self.root), "kvm.device", .fails, "is not there",
      remedy: "modprobe -a kvm_intel")
    expect(
      KVMChecks.device(denied, kvmNode, Self.user), "kvm.device", .fails, "0660, group kvm",
      remedy: "sudo usermod -aG kvm \"$USER\"")
    expect(
      KVMChecks.device(denied, rootNode, Self.user), "kvm.device", .fails, "0600, group root",
      remedy: "sudo chgrp kvm /dev/kvm && sudo chmod 0660 /dev/kvm && sudo usermod")
    expect(
      KVMChecks.device(.failed(DoctorError("API version 11")), kvmNode, Self.root), "kvm.device", .fails, "version 11")
    expect(KVMChecks.device(.hung(2000), kvmNode, Self.root), "kvm.device", .fails, "no answer within 2000 ms")
  }

  @Test func permissions() {
    expect(KVMChecks.permissions(kvmNode, Self.user), "kvm.permissions", .works, "0660")
    expect(
      KVMChecks.permissions(KVMChecks.Node(mode: 0o666, group: 0, groupName: "root"), Self.root), "kvm.permissions",
      .works)
    expect(
      KVMChecks.permissions(rootNode, Self.root), "kvm.permissions", .missing, "0600",
      remedy: "chgrp kvm /dev/kvm && chmod 0660 /dev/kvm")
  }

  @Test func modules() {
    expect(KVMChecks.module("kvm_intel", isNested: false), "kvm.module", .works, "kvm_intel, on hardware")
    expect(KVMChecks.module("kvm_amd", isNested: true), "kvm.module", .works, "nested")
    expect(KVMChecks.module("kvm_pvm", isNested: true), "kvm.module", .missing, "paravirtual")
    expect(KVMChecks.module("unknown", isNested: true), "kvm.module", .works)
    expect(KVMChecks.probe(.failed(DoctorError("emulates guest code"))), "kvm.probe", .fails, "emulates")
    expect(KVMChecks.probe(.done("the probe guest ran")), "kvm.probe", .works)
    expect(KVMChecks.guest(.hung(5000)), "kvm.guest", .fails, "5000 ms")
    expect(KVMChecks.machine(.failed(DoctorError("KVM_CREATE_VM"))), "kvm.machine", .fails, "KVM_CREATE_VM")
  }

  private func outcome(_ output: String, _ ending: Program.Ending = .exited(0), errors: String = "") -> Program.Outcome
  {
    Program.Outcome(ending: ending, output: Array(output.utf8), errors: Array(errors.utf8))
  }

  @Test func libvirt() {
    func answer(_ text: String, _ ending: Program.Ending = .exited(0), errors: String = "") -> [Finding] {
      LibvirtChecks.answer(outcome(text, ending, errors: errors), "/usr/libexec/vmrun-libvirt", Self.user)
    }
    let good = answer(
      #"{"library":"9.0.0","uri":"qemu:///system","connected":true,"error":null,"hypervisor":"QEMU 7.2.22","kvm":false,"emulation":true,"machines":["pc","microvm","q35"],"fix":null}"#
    )
    #expect(good.map(\.id) == ["libvirt.helper", "libvirt.connect", "libvirt.guests"])
    expect(good[1], "libvirt.connect", .works, "9.0.0", "qemu:///system", "QEMU 7.2.22")
    expect(good[2], "libvirt.guests", .works, "emulation", "machines microvm q35")
    let numbers = answer(
      #"{"library":9000000,"uri":"qemu:///session","connected":true,"kvm":true,"emulation":true,"machines":"microvm q35"}"#
    )
    expect(numbers[2], "libvirt.guests", .works, "KVM and emulation", "microvm q35")
    let down = answer(
      #"{"library":"9.0.0","uri":"qemu:///system","connected":false,"error":"no such socket","fix":"sudo libvirtd -d"}"#
    )
    expect(down[1], "libvirt.connect", .fails, "no such socket", remedy: "sudo libvirtd -d")
    expect(answer(#"{"connected":false}"#)[1], "libvirt.connect", .fails, remedy: "systemctl start libvirtd")
    let empty = answer(#"{"uri":"u","connected":true,"kvm":false,"emulation":false,"machines":[]}"#)
    expect(empty[2], "libvirt.guests", .fails, "no x86-64 guests", remedy: "qemu-system-x86")
    expect(
      answer("", .exited(127), errors: "libvirt.so.0: cannot open shared object file\n")[0], "libvirt.helper", .fails,
      "libvirt.so.0", remedy: "swift build")
    expect(answer("[1]")[0], "libvirt.helper", .fails)
    expect(answer("", .timedOut)[0], "libvirt.connect", .fails, "within 8 s")
    expect(LibvirtChecks.noHelper, "libvirt.helper", .fails, remedy: "vmrun-libvirt")
    // What comes from elsewhere reaches a terminal as printable text.
    let hostile = answer("{\"connected\":false,\"error\":\"\\u001b[31mred\",\"uri\":\"x\"}")
    #expect(!hostile[1].text.utf8.contains(0x1B))
  }

  @Test func qemu() {
    let version = outcome("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright\n")
    expect(
      LibvirtChecks.qemu(version, outcome("microvm              microvm (i386)\nq35 x\n"), Self.user), "qemu", .works,
      "7.2.22", "with the machine microvm")
    expect(LibvirtChecks.qemu(version, outcome("q35 x\n"), Self.user), "qemu", .works, "without")
    expect(
      LibvirtChecks.qemu(nil, nil, Self.user), "qemu", .fails, "no qemu-system-x86_64",
      remedy: "sudo apt-get install qemu-system-x86")
    expect(LibvirtChecks.qemu(outcome("", .exited(1), errors: "broken"), nil, Self.root), "qemu", .fails, "broken")
  }

  @Test func kernels() {
    let entry = KernelEntry(name: "6.1", path: "/boot/vmlinuz-6.1", source: .boot, size: 1, isReadable: true)
    let hidden = KernelEntry(name: "6.1", path: "/boot/vmlinuz-6.1", source: .boot, size: 1, isReadable: false)
    expect(KernelChecks.finding([], nil, nil, ""), "kernels.default", .fails, remedy: "vmrun kernel fetch debian")
    expect(
      KernelChecks.finding([hidden], nil, nil, ""), "kernels.default", .fails, "may not be read",
      remedy: "chmod a+r /boot/vmlinuz-6.1")
    expect(KernelChecks.finding([entry], entry, .yes, ""), "kernels.default", .works, "6.1 (/boot)", "1 found")
    expect(KernelChecks.finding([entry], entry, .probably(unknown: ["X"]), ""), "kernels.default", .works)
    expect(
      KernelChecks.finding([entry], entry, .no(reasons: ["X is missing"]), ""), "kernels.default", .fails,
      "X is missing")
    expect(KernelChecks.finding([entry], entry, nil, "damaged"), "kernels.default", .fails, "damaged")
    expect(BootChecks.finding(.done("one booted"), kernel: "6.1"), "linux.boot", .works, "one booted")
    expect(
      BootChecks.finding(.failed(DoctorError("no")), kernel: "6.1"), "linux.boot", .fails, "no",
      remedy: "vmrun --kernel 6.1")
    // Where a part of it is known not to work, it is not tried.
    #expect(BootChecks.findings(after: [], Trial(interruption: nil), executable: "/nonexistent").isEmpty)
  }

  @Test func namespaces() {
    for kind in NamespaceChecks.kinds {
      expect(NamespaceChecks.finding(kind, .done("made"), Self.root), "namespace.\(kind.name)", .works)
      expect(
        NamespaceChecks.finding(kind, .failed(DoctorError("Invalid argument")), Self.root), "namespace.\(kind.name)",
        kind.name == "time" ? .missing : .fails)
    }
    let refused = TrialResult.failed(DoctorError("unshare user: Operation not permitted"))
    expect(NamespaceChecks.user(.done("root in it"), Self.root) { _ in nil }, "namespace.user", .works, "as nobody")
    expect(NamespaceChecks.user(refused, Self.root) { _ in nil }, "namespace.user", .missing)
    for (setting, value, command) in [
      ("kernel/unprivileged_userns_clone", 0, "kernel.unprivileged_userns_clone=1"),
      ("user/max_user_namespaces", 0, "user.max_user_namespaces=10000"),
      ("kernel/apparmor_restrict_unprivileged_userns", 1, "apparmor_restrict_unprivileged_userns=0"),
    ] {
      expect(
        NamespaceChecks.user(refused, Self.user) { $0 == setting ? value : nil }, "namespace.user", .fails,
        remedy: "sudo sysctl -w \(command.hasPrefix("app") ? "kernel." : "")\(command)")
    }
  }

  @Test func containers() {
    let failed = TrialResult.failed(DoctorError("Operation not permitted"))
    expect(ContainerChecks.seccomp(.done("x")), "seccomp.filter", .works)
    expect(ContainerChecks.seccomp(failed), "seccomp.filter", .fails)
    expect(
      ContainerChecks.flags(.done("63")), "seccomp.flags", .works,
      "TSYNC LOG SPEC_ALLOW NEW_LISTENER TSYNC_ESRCH WAIT_KILLABLE_RECV")
    expect(ContainerChecks.flags(.done("7")), "seccomp.flags", .missing, "TSYNC LOG SPEC_ALLOW, but not NEW_LISTENER")
    expect(ContainerChecks.flags(failed), "seccomp.flags", .missing, "none is known")
    expect(ContainerChecks.notification(failed), "seccomp.notify", .missing)
    expect(ContainerChecks.overlay(failed, Self.user), "overlay", .fails, remedy: "sudo modprobe overlay")
    expect(ContainerChecks.rootlessOverlay(failed, Self.root), "overlay.rootless", .missing)
    expect(ContainerChecks.rootlessOverlay(failed, Self.user), "overlay.rootless", .fails)
    expect(ContainerChecks.run(failed, Self.root), "container", .fails)
    expect(NetworkChecks.bridge(failed, Self.root), "network.bridge", .missing, remedy: "modprobe -a bridge veth")
    expect(
      NetworkChecks.tap(.failed(DoctorError("/dev/net/tun: Permission denied")), Self.user), "network.tap", .missing,
      remedy: "sudo chmod 0666 /dev/net/tun")
    expect(
      NetworkChecks.tap(.failed(DoctorError("/dev/net/tun: No such file or directory")), Self.root), "network.tap",
      .missing, remedy: "modprobe tun")
    expect(
      LimitChecks.lock(.done("locked"), limit: 8 << 20, Self.root), "memlock", .works, "8 MiB, which root may exceed")
    expect(LimitChecks.lock(.done("locked"), limit: .max, Self.user), "memlock", .works, "no limit")
    expect(LimitChecks.lock(failed, limit: 64 << 10, Self.user), "memlock", .missing, "64 KiB", remedy: "limits.d")
  }

  private static let hybrid = CgroupTree.parse(
    mounts: [
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw",
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct",
      "35 31 0:32 / /sys/fs/cgroup/memory ro shared:9 - cgroup cgroup rw,memory",
      "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate,favordynmods",
      "42 31 0:32 / /mnt/again rw - cgroup cgroup rw,memory", "broken", "1 2 - cgroup",
    ],
    memberships: ["4:memory:/a/b", "2:cpu,cpuacct:/", "1:name=systemd:/s", "0::/user.slice", "x"])

  @Test func trees() {
    #expect(Self.hybrid.count == 3)
    #expect(
      Self.hybrid[0]
        == CgroupTree(
          isUnified: false, mountPoint: "/sys/fs/cgroup/cpu,cpuacct", own: "", controllers: ["cpu", "cpuacct"],
          isReadOnly: false, favorsDynamicModification: false))
    #expect(Self.hybrid[1].own == "/a/b" && Self.hybrid[1].isReadOnly)
    #expect(Self.hybrid[2].isUnified && Self.hybrid[2].own == "/user.slice" && Self.hybrid[2].favorsDynamicModification)
    // In a container the mount shows a part of the tree.
    let inside = CgroupTree.parse(
      mounts: ["1 1 0:1 /docker/x /sys/fs/cgroup rw - cgroup2 c rw"], memberships: ["0::/docker/x/inner"])
    #expect(inside.first?.own == "/inner")
    #expect(
      CgroupTree.parse(mounts: ["1 1 0:1 /a /sys/fs/cgroup rw - cgroup2 c rw"], memberships: ["0::/../b"]).first?.own
        == "")
    #expect(CgroupTree.parse(mounts: [], memberships: []).isEmpty)
  }

  @Test func cgroups() {
    let unified = Self.hybrid.filter { $0.isUnified }
    expect(CgroupChecks.layout([]), "cgroup.layout", .fails, remedy: "mount -t cgroup2")
    expect(CgroupChecks.layout(unified), "cgroup.layout", .works, "v2 at")
    expect(CgroupChecks.layout(Self.hybrid), "cgroup.layout", .works, "hybrid", "cpu,cpuacct memory")
    for controller in CgroupChecks.controllers {
      let id = "cgroup.\(controller.name)"
      expect(CgroupChecks.finding(controller, .made, unified, Self.root), id, .works)
      expect(CgroupChecks.finding(controller, .offered, unified, Self.root), id, .works)
      expect(
        CgroupChecks.finding(controller, .absent, unified, Self.root), id, controller.isMain ? .fails : .missing,
        remedy: "cgroup_enable=\(controller.name)")
      expect(
        CgroupChecks.finding(controller, .absent, Self.hybrid, Self.root), id, controller.isMain ? .fails : .missing,
        remedy: "mount -t cgroup -o \(controller.legacy.name)")
      expect(
        CgroupChecks.finding(controller, .refused("Permission denied"), unified, Self.user), id, .missing,
        "Permission denied", remedy: "Delegate=yes")
    }
    expect(CgroupChecks.delegation(.done("x"), trees: Self.hybrid[0], Self.root), "cgroup.delegation", .works)
    expect(
      CgroupChecks.delegation(.failed(DoctorError("no")), trees: Self.hybrid[0], Self.user), "cgroup.delegation",
      .missing)
    expect(
      CgroupChecks.moving(Self.hybrid[2], nanoseconds: 5_000_000, Self.root), "cgroup.favordynmods", .works, "on",
      "5.0 ms")
    expect(
      CgroupChecks.moving(Self.hybrid[0], nanoseconds: 300_000, Self.root), "cgroup.favordynmods", .works, "off",
      "0.3 ms")
    expect(
      CgroupChecks.moving(Self.hybrid[0], nanoseconds: 12_340_000, Self.root), "cgroup.favordynmods", .missing,
      "12.3 ms", remedy: "favordynmods /sys/fs/cgroup/cpu,cpuacct")
    expect(CgroupChecks.moving(Self.hybrid[0], nanoseconds: nil, Self.user), "cgroup.favordynmods", .missing)
  }

  @Test func texts() {
    #expect(Text.milliseconds(1_250_000) == "1.3 ms" && Text.milliseconds(0) == "0.0 ms")
    #expect(Text.bytes(8 << 20) == "8 MiB" && Text.bytes(64 << 10) == "64 KiB" && Text.bytes(20 << 30) == "20 GiB")
    #expect(
      Text.contains("xPermission Denied", "permission denied") && !Text.contains("x", "xy") && Text.contains("x", ""))
    #expect(Text.groupName(104, Array("root:x:0:\nkvm:x:104:me\nbroken\n".utf8)) == "kvm")
    #expect(Text.groupName(105, Array("kvm:x:104:me".utf8)) == "")
    #expect(Self.user.asRoot("x") == "sudo x" && Self.root.asRoot("x") == "x")
  }
}
