import CLinux
import GuestMemory
import GuestProtocol
import System
import TestSupport
import Testing

@testable import Machine

/// fsuid(7) belongs to a thread, unlike what the C library makes of seteuid(2).
@_silgen_name("setfsuid") private func setFileUser(_ user: UInt32) -> Int32

@Suite struct RootfsTreeTests {
  private func names(_ tree: RootfsTree) -> [[UInt8]] {
    tree.entries.map { Array($0.path.dropLast()) }.sorted { $0.lexicographicallyPrecedes($1) }
  }

  private func message(_ path: String) -> String {
    do {
      _ = try RootfsTree(path: path)
      return "read"
    } catch { return "\(error)" }
  }

  @Test func parentsComeFirstAndLinksAreNotFollowed() throws {
    let outside = try TemporaryFolder()
    try outside.file("secret", [1])
    let folder = try TemporaryFolder()
    try folder.folder("a")
    try folder.folder("a/b")
    try folder.file("a/b/c", [1, 2, 3])
    try folder.link("out", to: outside.path)
    try folder.link("a/loop", to: "..")
    try folder.link("gone", to: "/nowhere/at/all")
    let tree = try RootfsTree(path: folder.path)
    #expect(names(tree) == ["a", "a/b", "a/b/c", "a/loop", "gone", "out"].map { Array($0.utf8) })
    for (index, entry) in tree.entries.enumerated() {
      let path = Array(entry.path.dropLast())
      if let slash = path.lastIndex(of: UInt8(ascii: "/")) {
        #expect(tree.entries[..<index].contains { Array($0.path.dropLast()) == Array(path[..<slash]) })
      }
      #expect(entry.path.last == 0)
    }
    let link = try #require(tree.entries.first { $0.path == Array("out".utf8) + [0] })
    #expect(link.target == Array(outside.path.utf8))
    // Nor when its file is opened by name.
    #expect(throws: MachineError.self) { _ = try tree.open(link) }
  }

  @Test func namesAreBytes() throws {
    let folder = try TemporaryFolder()
    let odd: [[UInt8]] = [
      [0xFF, 0xFE], [0x0A], [0x20], [0x2D, 0x2D], [0x5C, 0x22], [0x2E, 0x2E, 0x2E],
      [UInt8](repeating: 0x78, count: 255),
    ]
    for name in odd { try folder.file(name, name) }
    let tree = try RootfsTree(path: folder.path)
    #expect(names(tree) == odd.sorted { $0.lexicographicallyPrecedes($1) })
    for entry in tree.entries {
      let file = try tree.open(entry)
      var bytes = [UInt8](repeating: 0, count: 300)
      let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0) }
      #expect(Array(bytes[..<count]) == Array(entry.path.dropLast()))
    }
  }

  @Test func anEmptyFolderIsATree() throws {
    let folder = try TemporaryFolder()
    #expect(chmod(folder.path, 0o711) == 0)
    let tree = try RootfsTree(path: folder.path)
    #expect(tree.entries.isEmpty)
    #expect(try tree.rootStatus().st_mode & 0o7777 == 0o711)
  }

  @Test func whatIsNoFolderIsTold() throws {
    #expect(message("/no/such/dir") == "--rootfs /no/such/dir: no such directory")
    let file = try TemporaryFile([1])
    #expect(message(file.path).contains("is not a directory; unpack"))
  }

  @Test func aTreeThatIsTooDeepIsTold() throws {
    let folder = try TemporaryFolder()
    var path = ""
    for depth in 0..<RootfsTree.deepest - 1 {
      path += depth == 0 ? "d" : "/d"
      try folder.folder(path)
    }
    #expect(try RootfsTree(path: folder.path).entries.count == RootfsTree.deepest - 1)
    try folder.folder(path + "/d")
    #expect(message(folder.path).contains("more than 256 directories deep"))
  }

  @Test func anUnreadableFolderIsTold() throws {
    let folder = try TemporaryFolder()
    try folder.folder("locked", mode: 0)
    let path = folder.path
    nonisolated(unsafe) var text = ""
    let thread = try Thread {
      if geteuid() == 0 { _ = setFileUser(65534) }
      do { _ = try RootfsTree(path: path) } catch { text = "\(error)" }
    }
    thread.join()
    #expect(text == "cannot read \(path)/locked: Permission denied (run vmrun as the owner of the tree, or as root)")
  }

  /// Between the look and the copy, a folder on the way becomes a link to somewhere else.
  @Test func aFolderThatBecomesALinkLeadsNowhere() throws {
    let outside = try TemporaryFolder()
    try outside.file("f", [9])
    let folder = try TemporaryFolder()
    try folder.folder("d")
    try folder.file("d/f", [1])
    let tree = try RootfsTree(path: folder.path)
    let entry = try #require(tree.entries.first { $0.path == Array("d/f".utf8) + [0] })
    #expect(rename("\(folder.path)/d", "\(folder.path)/old") == 0)
    try folder.link("d", to: outside.path)
    #expect(throws: MachineError.self) { _ = try tree.open(entry) }
    #expect(unlink("\(folder.path)/d") == 0)
    #expect(throws: MachineError.self) { _ = try tree.open(entry) }
  }
}

