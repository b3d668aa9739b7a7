import CLinux
import Report
import System

/// Makes the arms that the bench knows, out of what is on this machine.
public struct ArmFactory {
  /// The arms by their identifiers, in the order in which they are shown.
  public static let names = [
    "host", "container", "vm-builtin", "vm-linux", "bwrap", "crun", "runc", "podman", "docker", "qemu-microvm",
  ]

  let stage: Stage
  /// The Linux kernel's file; nil, with the reason, where there is none.
  let kernel: String?
  let noKernel: String
  /// config.json of a bundle with the root directory and the arguments given.
  let bundle: (_ root: String, _ arguments: [String]) -> [UInt8]
  let interruption: Interruption

  /// What the payload prints.
  public static let line = "vmrun-payload"
  /// The words behind the program that make it the payload, and a payload that waits for the end of its input.
  static let role = "__payload"
  static let patience = "--wait"
  /// Memory of a Linux guest, in MiB: vmrun's default.
  static let guestMemory: UInt64 = 256
  /// Memory of the built-in guest, in MiB: vmrun's default.
  static let smallMemory: UInt64 = 32
  /// What vmrun adds to a kernel's command line for a command, for the peer that boots the same kernel.
  static let kernelWords =
    "console=ttyS0 quiet panic=-1 reboot=t tsc=reliable no_timer_check cryptomgr.notests nokaslr audit=0 random.trust_cpu=on pci=off"

  public init(
    stage: Stage, kernel: String?, noKernel: String, interruption: Interruption,
    bundle: @escaping (_ root: String, _ arguments: [String]) -> [UInt8]
  ) {
    self.stage = stage
    self.kernel = kernel
    self.noKernel = noKernel
    self.interruption = interruption
    self.bundle = bundle
  }

  /// The arm `name`, one of `names`.
  /// - Throws: why it cannot be run here, in a line.
  public func make(_ name: String) throws(BenchError) -> Candidate {
    switch name {
    case "host": return host()
    case "container": return container()
    case "vm-builtin": return try builtIn()
    case "vm-linux": return try linux()
    case "bwrap": return try bubblewrap()
    case "crun", "runc": return try runtime(name)
    case "podman": return try podman()
    case "docker": return try docker()
    case "qemu-microvm": return try microvm()
    default: throw BenchError("there is no arm '\(name)'; there are \(Self.names.joined(separator: ", "))")
    }
  }

  /// An arm with its command; the waiting form is the same with a word more.
  private func candidate(
    _ id: String, _ name: String, _ kind: Arm.Kind, isPeer: Bool, _ arguments: [String], waits: Bool = true,
    note: String = ""
  ) -> Candidate {
    let arm = Arm(id: id, name: name, kind: kind, isPeer: isPeer, command: arguments, note: note)
    var candidate = Candidate(arm: arm, arguments: arguments, marker: Array(Self.line.utf8))
    if waits { candidate.waiting = arguments + [Self.patience] }
    candidate.files = [arguments[0], stage.payload]
    return candidate
  }

  // MARK: vmrun

  private func host() -> Candidate {
    candidate("host", "host process", .host, isPeer: false, [stage.payload, Self.role])
  }

  private func container() -> Candidate {
    let arguments = [
      stage.launcher, "--container", "--rootfs", stage.root, "--timings=json", "--", Stage.payloadInside, Self.role,
    ]
    var made = candidate(
      "container", "vmrun container", .container, isPeer: false, arguments,
      note: "six namespaces, cgroup, docker's capabilities and seccomp profile")
    made.tellsPhases = true
    return made
  }

  private func builtIn() throws(BenchError) -> Candidate {
    // unsafe: the path is NUL-terminated for the call.
    guard unsafe access("/dev/kvm", R_OK | W_OK) == 0 else { throw BenchError("/dev/kvm: \(Errno.current)") }
    let arguments = [stage.launcher, "--append", "quiet echo=\(Self.line)", "--timings=json"]
    var made = candidate(
      "vm-builtin", "vmrun VM, built-in guest", .machine, isPeer: false, arguments,
      note: "its payload is the guest itself, which prints the same line without an operating system")
    made.waiting = [stage.launcher, "--append", "quiet echo=\(Self.line) cat", "--timings=json"]
    made.farewell = [4]
    made.tellsPhases = true
    made.guestMemory = Self.smallMemory << 20
    made.files = [stage.launcher]
    return made
  }

