import CLinux
import System
import TestSupport
import Testing

@testable import Hypervise

/// fsuid(7) belongs to a thread, unlike what the C library makes of seteuid(2).
@_silgen_name("setfsuid") private func setFileUser(_ user: UInt32) -> Int32

@Suite struct KVMErrorTests {
  private static func opening(_ path: String) -> KVMError? {
    do {
      _ = try KVM(path: path)
      return nil
    } catch { return error }
  }

  @Test func anAbsentNodeIsTold() {
    #expect(Self.opening("/no/such/kvm") == .absent(path: "/no/such/kvm"))
  }

  @Test func anotherDeviceIsNotKVM() {
    #expect(Self.opening("/dev/null") == .apiVersion(path: "/dev/null", -1))
  }

  @Test func aFolderIsTold() {
    #expect(Self.opening("/tmp") == .open(path: "/tmp", Errno(rawValue: EISDIR)))
  }

  @Test func aNodeOfOthersIsTold() throws {
    let file = try TemporaryFile([])
    #expect(chmod(file.path, 0) == 0)
    nonisolated(unsafe) var error: KVMError?
    let path = file.path
    let thread = try Thread {
      // Root may open everything; as another user, a thread of root may not. Others are refused as they are.
      if geteuid() == 0 { _ = setFileUser(65534) }
      error = Self.opening(path)
    }
    thread.join()
    #expect(error == .notPermitted(path: path))
  }

  @Test(.enabled(if: Host.hasKVM, "KVM cannot be used here; the log says why"))
  func aMissingCapabilityIsToldByName() throws {
    let kvm = try KVM()
    // No capability has this number.
    let none = Capability("KVM_CAP_NEVER", 0x7FFF_FFF0)
    #expect(kvm.has(none) == false)
    #expect(throws: KVMError.missingCapability("KVM_CAP_NEVER")) { try kvm.require(.userMemory, none, .irqchip) }
  }

  /// Each says what is wrong and what to type next.
  @Test(
    arguments: [
      (.absent(path: "/dev/kvm"), ["/dev/kvm is not there", "modprobe kvm_intel", "--device /dev/kvm"]),
      (
        .notPermitted(path: "/dev/kvm"),
        ["permission denied", "usermod -aG kvm \"$USER\"", "KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0660\""]
      ),
      (.busy(path: "/dev/kvm"), ["/dev/kvm is busy", "VirtualBox or VMware", "Stop it and try again"]),
      (.open(path: "/dev/kvm", .ioError), ["cannot open /dev/kvm: Input/output error"]),
      (.apiVersion(path: "/dev/null", -1), ["/dev/null does not answer as KVM does", "10, 232"]),
      (.apiVersion(path: "/dev/kvm", 11), ["API version 11, vmrun needs 12"]),
      (.missingCapability("KVM_CAP_SPLIT_IRQCHIP"), ["lacks KVM_CAP_SPLIT_IRQCHIP", "newer host kernel"]),
      (.call("KVM_CREATE_VM", .noMemory), ["KVM_CREATE_VM: Cannot allocate memory", "--memory"]),
      (.call("KVM_CREATE_VM", .invalid), ["KVM_CREATE_VM: Invalid argument"]),
      (.runStuck(.noMemory, attempts: 1001), ["KVM_RUN failed 1001 times in a row", "dmesg"]),
      (.entryRefused(reason: 0x8000_0021), ["refused to enter the guest", "0x80000021", "dmesg"]),
      (
        .cannotRunGuest(suberror: 1, instructionPointer: 0xFFF0, code: "0f 01"),
        ["suberror 1", "guest address 0xfff0, instruction bytes 0f 01", "kvm_intel or kvm_amd"]
      ),
      (.cannotRunGuest(suberror: 3, instructionPointer: 0, code: ""), ["guest address 0x0. A KVM without"]),
    ] as [(KVMError, [String])])
  func everyErrorSaysWhatToDo(error: KVMError, parts: [String]) {
    for part in parts { #expect(error.description.contains(part), "\(error.description)") }
    #expect(!error.description.contains("\n"))
  }
}

@Suite struct RunRetryTests {
  @Test func aSignalIsNoFailure() {
    var retry = RunRetry()
    for _ in 0..<5000 { #expect(retry.step(after: .interrupted) == .interrupted) }
    #expect(retry.step(after: .again) == .again(microseconds: 0))
  }

  @Test func aWokenProcessorRunsAgainAtOnceThenSlower() {
    var retry = RunRetry()
    for _ in 0..<RunRetry.promptRetries { #expect(retry.step(after: .again) == .again(microseconds: 0)) }
    #expect(retry.step(after: .again) == .again(microseconds: 1000))
  }

  @Test(arguments: [Errno.again, .noMemory]) func passingErrorsAreBounded(errno: Errno) {
    var retry = RunRetry()
    var paused: UInt32 = 0
    for _ in 0..<RunRetry.patience {
      guard case .again(let microseconds) = retry.step(after: errno) else {
        Issue.record("gave up early")
        return
      }
      paused += microseconds
    }
    #expect(retry.step(after: errno) == .fail(.runStuck(errno, attempts: 1001)))
    #expect(paused >= 900_000 && paused <= 1_000_000)
  }

  @Test func missingMemoryIsWaitedFor() {
    var retry = RunRetry()
    #expect(retry.step(after: .noMemory) == .again(microseconds: 1000))
  }

  @Test func otherErrorsAreFinalAndNamed() {
    var retry = RunRetry()
    #expect(retry.step(after: .badAddress) == .fail(.call("KVM_RUN", .badAddress)))
    // Even behind passing ones, it is not those that are told.
    _ = retry.step(after: .again)
    #expect(retry.step(after: .invalid) == .fail(.call("KVM_RUN", .invalid)))
  }
}