/// A member of a cpio archive of the form "newc", read without the code that writes it.
private struct Member {
  var inode, mode, uid, gid, links, time, size, major, minor: UInt32
  var name: [UInt8]
  var data: [UInt8]
}

/// Reads a whole archive (Documentation/driver-api/early-userspace/buffer-format.rst), nil when it is none.
private func unpack(_ bytes: [UInt8]) -> (members: [Member], end: Int)? {
  var result: [Member] = []
  var position = 0
  while position + 110 <= bytes.count {
    guard Array(bytes[position..<position + 6]) == Array("070701".utf8) else { return nil }
    var fields: [UInt32] = []
    for index in 0..<13 {
      let start = position + 6 + index * 8
      guard let value = UInt32(String(decoding: bytes[start..<start + 8], as: UTF8.self), radix: 16) else { return nil }
      fields.append(value)
    }
    let nameEnd = position + 110 + Int(fields[11])
    guard nameEnd <= bytes.count, bytes[nameEnd - 1] == 0 else { return nil }
    let name = Array(bytes[position + 110..<nameEnd - 1])
    let start = (nameEnd + 3) & ~3
    let end = start + Int(fields[6])
    guard end <= bytes.count else { return nil }
    position = (end + 3) & ~3
    if name == Array("TRAILER!!!".utf8) { return (result, position) }
    result.append(
      Member(
        inode: fields[0], mode: fields[1], uid: fields[2], gid: fields[3], links: fields[4], time: fields[5],
        size: fields[6],
        major: fields[9], minor: fields[10], name: name, data: Array(bytes[start..<end])))
  }
  return nil
}

@Suite struct CommandArchiveTests {
  private let configuration = CommandConfiguration(arguments: [Array("true".utf8)])

  /// The archive of `folder` as it lies in guest memory, with a byte of room on both sides looked after.
  private func archive(_ folder: TemporaryFolder) throws -> [UInt8] {
    let archive = try CommandArchive(Configuration.Command(rootfs: folder.path, arguments: [Array("true".utf8)]))
    try archive.add(configuration)
    let size = Int(archive.size)
    let ram = try GuestRAM(
      count: UInt64(size + 12288) & ~4095, holeStart: 1 << 40, holeEnd: 1 << 40, hugePages: false)
    try ram.write(GuestAddress(4096 - 8), [UInt8](repeating: 0xEE, count: 8))
    try ram.write(GuestAddress(UInt64(4096 + size)), [UInt8](repeating: 0xEE, count: 8))
    try archive.write(to: ram, at: 4096)
    #expect(try ram.read(GuestAddress(4096 - 8), count: 8) == [UInt8](repeating: 0xEE, count: 8))
    #expect(try ram.read(GuestAddress(UInt64(4096 + size)), count: 8) == [UInt8](repeating: 0xEE, count: 8))
    return try ram.read(GuestAddress(4096), count: size)
  }

  private func member(_ name: String, in members: [Member]) throws -> Member {
    try #require(members.first { $0.name == Array("vmrun/root/\(name)".utf8) })
  }

