import CContainer
import CLinux
import Kernels
import System

/// cgroups: which version, and each controller by a cgroup that has it.
enum CgroupChecks {
  /// A controller as the report names it, with what it is for.
  struct Controller: Sendable {
    let name: String
    /// Its name in cgroup v1, and a file that a v1 cgroup of it has.
    let legacy: (name: String, file: String)
    /// The file that every v2 cgroup has when it needs no controller; empty otherwise.
    let unifiedFile: String
    let cost: String
    /// Whether vmrun's own command line offers it.
    let isMain: Bool
  }

  static let controllers: [Controller] = [
    Controller(
      name: "cpu", legacy: ("cpu", "cpu.cfs_quota_us"), unifiedFile: "", cost: "containers with --cpus", isMain: true),
    Controller(
      name: "memory", legacy: ("memory", "memory.limit_in_bytes"), unifiedFile: "", cost: "containers with --memory",
      isMain: true),
    Controller(
      name: "pids", legacy: ("pids", "pids.max"), unifiedFile: "", cost: "containers with --pids", isMain: true),
    Controller(
      name: "cpuset", legacy: ("cpuset", "cpuset.cpus"), unifiedFile: "",
      cost: "chosen processors in an OCI configuration", isMain: false),
    Controller(
      name: "io", legacy: ("blkio", "blkio.throttle.read_bps_device"), unifiedFile: "",
      cost: "limits of disk traffic in an OCI configuration", isMain: false),
    Controller(
      name: "freezer", legacy: ("freezer", "freezer.state"), unifiedFile: "cgroup.freeze", cost: "vmrun pause",
      isMain: false),
  ]

  /// What was seen of one controller.
  enum Sight: Equatable {
    /// A cgroup was made that has it.
    case made
    /// It is there to be handed down, which vmrun does with a container's first limit.
    case offered
    /// It is not in the tree.
    case absent
    /// No cgroup can be made.
    case refused(String)
  }

  static func findings(_ trial: Trial, _ caller: Caller) -> [Finding] {
    let trees = CgroupTree.parse(
      mounts: HostText.lines("/proc/self/mountinfo"), memberships: HostText.lines("/proc/self/cgroup"))
    sweep(trees, caller)
    var findings = [layout(trees)]
    if trees.isEmpty { return findings }
    for controller in controllers {
      findings.append(finding(controller, sight(controller, trees, caller), trees, caller))
    }
    // Any hierarchy shows how long moving takes, and whether a part can be given away; the one with most in it is the best.
    if let tree = trees.first(where: { $0.controllers.contains("pids") }) ?? trees.first(where: { $0.isUnified })
      ?? trees.first
    {
      findings.append(delegation(trial, tree, caller))
      findings.append(moving(tree, trial, caller))
    }
    return findings
  }

  // MARK: Acts

  private static let prefix = "vmrun-doctor-"

  /// Where a cgroup is made: root may anywhere, others in their own.
  private static func place(_ tree: CgroupTree, _ caller: Caller) -> String {
    caller.isRoot ? tree.mountPoint : tree.mountPoint + tree.own
  }

  /// Removes what a doctor that was killed left behind.
  private static func sweep(_ trees: [CgroupTree], _ caller: Caller) {
    for tree in trees {
      let parent = place(tree, caller)
      for name in Folder.names(in: parent) where name.hasPrefix(prefix) {
        guard let pid = Int32(String(decoding: name.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)), pid > 0,
          kill(pid, 0) != 0, Errno.current.rawValue == ESRCH
        else { continue }
        // unsafe: the strings are NUL-terminated for the calls; a cgroup in use is not removed.
        _ = unsafe rmdir("\(parent)/\(name)/inner")
        _ = unsafe rmdir("\(parent)/\(name)")
      }
    }
  }

