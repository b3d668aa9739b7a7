import System
import TestSupport
import Testing

@testable import Virtio

@Suite("Disk images")
struct DiskImageTests {
  private func failure(_ path: String, readOnly: Bool = false) -> DiskError? {
    do throws(DiskError) {
      _ = try DiskImage(path: path, readOnly: readOnly)
      return nil
    } catch { return error }
  }

  @Test("what is no disk is refused with an error that names it and the reason")
  func refused() throws {
    let empty = try TemporaryFile([])
    let odd = try TemporaryFile([UInt8](repeating: 0, count: 1000))
    #expect(failure("/nowhere/disk") == .system("/nowhere/disk", SystemError("open", "/nowhere/disk", .notFound)))
    #expect(failure("/") != nil)
    #expect(failure("/dev/null") == .notADisk("/dev/null"))
    #expect(failure("/dev/zero", readOnly: true) == .notADisk("/dev/zero"))
    #expect(failure(empty.path) == .size(empty.path, 0))
    #expect(failure(odd.path) == .size(odd.path, 1000))
    #expect(failure(odd.path)?.description.contains("multiple") == true)
    for error in [failure("/nowhere/disk"), failure(empty.path), failure("/dev/null")] {
      let text = try #require(error).description
      #expect(text.hasPrefix("disk /"))
    }
  }

  @Test("a FIFO is refused at once, though nobody has its other end open")
  func fifo() throws {
    let fifo = try TemporaryFIFO()
    #expect(failure(fifo.path, readOnly: true) == .notADisk(fifo.path))
    #expect(failure(fifo.path) == .notADisk(fifo.path))
  }

  @Test("one writer excludes everybody, readers share, and the end of a machine frees the disk")
  func locks() throws {
    let file = try TemporaryFile([UInt8](repeating: 0, count: 4096))
    do {
      let writer = try DiskImage(path: file.path, readOnly: false)
      #expect(failure(file.path) == .inUse(file.path, readOnly: false))
      #expect(failure(file.path, readOnly: true) == .inUse(file.path, readOnly: true))
      #expect(failure(file.path)?.description.contains(file.path) == true)
      #expect(writer.sectors == 8)
    }
    do {
      let first = try DiskImage(path: file.path, readOnly: true)
      let second = try DiskImage(path: file.path, readOnly: true)
      #expect(failure(file.path) == .inUse(file.path, readOnly: false))
      #expect(first.sectors == second.sectors)
    }
    #expect(failure(file.path) == nil)
  }

  @Test("ranges are checked without an overflow")
  func ranges() throws {
    let file = try TemporaryFile([UInt8](repeating: 0, count: 4096))
    let image = try DiskImage(path: file.path, readOnly: true)
    #expect(image.contains(0, sectors: 8))
    #expect(image.contains(8, sectors: 0))
    #expect(!image.contains(0, sectors: 9))
    #expect(!image.contains(9, sectors: 0))
    #expect(!image.contains(.max, sectors: 1))
    #expect(!image.contains(1, sectors: .max))
    #expect(image.contains(7, bytes: 512))
    #expect(!image.contains(7, bytes: 513))
    #expect(!image.contains(0, bytes: .max))
  }
}
