import CLinux
import OCI
import Testing

@testable import Container

@Suite("Mount options")
struct MountOptionsTests {
  private func parse(_ options: String...) throws -> MountOptions { try MountOptions(parsing: options) }

  @Test("Each flag of the table sets or clears the bit that mount(2) has for it")
  func flags() throws {
    // Numbers of linux/mount.h, retyped on purpose: the table must not check itself.
    let sets: [(String, UInt)] = [
      ("ro", 1), ("nosuid", 2), ("nodev", 4), ("noexec", 8), ("sync", 16), ("remount", 32), ("mand", 64),
      ("dirsync", 128), ("nosymfollow", 256), ("noatime", 1024), ("nodiratime", 2048), ("bind", 4096),
      ("rbind", 4096 | 16384), ("silent", 32768), ("acl", 1 << 16), ("relatime", 1 << 21), ("iversion", 1 << 23),
      ("strictatime", 1 << 24), ("lazytime", 1 << 25),
    ]
    for (name, flag) in sets {
      let options = try parse(name)
      #expect(options.flags == flag, "\(name)")
      #expect(options.cleared == 0 && options.data.isEmpty, "\(name)")
    }
    let clears: [(String, UInt)] = [
      ("rw", 1), ("suid", 2), ("dev", 4), ("exec", 8), ("async", 16), ("nomand", 64), ("symfollow", 256),
      ("atime", 1024), ("diratime", 2048), ("loud", 32768), ("noacl", 1 << 16), ("norelatime", 1 << 21),
      ("noiversion", 1 << 23), ("nostrictatime", 1 << 24), ("nolazytime", 1 << 25),
    ]
    for (name, flag) in clears {
      let options = try parse(name)
      #expect(options.cleared == flag, "\(name)")
      #expect(options.flags == 0 && options.data.isEmpty, "\(name)")
    }
    #expect(try parse("defaults") == MountOptions())
  }

  @Test("Propagation keeps its order, and recursion")
  func propagation() throws {
    let kinds: [(String, UInt, Bool)] = [
      ("unbindable", 1 << 17, false), ("private", 1 << 18, false), ("slave", 1 << 19, false),
      ("shared", 1 << 20, false), ("runbindable", 1 << 17, true), ("rprivate", 1 << 18, true),
      ("rslave", 1 << 19, true), ("rshared", 1 << 20, true),
    ]
    for (name, kind, isRecursive) in kinds {
      #expect(try parse(name).propagations == [.init(kind: kind, isRecursive: isRecursive)], "\(name)")
    }
    #expect(try parse("rslave", "shared").propagations.map(\.kind) == [1 << 19, 1 << 20])
  }

  @Test("Recursive attributes are those of mount_setattr(2)")
  func recursive() throws {
    let sets: [(String, UInt64, UInt64)] = [
      ("rro", 1, 0), ("rnosuid", 2, 0), ("rnodev", 4, 0), ("rnoexec", 8, 0), ("rnodiratime", 0x80, 0),
      ("rnosymfollow", 0x20_0000, 0), ("rnoatime", 0x10, 0x70), ("rstrictatime", 0x20, 0x70), ("rrelatime", 0, 0x70),
      ("rrw", 0, 1), ("rsuid", 0, 2), ("rdev", 0, 4), ("rexec", 0, 8), ("rdiratime", 0, 0x80),
      ("rsymfollow", 0, 0x20_0000), ("ratime", 0, 0x70), ("rnostrictatime", 0, 0x70), ("rnorelatime", 0, 0),
    ]
    for (name, set, clear) in sets {
      let options = try parse(name)
      #expect(options.recursiveSet == set && options.recursiveClear == clear, "\(name)")
      #expect(options.flags == 0 && options.data.isEmpty, "\(name)")
    }
    let last = try parse("rro", "rrw", "rnoatime", "rstrictatime")
    #expect(last.recursiveSet == 0x20 && last.recursiveClear == 0x71)
  }

  @Test("The last option of a kind wins, and what nobody knows is data")
  func order() throws {
    let options = try parse("ro", "mode=755", "rw", "size=65536k", "newinstance", "nosuid", "suid")
    #expect(options.flags == 0 && options.cleared == 3)
    #expect(options.data == ["mode=755", "size=65536k", "newinstance"])
    #expect(options.value(ofData: "mode") == "755")
    #expect(options.value(ofData: "newinstance") == "")
    #expect(options.value(ofData: "mod") == nil && options.value(ofData: "gid") == nil)
  }

  @Test("Access time modes become the one field that a mount has")
  func accessTimes() throws {
    #expect(try parse("strictatime", "noatime").attributes == 0x20)
    #expect(try parse("noatime", "nodiratime").attributes == 0x90)
    #expect(try parse("relatime", "ro").attributes == 1)
    #expect(try parse("nosuid", "noexec", "nodev", "nosymfollow").attributes == 0x20_000E)
  }