  /// Makes a cgroup in `tree`, runs `body` with its path, and removes it whatever happens; signals wait meanwhile.
  private static func withCgroup<Value>(
    _ tree: CgroupTree, _ caller: Caller, _ body: (String) -> Value
  ) throws(DoctorError) -> Value {
    let path = "\(place(tree, caller))/\(prefix)\(getpid())"
    // unsafe: the string is NUL-terminated for the call.
    guard unsafe mkdir(path, 0o755) == 0 else { throw DoctorError(refused: "make a cgroup in", place(tree, caller)) }
    let value = body(path)
    // A process that has just ended may still be in it for a moment.
    for _ in 0..<200 {
      // unsafe: as above.
      if unsafe rmdir(path) == 0 || Errno.current != .busy { break }
      _ = usleep(5000)
    }
    return value
  }

  private static func sight(_ controller: Controller, _ trees: [CgroupTree], _ caller: Caller) -> Sight {
    do throws(DoctorError) {
      if let tree = trees.first(where: { $0.controllers.contains(controller.legacy.name) }) {
        return try withCgroup(tree, caller) { path in
          Folder.has("\(path)/\(controller.legacy.file)") ? .made : .absent
        }
      }
      guard let tree = trees.first(where: { $0.isUnified }) else { return .absent }
      return try withCgroup(tree, caller) { path in
        if !controller.unifiedFile.isEmpty { return Folder.has("\(path)/\(controller.unifiedFile)") ? .made : .absent }
        if Text.split(HostText.line("\(path)/cgroup.controllers") ?? "", " ").contains(controller.name) { return .made }
        let above = place(tree, caller)
        let offered = Text.split(HostText.line("\(above)/cgroup.controllers") ?? "", " ").contains(controller.name)
        return offered && Folder.isWritable("\(above)/cgroup.subtree_control") ? .offered : .absent
      }
    } catch {
      return .refused(error.description)
    }
  }

  private static func delegation(_ trial: Trial, _ tree: CgroupTree, _ caller: Caller) -> Finding {
    let result: TrialResult
    if caller.isRoot {
      let made: TrialResult?
      do throws(DoctorError) {
        made = try withCgroup(tree, caller) { path in
          let inner = trial.run { () throws(DoctorError) in
            // unsafe: the string is NUL-terminated for the call.
            guard unsafe chown(path, Stage.nobody, Stage.nobody) == 0 else { throw DoctorError(refused: "chown", path) }
            try Stage.becomeNobody()
            try Stage.makeFolder("\(path)/inner")
            return "nobody makes cgroups in one that it was given"
          }
          // unsafe: as above.
          _ = unsafe rmdir("\(path)/inner")
          return inner
        }
      } catch {
        made = .failed(error)
      }
      result = made ?? .failed(DoctorError("not tried"))
    } else {
      do throws(DoctorError) {
        result = try withCgroup(tree, caller) { _ in .done("cgroups can be made in your own, \(tree.own)") }
      } catch {
        result = .failed(error)
      }
    }
    return delegation(result, trees: tree, caller)
  }

  private static func moving(_ tree: CgroupTree, _ trial: Trial, _ caller: Caller) -> Finding {
    var taken: Int64?
    do throws(DoctorError) {
      taken = try withCgroup(tree, caller) { path in
        // In a child: a move that waits long must not hold up the rest.
        let result = trial.run(milliseconds: 1000) { () throws(DoctorError) in
          // unsafe: the string is NUL-terminated for the call.
          let time = unsafe ccontainer_time_migration("\(path)/cgroup.procs")
          guard time >= 0 else { throw DoctorError(refused: "move a process into", path) }
          return String(time)
        }
        return Int64(result.text)
      }
    } catch {
      taken = nil
    }
    return moving(tree, nanoseconds: taken.map { UInt64($0) }, caller)
  }

  // MARK: Verdicts

  static func layout(_ trees: [CgroupTree]) -> Finding {
    let unified = trees.first { $0.isUnified }
    let legacy = trees.filter { !$0.isUnified }
    let (id, title) = ("cgroup.layout", "version")
    if trees.isEmpty {
      return .lacks(
        id, .cgroups, title, "no hierarchy is mounted", cost: "containers with --cpus, --memory or --pids",
        remedy: "mount -t cgroup2 none /sys/fs/cgroup")
    }
    if let unified, legacy.isEmpty {
      return .works(id, .cgroups, title, "v2 at \(unified.mountPoint)\(unified.isReadOnly ? ", read-only" : "")")
    }
    let bound = Text.join(legacy.map { Text.join($0.controllers, ",") })
    return .works(id, .cgroups, title, (unified == nil ? "v1: " : "v1 and v2 (hybrid); bound to v1: ") + bound)
  }

