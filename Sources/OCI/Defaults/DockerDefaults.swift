/// What docker gives a container that asks for nothing: the set that `vmrun --container` and `vmrun spec` begin with.
public enum DockerDefaults {
  /// Bit n is capability n.
  public static let capabilities = CapabilityName.mask([
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
  ])

  public static let environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]

  public static let maskedPaths = [
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
  ]

  public static let readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

  public static let namespaces: [Linux.NamespaceType] = [.mount, .network, .uts, .pid, .ipc, .cgroup]

  public static let mounts = [
    Spec.Mount(destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]),
    Spec.Mount(
      destination: "/dev", type: "tmpfs", source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    Spec.Mount(
      destination: "/dev/pts", type: "devpts", source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    Spec.Mount(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"]),
    Spec.Mount(
      destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"]),
    Spec.Mount(
      destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"]),
    Spec.Mount(
      destination: "/dev/shm", type: "tmpfs", source: "shm",
      options: ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
  ]

  /// The nodes that every container has (config-linux.md, "Default Devices"), numbers as in the kernel's devices.txt;
  /// /dev/console, /dev/ptmx and the links come besides.
  public static let devices = [
    Linux.Device(path: "/dev/null", type: .character, major: 1, minor: 3),
    Linux.Device(path: "/dev/zero", type: .character, major: 1, minor: 5),
    Linux.Device(path: "/dev/full", type: .character, major: 1, minor: 7),
    Linux.Device(path: "/dev/random", type: .character, major: 1, minor: 8),
    Linux.Device(path: "/dev/urandom", type: .character, major: 1, minor: 9),
    Linux.Device(path: "/dev/tty", type: .character, major: 5, minor: 0),
  ]

  /// `linux.resources.devices`: nothing, then nodes of any device but only with mknod, then what a container uses.
  public static let deviceRules: [Resources.DeviceRule] = {
    var rules = [Resources.DeviceRule(allow: false, type: .all, major: nil, minor: nil, access: .all)]
    for type in [Linux.DeviceType.character, .block] {
      rules.append(Resources.DeviceRule(allow: true, type: type, major: nil, minor: nil, access: .mknod))
    }
    for device in devices {
      rules.append(
        Resources.DeviceRule(
          allow: true, type: .character, major: device.major, minor: device.minor, access: .all))
    }
    // /dev/console, /dev/ptmx and /dev/pts.
    for (major, minor) in [(5, 1), (5, 2), (136, nil)] as [(UInt32, UInt32?)] {
      rules.append(Resources.DeviceRule(allow: true, type: .character, major: major, minor: minor, access: .all))
    }
    return rules
  }()
}
