import CLinux
import System

/// Why KVM could not do what was asked. The description is the whole message: what failed, why, and what to type next.
public enum KVMError: Error, Equatable, CustomStringConvertible {
  /// The device node does not exist.
  case absent(path: String)
  /// The device node exists and may not be opened by this user.
  case notPermitted(path: String)
  /// Another hypervisor holds the processor's virtualisation extensions.
  case busy(path: String)
  /// Opening failed for another reason.
  case open(path: String, Errno)
  /// The node is not KVM's, or speaks another version of its interface than 12, the only stable one.
  case apiVersion(path: String, Int32)
  /// A capability that this guest needs is missing (api.rst, section 4.4).
  case missingCapability(String)
  /// A KVM call failed.
  case call(String, Errno)
  /// KVM_RUN kept failing with an error that is normally passing.
  case runStuck(Errno, attempts: Int)
  /// The CPU refused to enter the guest (KVM_EXIT_FAIL_ENTRY).
  case entryRefused(reason: UInt64)
  /// KVM could not go on emulating the guest (KVM_EXIT_INTERNAL_ERROR): suberror, and where the guest was.
  case cannotRunGuest(suberror: UInt32, instructionPointer: UInt64, code: String)

  /// The message.
  public var description: String {
    switch self {
    case .absent(let path):
      return """
        \(path) is not there: this machine offers no KVM. On hardware, turn on VT-x or AMD-V in the firmware and load the \
        module (modprobe kvm_intel or kvm_amd); in a virtual machine, ask for nested virtualisation; in a container, pass --device \(path)
        """
    case .notPermitted(let path):
      return """
        \(path): permission denied. Join its group (usermod -aG kvm "$USER", then log in again), or install the udev rule \
        KERNEL=="kvm", GROUP="kvm", MODE="0660"
        """
    case .busy(let path):
      return
        "\(path) is busy: another hypervisor holds the CPU's virtualisation (VirtualBox or VMware?). Stop it and try again"
    case .open(let path, let errno):
      return "cannot open \(path): \(errno)"
    case .apiVersion(let path, let version):
      return version < 0
        ? "\(path) does not answer as KVM does: is it the right device node? (crw-rw---- root kvm 10, 232)"
        : "\(path) speaks KVM API version \(version), vmrun needs 12: this kernel's KVM is not supported"
    case .missingCapability(let name):
      return "this host's KVM lacks \(name), which this guest needs: a newer host kernel is required"
    case .call(let operation, let errno):
      return errno == .noMemory
        ? "\(operation): \(errno): free memory on the host, or give the guest less (--memory)"
        : "\(operation): \(errno)"
    case .runStuck(let errno, let attempts):
      return
        "KVM_RUN failed \(attempts) times in a row: \(errno): the host is short of memory or its KVM is broken (see dmesg)"
    case .entryRefused(let reason):
      return """
        the CPU refused to enter the guest (hardware reason 0x\(String(reason, radix: 16))): the guest's start state does not suit \
        this host's KVM (see dmesg)
        """
    case .cannotRunGuest(let suberror, let pointer, let code):
      return """
        this host's KVM cannot run this guest: emulation failed (suberror \(suberror)) at guest address 0x\(String(pointer, radix: 16))\
        \(code.isEmpty ? "" : ", instruction bytes \(code)"). A KVM without hardware virtualisation (kvm_pvm, or nested without \
        support) cannot run stock kernels: use a host with kvm_intel or kvm_amd
        """
    }
  }
}

extension KVMError {
  /// The error of KVM request `operation`, from errno.
  static func last(_ operation: String) -> KVMError { .call(operation, .current) }
}
