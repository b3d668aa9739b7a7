import CLinux
import Synchronization
import System
import TestSupport
import Testing

/// Whether `number` is an open descriptor of this process.
private func isOpen(_ number: Int32) -> Bool { clinux_fcntl(number, F_GETFD, 0) >= 0 }

@Suite struct DescriptorTests {
  @Test func ownerClosesItsDescriptor() throws {
    let number: Int32
    do {
      let file = try FileDescriptor.open("/dev/null", O_RDWR)
      number = file.rawValue
      // The number may be reused by another test once it is closed, so only its open state is looked at here.
      #expect(isOpen(number))
      #expect(clinux_fcntl(number, F_GETFD, 0) & FD_CLOEXEC != 0)
    }
  }

  @Test func closingAPipesWriterEndsItsReader() throws {
    let ends = try FileDescriptor.pipe()
    let copy = try FileDescriptor.duplicate(of: ends.write.rawValue)
    try copy.writeFully([1, 2, 3])
    func drop(_ descriptor: consuming FileDescriptor) {}
    drop(copy)
    var bytes = [UInt8](repeating: 0, count: 8)
    // A short read is no error.
    #expect(try bytes.withUnsafeMutableBytes { try ends.read.read(into: $0) } == 3)
    #expect(bytes == [1, 2, 3, 0, 0, 0, 0, 0])
    try ends.read.setNonBlocking()
    // The original writer is still open: nothing to read, but no end of file either.
    #expect(throws: SystemError("read", "descriptor \(ends.read.rawValue)", .again)) {
      _ = try bytes.withUnsafeMutableBytes { try ends.read.read(into: $0) }
    }
  }

  @Test func duplicateClosesOnExecAndLeavesStandardStreamsAlone() throws {
    let copy = try FileDescriptor.duplicate(of: 0)
    #expect(copy.rawValue >= 3)
    #expect(clinux_fcntl(copy.rawValue, F_GETFD, 0) & FD_CLOEXEC != 0)
  }

  @Test func errorsNameTheOperationTheObjectAndTheReason() throws {
    #expect(throws: SystemError("open", "/no/such/file", .notFound)) {
      _ = try FileDescriptor.open("/no/such/file", O_RDONLY)
    }
    #expect(throws: SystemError("duplicate", "descriptor 9999", Errno(rawValue: EBADF))) {
      _ = try FileDescriptor.duplicate(of: 9999)
    }
    #expect(SystemError("open", "/dev/kvm", .accessDenied).description == "open /dev/kvm: Permission denied")
    #expect(SystemError("pipe", "", .noMemory).description == "pipe: Cannot allocate memory")
    #expect(Errno(rawValue: ENOENT).description == "No such file or directory")
    #expect(Errno(rawValue: 5000).description == "Unknown error 5000")
  }

  @Test(arguments: [(0, 10, 10), (5, 10, 5), (10, 10, 0), (11, 1, 0), (0, 0, 0)])
  func readFullyIsShortOnlyAtTheEnd(offset: Int, asked: Int, expected: Int) throws {
    let file = try TemporaryFile(Array(0..<10))
    let descriptor = try FileDescriptor.open(file.path, O_RDONLY)
    var bytes = [UInt8](repeating: 0xEE, count: asked)
    let got = try bytes.withUnsafeMutableBytes { try descriptor.readFully(into: $0, at: Int64(offset)) }
    #expect(got == expected)
    #expect(Array(bytes[..<got]) == (0..<got).map { UInt8(offset + $0) })
    #expect(bytes[got...].allSatisfy { $0 == 0xEE })
  }

  @Test(arguments: [-1, Int64.max, Int64.max - 3])
  func readFullyRefusesOffsetsThatNoFileHas(offset: Int64) throws {
    let file = try TemporaryFile([1])
    let descriptor = try FileDescriptor.open(file.path, O_RDONLY)
    var bytes = [UInt8](repeating: 0, count: 4)
    #expect(throws: SystemError("read", "descriptor \(descriptor.rawValue)", .invalid)) {
      _ = try bytes.withUnsafeMutableBytes { try descriptor.readFully(into: $0, at: offset) }
    }
  }

  /// More than a pipe holds, so that write(2) takes it in parts.
  @Test func writeFullyWritesEverythingInOrder() throws {
    let ends = try FileDescriptor.pipe()
    let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) }
    let writer = ends.write.rawValue
    let thread = try Thread {
      guard let copy = try? FileDescriptor.duplicate(of: writer) else { return }
      try? copy.writeFully(bytes)
    }
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while received.count < bytes.count {
      let count = try buffer.withUnsafeMutableBytes { try ends.read.read(into: $0) }
      if count == 0 { break }
      received += buffer[..<count]
    }
    thread.join()
    #expect(received == bytes)
  }

  @Test func aSignalDoesNotEndARead() throws {
    let ends = try FileDescriptor.pipe()
    #expect(clinux_install_interrupting_handler(SIGUSR2) == 0)
    let reader = ends.read.rawValue
    let (entered, result) = (Box(), Box())
    let thread = try Thread {
      entered.value.store(1, ordering: .releasing)
      guard let copy = try? FileDescriptor.duplicate(of: reader) else { return }
      var byte: [UInt8] = [0]
      let count = (try? byte.withUnsafeMutableBytes { try copy.read(into: $0) }) ?? -1
      result.value.store(count == 1 ? Int(byte[0]) : -1, ordering: .releasing)
    }
    #expect(eventually { entered.value.load(ordering: .acquiring) == 1 })
    for _ in 0..<20 {
      pause(milliseconds: 1)
      thread.interrupt(SIGUSR2)
    }
    #expect(result.value.load(ordering: .acquiring) == 0)
    try ends.write.writeFully([42])
    thread.join()
    #expect(result.value.load(ordering: .acquiring) == 42)
  }

  @Test func statusTellsTheSize() throws {
    let file = try TemporaryFile([1, 2, 3])
    #expect(try FileDescriptor.open(file.path, O_RDONLY).status().st_size == 3)
  }
}

final class Box: Sendable {
  let value = Atomic<Int>(0)
}