  private func linux() throws(BenchError) -> Candidate {
    guard let kernel else { throw BenchError(noKernel) }
    let arguments = [
      stage.launcher, "--kernel", kernel, "--rootfs", stage.root, "--memory", "\(Self.guestMemory)M", "--timings=json",
      "--",
      Stage.payloadInside, Self.role,
    ]
    var made = candidate(
      "vm-linux", "vmrun VM, Linux", .machine, isPeer: false, arguments, note: "kernel \(Self.lastName(kernel))")
    made.tellsPhases = true
    made.guestMemory = Self.guestMemory << 20
    made.files.append(kernel)
    return made
  }

  private static func lastName(_ path: String) -> String {
    String(decoding: path.utf8.reversed().prefix { $0 != UInt8(ascii: "/") }.reversed(), as: UTF8.self)
  }

  // MARK: Peers

  private static func installed(_ name: String, package: String) throws(BenchError) -> String {
    guard let path = Files.program(name) else {
      throw BenchError("\(name) is not installed (Debian package \(package))")
    }
    return path
  }

  private func bubblewrap() throws(BenchError) -> Candidate {
    let program = try Self.installed("bwrap", package: "bubblewrap")
    return candidate(
      "bwrap", "bubblewrap", .container, isPeer: true,
      [
        program, "--unshare-all", "--die-with-parent", "--ro-bind", stage.root, "/", "--proc", "/proc", "--dev", "/dev",
        "--tmpfs", "/tmp", "--cap-drop", "ALL", "--", Stage.payloadInside, Self.role,
      ], note: "no cgroup and no seccomp filter")
  }

  private func runtime(_ name: String) throws(BenchError) -> Candidate {
    let program = try Self.installed(name, package: name)
    for (folder, words) in [("bundle", [Self.role]), ("bundle-wait", [Self.role, Self.patience])] {
      try Files.makeFolder("\(stage.folder)/\(folder)")
      try Files.write(
        bundle(stage.root, [Stage.payloadInside] + words), to: "\(stage.folder)/\(folder)/config.json")
    }
    func words(_ options: [String], _ folder: String) -> [String] {
      [program, "--root", "\(stage.folder)/\(name)"] + options
        + ["run", "--bundle", "\(stage.folder)/\(folder)", Candidate.instance]
    }
    var made = candidate(
      name, "\(name) run", .container, isPeer: true, words([], "bundle"),
      note: "OCI bundle with docker's default configuration")
    made.waiting = words([], "bundle-wait")
    made.undo = [[program, "--root", "\(stage.folder)/\(name)", "delete", "--force", Candidate.instance]]
    made.files.append("\(stage.folder)/bundle/config.json")
    return made
  }

  private func run(_ words: [String], _ environment: [String], timeout: UInt64 = 60_000_000_000) -> Program.Outcome? {
    Program.run(
      words.map { Array($0.utf8) }, environment: Surroundings.variables() + environment.map { Array($0.utf8) },
      timeout: timeout, interruption)
  }

  private func rootArchive() throws(BenchError) -> String {
    let path = "\(stage.folder)/root.tar"
    if Files.isFile(path) { return path }
    guard let payload = Files.read(stage.payload, limit: 64 << 20) else { throw BenchError("\(stage.payload) is gone") }
    try Files.write(Archives.tar(payload: payload), to: path)
    return path
  }

  private func podman() throws(BenchError) -> Candidate {
    let program = try Self.installed("podman", package: "podman")
    // podman's own default limits need a capability that not every host gives.
    try Files.write(
      Array("[containers]\ndefault_ulimits = []\n".utf8), to: "\(stage.folder)/containers.conf")
    let environment = ["CONTAINERS_CONF=\(stage.folder)/containers.conf"]
    let common = [
      program, "--root", "\(stage.folder)/podman", "--runroot", "\(stage.folder)/podman-run", "--tmpdir",
      "\(stage.folder)/podman-tmp", "--cgroup-manager", "cgroupfs",
    ]
    let image = "localhost/vmrun-bench"
    let imported = run(common + ["import", "--quiet", try rootArchive(), image], environment)
    guard imported?.exitCode == 0 else {
      throw BenchError("podman import: \(imported?.text ?? "cannot be started")")
    }
    func words(_ options: [String]) -> [String] {
      common + options + [
        "run", "--rm", "--network", "none", "--log-driver", "none", "--name", Candidate.instance, image,
        Stage.payloadInside, Self.role,
      ]
    }
    var made = candidate(
      "podman", "podman run", .container, isPeer: true, words([]), waits: false,
      note: "storage of its own, no network; what conmon does apart is in the time and not in CPU, calls and memory")
    made.arm.command = ["env"] + environment + words([])
    if let runc = Files.program("runc") {
      made.alternatives = [
        (words(["--runtime", runc]), "with runc: its own default runtime refuses this host's cgroups")
      ]
    }
    made.environment = environment
    made.undo = [common + ["rm", "--force", Candidate.instance]]
    return made
  }

