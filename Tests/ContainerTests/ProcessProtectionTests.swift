import CContainer
import CLinux
import Foundation
import System
import Testing

@testable import Container

/// CVE-2019-5736: who holds a program's file while it runs must not be able to write to it later.
@Suite(.serialized) struct ProcessProtectionTests {
  /// A copy of sleep(1) that runs from `descriptor`, as vmrun runs in a container. Gives what root gets who opens its
  /// /proc/PID/exe for writing while it runs, and, by a descriptor kept from then, after it has ended.
  private func attack(_ descriptor: Int32, _ original: String) throws -> (
    running: Int32, ended: Int32, isOverwritten: Bool
  ) {
    let before = try Data(contentsOf: URL(fileURLWithPath: original))
    var pidfd: Int32 = -1
    let arguments = StringVector([Array("sleep".utf8), Array("60".utf8)])
    let variables = StringVector([])
    let pid = ccontainer_clone(0, -1, &pidfd)
    if pid == 0 {
      _ = ccontainer_execute_descriptor(descriptor, arguments.array, variables.array)
      _exit(1)
    }
    defer { close(pidfd) }
    // Until the program is executed, the link is the test's own.
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    while try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/exe") == own { usleep(1000) }
    let held = open("/proc/\(pid)/exe", O_PATH)
    defer { close(held) }
    #expect(held >= 0)
    func write() -> Int32 {
      let file = open("/proc/self/fd/\(held)", O_WRONLY)
      if file < 0 { return clinux_errno() }
      defer { close(file) }
      var byte: UInt8 = 0x58
      return pwrite(file, &byte, 1, 0) == 1 ? 0 : clinux_errno()
    }
    let running = write()
    kill(pid, SIGKILL)
    var status: Int32 = 0
    _ = ccontainer_wait(pid, 0, &status)
    let ended = write()
    return (running, ended, try Data(contentsOf: URL(fileURLWithPath: original)) != before)
  }

  private func copyOfSleep(_ scratch: ProcessScratch) throws -> String {
    let path = "\(scratch.path)/program"
    try FileManager.default.copyItem(atPath: "/bin/sleep", toPath: path)
    return path
  }

  @Test func anUnprotectedProgramIsOverwritten() throws {
    let scratch = ProcessScratch()
    let path = try copyOfSleep(scratch)
    #expect(try SelfProtection.state(of: path) == .unprotected)
    let file = open(path, O_PATH | O_CLOEXEC)
    let result = try attack(file, path)
    close(file)
    // This is the hole: busy only as long as it runs.
    #expect(result.running == ETXTBSY && result.ended == 0 && result.isOverwritten)
  }

  @Test func aReadOnlyMountCannotBeWrittenThrough() throws {
    let scratch = ProcessScratch()
    let path = try copyOfSleep(scratch)
    let file = try SelfProtection.protectedFile(of: path)
    #expect(try SelfProtection.state(of: "/proc/self/fd/\(file.rawValue)") == .readOnlyMount)
    let result = try attack(file.rawValue, path)
    #expect(result.running == ETXTBSY && result.ended == EROFS && !result.isOverwritten)
    // Nobody else sees the mount, and it cannot be made writable from where it can be seen.
    #expect(try !String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).contains(scratch.path))
  }

  @Test func aSealedCopyCannotBeWritten() throws {
    let scratch = ProcessScratch()
    let path = try copyOfSleep(scratch)
    let file = try SelfProtection.sealedCopy(of: path)
    #expect(try SelfProtection.state(of: "/proc/self/fd/\(file.rawValue)") == .sealedCopy)
    let result = try attack(file.rawValue, path)
    #expect(result.running == ETXTBSY && result.ended == EPERM && !result.isOverwritten)
  }

  @Test func anUnprivilegedUserCannotWriteToRootsFile() throws {
    let scratch = ProcessScratch()
    let path = try copyOfSleep(scratch)
    chmod(scratch.path, 0o755)
    for (mode, expected) in [(UInt32(0o755), "notWritable"), (0o757, "unprotected")] {
      chmod(path, mode)
      let outcome = inChild {
        setgroups(0, nil)
        setresgid(1234, 1234, 1234)
        setresuid(1234, 1234, 1234)
        return "\(try SelfProtection.state(of: path))"
      }
      #expect(outcome.text == expected)
    }
  }
}
