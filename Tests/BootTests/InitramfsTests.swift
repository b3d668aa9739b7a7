import TestSupport
import Testing

@testable import Boot

@Suite struct InitramfsTests {
  func entry(_ path: String, mode: UInt32 = 0o100644, size: UInt64 = 0) -> CpioEntry {
    CpioEntry(path: Array(path.utf8), mode: mode, size: size)
  }

  @Test func goldenHeader() throws {
    let entry = CpioEntry(
      path: Array("dev/console".utf8), mode: 0o020600, uid: 1, gid: 0xABCDEF, mtime: 0x1234, size: 0, deviceMajor: 5,
      deviceMinor: 1, inode: 7, links: 1)
    let golden =
      "070701" + "00000007" + "00002180" + "00000001" + "00ABCDEF" + "00000001" + "00001234" + "00000000" + "00000000"
      + "00000000" + "00000005" + "00000001" + "0000000C" + "00000000" + "dev/console\0" + "\0\0"
    #expect(try entry.headerBytes() == Array(golden.utf8))
    #expect(entry.headerCount == golden.utf8.count)
    #expect(CpioEntry.trailer().count == 124)
    #expect(CpioEntry.trailer().count % 4 == 0)
  }

  @Test func sizesAddUp() throws {
    for name in 1..<12 {
      for size: UInt64 in 0..<9 {
        let entry = entry(String(repeating: "n", count: name), size: size)
        let header = try entry.headerBytes()
        #expect(header.count == entry.headerCount)
        #expect(header.count % 4 == 0)
        #expect(header.count >= 110 + name + 1 && header.count <= 110 + name + 4)
        #expect((Int(size) + entry.dataPadding) % 4 == 0 && entry.dataPadding < 4)
        #expect(entry.paddedSize == UInt64(header.count) + size + UInt64(entry.dataPadding))
      }
    }
  }

  @Test func limits() {
    #expect(throws: CpioError.tooLarge(path: [0x61], size: 1 << 32)) { try entry("a", size: 1 << 32).headerBytes() }
    #expect(throws: Never.self) { try entry("a", size: UInt64(UInt32.max)).headerBytes() }
    #expect(throws: CpioError.self) { try entry("a", size: .max).headerBytes() }
    #expect(throws: CpioError.self) { try entry("").headerBytes() }
    #expect(throws: CpioError.self) { try entry("a\0b").headerBytes() }
    #expect(throws: Never.self) { try entry(String(repeating: "a", count: 4095)).headerBytes() }
    #expect(throws: CpioError.self) { try entry(String(repeating: "a", count: 4096)).headerBytes() }
    #expect(entry("a", size: .max).paddedSize < 1 << 10)
    #expect(CpioError.tooLarge(path: Array("big".utf8), size: 1 << 32).description.contains("big"))
  }

  @Test func timesAreClamped() throws {
    var entry = entry("a")
    entry.mtime = -5
    #expect(try entry.headerBytes()[46..<54] == Array("00000000".utf8)[...])
    entry.mtime = .max
    #expect(try entry.headerBytes()[46..<54] == Array("FFFFFFFF".utf8)[...])
  }

  @Test func hardLinksCarryTheirDataOnce() throws {
    var links = CpioLinks()
    var first = entry("a", size: 5)
    var second = entry("b", size: 5)
    var other = entry("c", size: 5)
    var folder = entry("d", mode: 0o040755)
    var alone = entry("e", size: 5)
    #expect(try links.number(&first, device: 1, inode: 10, links: 2))
    #expect(try links.number(&other, device: 2, inode: 10, links: 2))
    #expect(try !links.number(&second, device: 1, inode: 10, links: 2))
    #expect(try links.number(&folder, device: 1, inode: 11, links: 5))
    #expect(try links.number(&alone, device: 1, inode: 12, links: 1))
    #expect(first.inode == second.inode && first.inode != other.inode)
    #expect(first.links == 2 && second.links == 2 && folder.links == 1 && alone.links == 1)
    #expect(first.size == 5 && second.size == 0 && other.size == 5)
    #expect(Set([first.inode, other.inode, folder.inode, alone.inode]).count == 4)
  }

  static let hasCpio = Shell.run("command -v cpio > /dev/null") == 0

  /// cpio(1) unpacks what was written. The link's data stands with its first name, as Linux takes it.
  @Test(.enabled(if: hasCpio, "cpio is not installed"))
  func cpioUnpacksTheArchive() throws {
    var archive: [UInt8] = []
    func add(_ entry: CpioEntry, _ data: [UInt8] = []) throws {
      archive += try entry.headerBytes() + data + [UInt8](repeating: 0, count: entry.dataPadding)
    }
    var text = entry("folder/text", mode: 0o100640, size: 13)
    text.mtime = 1_000_000_000
    text.inode = 3
    try add(entry("folder", mode: 0o040750))
    try add(text, Array("hello, world\n".utf8))
    try add(entry("folder/link", mode: 0o120777, size: 4), Array("text".utf8))
    try add(entry("empty"))
    archive += CpioEntry.trailer()
    let folder = try TemporaryFolder()
    _ = try folder.write("archive", archive)
    #expect(Shell.run("cd '\(folder.path)' && mkdir out && cd out && cpio -idm --quiet < ../archive 2> ../log") == 0)
    #expect(String(decoding: try folder.read("log"), as: UTF8.self) == "")
    #expect(try folder.read("out/folder/text") == Array("hello, world\n".utf8))
    #expect(try folder.read("out/folder/link") == Array("hello, world\n".utf8))
    #expect(try folder.read("out/empty") == [])
    let listing = try SyntheticKernel.filter([], "cd '\(folder.path)/out' && stat -c '%n %a %s %Y' folder/text folder")
    let lines = String(decoding: listing, as: UTF8.self).split(separator: "\n")
    #expect(lines[0] == "folder/text 640 13 1000000000")
    #expect(lines[1].hasPrefix("folder 750 "))
  }
}