  static func finding(_ controller: Controller, _ sight: Sight, _ trees: [CgroupTree], _ caller: Caller) -> Finding {
    let id = "cgroup.\(controller.name)"
    let state: Finding.State = controller.isMain && caller.isRoot ? .fails : .missing
    let isUnified = trees.contains { $0.isUnified && trees.count == 1 }
    switch sight {
    case .made:
      return .works(id, .cgroups, controller.name, "a cgroup with it was made and removed", group: "limits")
    case .offered:
      return .works(id, .cgroups, controller.name, "to be handed down with the first limit", group: "limits")
    case .absent:
      let remedy: String
      if !isUnified {
        let name = controller.legacy.name
        remedy = "mkdir -p /sys/fs/cgroup/\(name) && mount -t cgroup -o \(name) none /sys/fs/cgroup/\(name)"
      } else {
        remedy = caller.isRoot ? "boot the kernel with cgroup_enable=\(controller.name), or one that has it" : delegate
      }
      return .lacks(
        id, .cgroups, controller.name, "no cgroup has it", state: state, cost: controller.cost,
        remedy: isUnified ? remedy : caller.asRoot("sh -c '\(remedy)'"))
    case .refused(let reason):
      return .lacks(
        id, .cgroups, controller.name, reason, state: state,
        cost: caller.isRoot ? controller.cost : "\(controller.cost), without root",
        remedy: caller.isRoot ? "mount -o remount,rw /sys/fs/cgroup" : delegate, group: "")
    }
  }

  private static let delegate =
    "systemd-run --user --scope -p Delegate=yes vmrun ...   (or vmrun as root)"

  static func delegation(_ result: TrialResult, trees tree: CgroupTree, _ caller: Caller) -> Finding {
    let (id, title) = ("cgroup.delegation", "delegation")
    if case .done(let text) = result { return .works(id, .cgroups, title, text) }
    return .lacks(
      id, .cgroups, title, result.text, state: .missing, cost: "limits for containers without root",
      remedy: caller.isRoot ? "" : delegate)
  }

  static func moving(_ tree: CgroupTree, nanoseconds: UInt64?, _ caller: Caller) -> Finding {
    let (id, title) = ("cgroup.favordynmods", "favordynmods")
    let took = nanoseconds.map { "moving a process took \(Text.milliseconds($0))" } ?? "no process could be moved"
    if tree.favorsDynamicModification { return .works(id, .cgroups, title, "on: \(took)") }
    // What a grace period of RCU takes and no mount option would save.
    if let nanoseconds, nanoseconds < 1_000_000 { return .works(id, .cgroups, title, "off, and not needed: \(took)") }
    return .lacks(
      id, .cgroups, title, "off: \(took)", state: .missing,
      cost: nanoseconds == nil
        ? "perhaps some time of a container's start" : "that time of each container's start and exec",
      remedy: caller.asRoot("mount -o remount,favordynmods \(tree.mountPoint)"))
  }
}

/// Folders, for looking only.
enum Folder {
  static func names(in path: String) -> [String] {
    // unsafe: the stream is closed on every way out, and the path is NUL-terminated for the call.
    guard let stream = unsafe opendir(path) else { return [] }
    defer { _ = unsafe closedir(stream) }
    var names: [String] = []
    // unsafe: an entry is valid until the next readdir, and its name is NUL-terminated.
    while names.count < 4096, let entry = unsafe readdir(stream) {
      unsafe names.append(String(cString: clinux_dirent_name(entry)))
    }
    return names
  }

  static func has(_ path: String) -> Bool {
    // unsafe: the string is NUL-terminated for the call.
    unsafe access(path, F_OK) == 0
  }

  static func isWritable(_ path: String) -> Bool {
    // unsafe: the string is NUL-terminated for the call.
    unsafe access(path, W_OK) == 0
  }
}