  private func docker() throws(BenchError) -> Candidate {
    let program = try Self.installed("docker", package: "docker.io")
    let asked = run([program, "version", "--format", "{{.Server.Version}}"], [], timeout: 5_000_000_000)
    guard let asked, asked.exitCode == 0 else {
      throw BenchError("its daemon does not answer: \(asked?.text ?? "no end within 5 s")")
    }
    let image = "vmrun-bench:\(getpid())"
    let imported = run([program, "import", try rootArchive(), image], [])
    guard imported?.exitCode == 0 else {
      throw BenchError("docker import: \(imported?.text ?? "cannot be started")")
    }
    stage.closing.append([program, "image", "rm", "--force", image])
    var made = candidate(
      "docker", "docker run", .container, isPeer: true,
      [
        program, "run", "--rm", "--network", "none", "--name", Candidate.instance, image, Stage.payloadInside,
        Self.role,
      ], waits: false,
      note: "no network; what the daemon, containerd and the shim do is in the time and not in CPU, calls and memory")
    made.undo = [[program, "rm", "--force", Candidate.instance]]
    return made
  }

  private func microvm() throws(BenchError) -> Candidate {
    let program = try Self.installed("qemu-system-x86_64", package: "qemu-system-x86")
    guard let kernel else { throw BenchError(noKernel) }
    guard let payload = Files.read(stage.payload, limit: 64 << 20) else { throw BenchError("\(stage.payload) is gone") }
    let initramfs = "\(stage.folder)/initramfs.cpio"
    try Files.write(Archives.initramfs(payload: payload), to: initramfs)
    func words(_ machine: [String], _ payload: String) -> [String] {
      [program, "-M", "microvm,acpi=off,rtc=on"] + machine + [
        "-m", "\(Self.guestMemory)", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial",
        "stdio",
        "-kernel", kernel, "-initrd", initramfs, "-append",
        "\(Self.kernelWords) rdinit=\(Stage.payloadInside) -- \(payload)",
      ]
    }
    let (emulated, real) = (["-accel", "tcg", "-cpu", "max"], ["-accel", "kvm", "-cpu", "host"])
    let waiting = "\(Self.role) \(Self.patience)"
    var made = candidate(
      "qemu-microvm", "QEMU microvm", .machine, isPeer: true, words(emulated, Self.role),
      note: "the same kernel, the payload as its init; QEMU's emulation (TCG), no hardware virtualisation")
    made.waiting = words(emulated, waiting)
    made.farewell = [4]
    made.accelerated = (words(real, Self.role), words(real, waiting), "the same kernel, the payload as its init; KVM")
    made.guestMemory = Self.guestMemory << 20
    made.files = [program, kernel, initramfs]
    return made
  }
}

/// What `vmrun __payload` does: the payload of all arms.
public enum Payload {
  /// Prints the one line; with `--wait` it then reads its standard input to the end. Returns the exit code.
  public static func run(_ words: [[UInt8]]) -> Int32 {
    let line = Array("\(ArmFactory.line)\n".utf8)
    // unsafe: the array's own bytes.
    guard unsafe line.withUnsafeBytes({ unsafe write(1, $0.baseAddress, $0.count) }) == line.count else { return 1 }
    guard words.contains(where: { $0.elementsEqual(ArmFactory.patience.utf8) }) else { return 0 }
    var byte: UInt8 = 0
    while true {
      // unsafe: one byte is read into one.
      let count = unsafe read(0, &byte, 1)
      if count < 0 && Errno.current == .interrupted { continue }
      if count <= 0 { return 0 }
    }
  }
}