  @Test func everythingOfTheTreeIsInTheArchive() throws {
    let folder = try TemporaryFolder()
    #expect(chmod(folder.path, 0o750) == 0)
    try folder.folder("bin", mode: 0o1777)
    let content = (0..<70_001).map { UInt8(truncatingIfNeeded: $0 * 31) }
    try folder.file("bin/tool", content, mode: 0o4755)
    try folder.file("empty", [])
    try folder.file([0xFF, 0x0A, 0x20], [1])
    try folder.link("sh", to: "bin/tool")
    try folder.file("one", [5, 6, 7])
    try folder.hardLink("two", to: "one")
    #expect(mkfifo("\(folder.path)/pipe", 0o600) == 0)
    let isRoot = geteuid() == 0
    if isRoot {
      #expect(chown("\(folder.path)/empty", 1234, 70000) == 0)
      #expect(mknod("\(folder.path)/null", UInt32(S_IFCHR) | 0o666, clinux_makedev(1, 3)) == 0)
    }
    let bytes = try archive(folder)
    let (members, end) = try #require(unpack(bytes))
    #expect(end == bytes.count)
    // Parents first, and every name once.
    #expect(Set(members.map(\.name)).count == members.count)
    #expect(
      members.prefix(5).map { String(decoding: $0.name, as: UTF8.self) } == [
        "dev", "dev/console", "vmrun", "vmrun/init", "vmrun/root",
      ])
    #expect(members[1].mode == UInt32(S_IFCHR) | 0o600 && members[1].major == 5 && members[1].minor == 1)
    #expect(members[4].mode == UInt32(S_IFDIR) | 0o750)
    #expect(members[3].mode == UInt32(S_IFREG) | 0o755)
    let own = try FileDescriptor.open("/proc/self/exe", O_RDONLY)
    var program = [UInt8](repeating: 0, count: Int(try own.status().st_size))
    _ = try program.withUnsafeMutableBytes { try own.readFully(into: $0, at: 0) }
    #expect(members[3].data == program)
    #expect(members.last?.name == Array("vmrun/config".utf8))
    #expect(members.last?.data == configuration.encoded())
    #expect(try member("bin", in: members).mode == UInt32(S_IFDIR) | 0o1777)
    let tool = try member("bin/tool", in: members)
    #expect(tool.mode == UInt32(S_IFREG) | 0o4755 && tool.data == content && tool.links == 1)
    #expect(try member("empty", in: members).size == 0)
    #expect(members.contains { $0.name == Array("vmrun/root/".utf8) + [0xFF, 0x0A, 0x20] && $0.data == [1] })
    let link = try member("sh", in: members)
    #expect(link.mode & UInt32(S_IFMT) == UInt32(S_IFLNK) && link.data == Array("bin/tool".utf8))
    #expect(try member("pipe", in: members).mode == UInt32(S_IFIFO) | 0o600)
    let (one, two) = (try member("one", in: members), try member("two", in: members))
    #expect(one.inode == two.inode && one.links == 2 && two.links == 2)
    // The first of the two carries the data.
    #expect([one.data, two.data].sorted { $0.count < $1.count } == [[], [5, 6, 7]])
    let firstName = members.first { $0.inode == one.inode }
    #expect(firstName?.data == [5, 6, 7])
    #expect(Set(members.map(\.inode)).count == members.count - 1)
    #expect(tool.uid == geteuid() && tool.gid == getegid())
    if isRoot {
      let empty = try member("empty", in: members)
      #expect(empty.uid == 1234 && empty.gid == 70000)
      let null = try member("null", in: members)
      #expect(
        null.mode & UInt32(S_IFMT) == UInt32(S_IFCHR) && null.major == 1 && null.minor == 3,
        "\(null.mode) \(null.major) \(null.minor)")
    }
    var status = stat()
    #expect(lstat("\(folder.path)/bin/tool", &status) == 0)
    #expect(tool.time == UInt32(status.st_mtim.tv_sec))
  }

  @Test func aFileThatShrankIsTold() throws {
    let folder = try TemporaryFolder()
    try folder.file("f", [1, 2, 3, 4])
    let archive = try CommandArchive(Configuration.Command(rootfs: folder.path, arguments: [Array("true".utf8)]))
    try archive.add(configuration)
    #expect(truncate("\(folder.path)/f", 1) == 0)
    let ram = try GuestRAM(count: (archive.size + 8191) & ~4095, holeStart: 1 << 40, holeEnd: 1 << 40, hugePages: false)
    do {
      try archive.write(to: ram, at: 0)
      Issue.record("written")
    } catch { #expect("\(error)" == "--rootfs: f: the file became 3 bytes shorter while it was read") }
  }

  @Test func aFileThatGrewKeepsItsSize() throws {
    let folder = try TemporaryFolder()
    try folder.file("f", [1, 2, 3, 4])
    let archive = try CommandArchive(Configuration.Command(rootfs: folder.path, arguments: [Array("true".utf8)]))
    try archive.add(configuration)
    #expect(truncate("\(folder.path)/f", 100_000) == 0)
    let ram = try GuestRAM(count: (archive.size + 8191) & ~4095, holeStart: 1 << 40, holeEnd: 1 << 40, hugePages: false)
    try archive.write(to: ram, at: 0)
    let (members, _) = try #require(unpack(try ram.read(GuestAddress(0), count: Int(archive.size))))
    #expect(try member("f", in: members).data == [1, 2, 3, 4])
  }

  @Test func tooLittleMemoryIsAnError() throws {
    let folder = try TemporaryFolder()
    let archive = try CommandArchive(Configuration.Command(rootfs: folder.path, arguments: [Array("true".utf8)]))
    try archive.add(configuration)
    let ram = try GuestRAM(count: 8192, holeStart: 1 << 40, holeEnd: 1 << 40, hugePages: false)
    do {
      try archive.write(to: ram, at: 0)
      Issue.record("written")
    } catch { #expect("\(error)".contains("not in guest RAM")) }
    #expect(archive.neededMemory > archive.size * 3)
  }

  @Test func endlessArgumentsAreTold() throws {
    let folder = try TemporaryFolder()
    let archive = try CommandArchive(Configuration.Command(rootfs: folder.path, arguments: [Array("true".utf8)]))
    let long = CommandConfiguration(arguments: [[UInt8](repeating: 65, count: 5 << 20)])
    #expect(throws: MachineError("the command's arguments are too long")) { try archive.add(long) }
  }
}