  @Test("A bind mount that names a flag states all of them, as a remount does")
  func bindChange() throws {
    func change(_ options: String...) throws -> [UInt64]? {
      let change = try MountOptions(parsing: options).bindChange
      return change.map { [$0.set, $0.clear] }
    }
    #expect(try change("rbind", "rprivate") == nil)
    #expect(try change("bind", "ro") == [1, 0x20_000E])
    #expect(try change("bind", "rw") == [0, 0x20_000F])
    #expect(try change("bind", "nosuid", "nodev", "ro") == [7, 0x20_0008])
    #expect(try change("bind", "noatime") == [0x10, 0x20_00FF])
    #expect(try change("bind", "nodiratime") == [0x80, 0x20_007F])
    #expect(try change("bind", "atime") == [0, 0x20_00FF])
    #expect(try parse("bind", "rw", "dev").explicitlyCleared == 5)
  }

  @Test("ID mappings in the options")
  func idMaps() throws {
    #expect(try parse("idmap").idMap == .init(isRecursive: false))
    #expect(try parse("ridmap").idMap == .init(isRecursive: true))
    let map = try parse("idmap=uids=0-1000-10#10-2000-1;gids=0-100-10").idMap
    #expect(
      map
        == .init(
          isRecursive: false,
          uids: [
            IDMapping(containerID: 0, hostID: 1000, size: 10), IDMapping(containerID: 10, hostID: 2000, size: 1),
          ], gids: [IDMapping(containerID: 0, hostID: 100, size: 10)]))
    for bad in [
      "idmap=", "idmap=uids=0-1-1", "idmap=uids=0-1;gids=0-1-1", "idmap=uids=a-1-1;gids=0-1-1",
      "ridmap=uids=0-0-0;gids=0-0-1", "idmap=x=0-1-1", "idmap=uids=0-99999999999-1;gids=0-0-1",
      "idmap=uids=@0-1-1;gids=0-0-1",
    ] {
      #expect(throws: ContainerError.self, "\(bad)") { try MountOptions(parsing: [bad]) }
    }
  }

  @Test("Extensions")
  func extensions() throws {
    let options = try parse("tmpcopyup", "src-nofollow", "copy-symlink", "dest-nofollow")
    #expect(options.copiesUp && options.bindsSymlink && options.copiesSymlink && options.keepsDestinationSymlink)
    #expect(options.data.isEmpty)
  }

  @Test("The list of options has every option of the specification's table")
  func known() {
    // config.md, section "Linux mount options".
    let specified = [
      "async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "iversion", "lazytime", "loud",
      "noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "norelatime", "nostrictatime", "nosuid",
      "nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime", "relatime", "remount", "rexec", "rnoatime",
      "rnodev", "rnodiratime", "rnoexec", "rnorelatime", "rnostrictatime", "rnosuid", "rnosymfollow", "ro", "rprivate",
      "rrelatime", "rro", "rrw", "rshared", "rslave", "rstrictatime", "rsuid", "rsymfollow", "runbindable", "rw",
      "shared", "silent", "slave", "strictatime", "suid", "symfollow", "sync", "tmpcopyup", "unbindable", "idmap",
      "ridmap",
    ]
    #expect(Set(specified).isSubset(of: Set(MountOptions.known)))
    #expect(MountOptions.known == MountOptions.known.sorted())
  }
}

@Suite("Planned mounts")
struct PlannedMountTests {
  private func plan(_ destination: String, _ type: String, _ source: String, _ options: [String]) throws -> PlannedMount
  {
    try PlannedMount(
      Spec.Mount(destination: destination, type: type, source: source, options: options), bundle: "/bundle")
  }

  @Test("Destinations are cleaned, relative sources are the bundle's, a type of bind is a bind mount")
  func paths() throws {
    let mount = try plan("/a/../b//./c/", "bind", "data", [])
    #expect(mount.destination == "/b/c" && mount.source == "/bundle/data" && mount.isBind)
    #expect(try plan("/..", "tmpfs", "", []).destination == "/")
    #expect(try plan("/x", "none", "/y", ["rbind"]).type == "bind")
  }

  @Test(
    "What makes no sense is refused",
    arguments: [
      ("bind", "", ["rbind"]), ("", "", []), ("bind", "/a", ["size=1"]), ("bind", "/a", ["bind", "sync"]),
      ("proc", "proc", ["tmpcopyup"]), ("bind", "/a", ["tmpcopyup"]), ("tmpfs", "t", ["idmap"]),
    ])
  func refusals(type: String, source: String, options: [String]) {
    #expect(throws: ContainerError.self) { try plan("/x", type, source, options) }
  }

  @Test("Mount points of proc and sysfs are found in mountinfo, escapes and all")
  func mountInfo() {
    let text = """
      22 27 0:21 / /proc rw,relatime shared:5 master:1 - proc proc rw
      23 27 0:22 / /sys rw - sysfs sysfs rw
      24 27 0:6 / /dev rw - devtmpfs proc rw
      25 27 0:6 / /a\\040b\\134c rw - proc proc rw
      broken line
      """
    #expect(HostMounts.kernelViews(in: Array(text.utf8)) == ["/proc", "/sys", "/a b\\c"])
  }
}
