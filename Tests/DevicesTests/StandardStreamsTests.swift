import CLinux
import System
import Testing

@testable import Devices

@Suite("Standard streams", .timeLimit(.minutes(1)))
struct StandardStreamsTests {
  @Test("closed ones are occupied, so that no file opened later is taken for one")
  func hold() async {
    await #expect(processExitsWith: .exitCode(7)) {
      guard StandardStreams.hold() == [] else { _exit(90) }
      close(0)
      close(2)
      guard StandardStreams.hold() == [0, 2] else { _exit(91) }
      guard let file = try? FileDescriptor.open("/dev/zero", O_RDONLY), file.rawValue > 2 else { _exit(92) }
      var byte: UInt8 = 0
      guard read(0, &byte, 1) == 0, write(2, &byte, 1) == 1 else { _exit(93) }
      _exit(7)
    }
  }

  @Test("2>&1 is known as one file, two pipes are not")
  func same() throws {
    let first = try FileDescriptor.pipe()
    let second = try FileDescriptor.pipe()
    let copy = try FileDescriptor.duplicate(of: first.write.rawValue)
    #expect(StandardStreams.same(first.write.rawValue, copy.rawValue))
    #expect(!StandardStreams.same(first.write.rawValue, second.write.rawValue))
    #expect(!StandardStreams.same(first.write.rawValue, 9999))
  }
}
