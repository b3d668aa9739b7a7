import Foundation
import JSON
import Testing

@testable import Container

/// A folder that plays /proc; removed with its owner.
final class Scratch {
  let path: String
  init() {
    path = NSTemporaryDirectory() + "cgroups-" + UUID().uuidString
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ name: String, _ text: String) {
    let file = path + "/" + name
    try? FileManager.default.createDirectory(
      atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try? text.write(toFile: file, atomically: false, encoding: .utf8)
  }
  func read(_ name: String) -> String? { try? String(contentsOfFile: path + "/" + name, encoding: .utf8) }
}

@Suite struct CgroupPlacementTests {
  @Test func membershipsKeepColonsAndCoMountedControllers() {
    let text = "12:cpu,cpuacct:/a:b\n9:name=systemd:/init.scope\n0::/user.slice\nnonsense\n3:x:relative\n"
    let parsed = Membership.parse(text)
    #expect(
      parsed == [
        Membership(names: "cpu,cpuacct", path: "/a:b"), Membership(names: "name=systemd", path: "/init.scope"),
        Membership(names: "", path: "/user.slice"),
      ])
    #expect(parsed.map(\.folder) == ["cpu,cpuacct", "systemd", ""])
  }

  @Test func mountinfoLinesWithEscapesAndOptionalFields() {
    let text = """
      31 23 0:28 / /sys/fs/cgroup rw,relatime shared:3 - tmpfs tmpfs rw,mode=755
      32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:1 - cgroup cgroup rw,cpu,cpuacct
      41 31 0:38 / /mnt/with\\040blank rw - cgroup2 cgroup2 rw,nsdelegate
      42 31 0:39 / /short - cgroup
      """
    #expect(
      MountEntry.parse(text) == [
        MountEntry(
          root: "/docker/abc", mountPoint: "/sys/fs/cgroup/cpu,cpuacct", isUnified: false,
          options: ["rw", "cpu", "cpuacct"], readOnly: true),
        MountEntry(
          root: "/", mountPoint: "/mnt/with blank", isUnified: true, options: ["rw", "nsdelegate"], readOnly: false),
      ])
  }

  /// docker in docker without a cgroup namespace: the mounts show the outer container's part of the tree.
  @Test func ownCgroupIsSeenBelowThePartialMount() {
    let memberships = Membership.parse(
      "5:memory:/docker/abc/inner\n4:pids:/docker/abc\n3:cpu:/elsewhere\n2:net_cls:/\n")
    let mounts = MountEntry.parse(
      """
      1 0 0:1 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
      2 0 0:2 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
      3 0 0:3 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
      """)
    let (found, unified) = CgroupLayout.resolve(memberships, mounts)
    #expect(found.map(\.own) == ["/inner", "/", "/"])
    #expect(found.map(\.names) == ["memory", "pids", "cpu"])
    #expect(unified == nil)
    #expect(CgroupLayout.strip("/../..", root: "/") == "/")
    #expect(CgroupLayout.strip("/docker/abcd", root: "/docker/abc") == "/")
  }

  @Test func relativePathsStartAtTheOwnCgroupOnV1AndBesideItOnV2() throws {
    let v1 = CgroupLayout.legacy(
      [
        .init(names: "cpu,cpuacct", mountPoint: "/c/cpu,cpuacct", own: "/"),
        .init(names: "memory", mountPoint: "/c/memory", own: "/outer"),
      ], unified: .init(names: "", mountPoint: "/c/unified", own: "/u"))
    let placement = CgroupPlacement.settle(v1, rootless: false) { mount, pure in
      let base = pure ? CgroupPlacement.parent(mount.own) : mount.own
      return base == "/" ? "/x" : base + "/x"
    }
    #expect(
      placement.view
        == .hierarchies(
          [
            CgroupHierarchy(names: "cpu,cpuacct", mountPoint: "/c/cpu,cpuacct", path: "/x"),
            CgroupHierarchy(names: "memory", mountPoint: "/c/memory", path: "/outer/x"),
          ], unified: "/c/unified/u/x"))
    guard case .hierarchies(let list, _) = placement.view else { return }
    #expect(list[0].has("cpuacct") && list[0].has("cpu") && !list[0].has("cp"))
    #expect(list[1].directory == "/c/memory/outer/x")
  }

  @Test func pathsThatLeaveTheHierarchyAreRefused() throws {
    #expect(try CgroupPlacement.normalized("/docker//./abc/") == "/docker/abc")
    #expect(throws: ContainerError.self) { try CgroupPlacement.normalized("/../etc") }
    #expect(throws: ContainerError.self) { try CgroupPlacement.normalized("/") }
    #expect(throws: ContainerError.self) { try CgroupPlacement.normalized("a/" + String(repeating: "x", count: 256)) }
    #expect(CgroupPlacement.parent("/a/b") == "/a")
    #expect(CgroupPlacement.parent("/a") == "/")
  }

  @Test func stateRoundTripAndHostileState() throws {
    let placements = [
      CgroupPlacement(.none, rootless: true, reason: "read-only"),
      CgroupPlacement(
        .unified(path: "/sys/fs/cgroup/a/b"), systemd: SystemdScope(slice: "s.slice", unit: "u.scope", user: true)),
      CgroupPlacement(
        .hierarchies([CgroupHierarchy(names: "cpu,cpuacct", mountPoint: "/m", path: "/p")], unified: "/m/unified/p")),
    ]
    for placement in placements { #expect(try CgroupPlacement(json: placement.json) == placement) }
    let hostile = JSON.object([JSON.Member("unified", .string("/sys/fs/cgroup/../../../etc"))])
    #expect(throws: ContainerError.self) { try CgroupPlacement(json: hostile) }
    let relative = JSON.object([JSON.Member("unified", .string("etc"))])
    #expect(throws: ContainerError.self) { try CgroupPlacement(json: relative) }
    let wrong = JSON.object([JSON.Member("hierarchies", .array([.string("x")]))])
    #expect(throws: ContainerError.self) { try CgroupPlacement(json: wrong) }
  }

  @Test func nothingMountedGivesNoneWithAReason() throws {
    let scratch = Scratch()
    scratch.write("proc/self/cgroup", "0::/\n")
    scratch.write("proc/self/mountinfo", "1 0 0:1 / / rw - ext4 /dev/x rw\n")
    let sources = CgroupLayout.Sources(mountPoint: scratch.path, proc: scratch.path + "/proc")
    let placement = try CgroupPlacement.decide(
      cgroupsPath: nil, id: "x", systemd: false, rootless: false, sources: sources)
    #expect(placement.view == .none)
    #expect(placement.reason?.contains(scratch.path) == true)
  }

  @Test func readOnlyAndUnwritableTreesGiveNoneWithAReason() {
    let readOnly = CgroupLayout.unified(.init(names: "", mountPoint: "/sys/fs/cgroup", own: "/", readOnly: true))
    let placement = CgroupPlacement.settle(readOnly, rootless: false) { _, _ in "/x" }
    #expect(placement.view == .none && placement.reason?.contains("read-only") == true)
  }
}
