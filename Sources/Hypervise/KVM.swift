import CLinux
import System

/// An open /dev/kvm: the system level of the KVM API (api.rst, section 4).
public struct KVM: ~Copyable {
  /// Where KVM's device node lies.
  public static let devicePath = "/dev/kvm"

  private let descriptor: FileDescriptor
  /// Bytes of a vCPU's run page and what lies behind it.
  private let runMappingSize: Int

  /// Opens `path` and checks that it speaks KVM API version 12.
  /// - Throws: `KVMError`, with one case for each way this fails on real machines.
  public init(path: String = KVM.devicePath) throws(KVMError) {
    let node = try KVM.openNode(path)
    let version = clinux_ioctl(node.rawValue, kvm_get_api_version_request, 0)
    guard version == KVM_API_VERSION else { throw .apiVersion(path: path, version) }
    let size = clinux_ioctl(node.rawValue, kvm_get_vcpu_mmap_size_request, 0)
    // The run page holds at least struct kvm_run and, behind it, the data of a port exit.
    guard size >= 8192 else {
      throw size < 0 ? .last("KVM_GET_VCPU_MMAP_SIZE") : .call("KVM_GET_VCPU_MMAP_SIZE", .invalid)
    }
    descriptor = node
    runMappingSize = Int(size)
  }

  private static func openNode(_ path: String) throws(KVMError) -> FileDescriptor {
    do { return try FileDescriptor.open(path, O_RDWR) } catch {
      switch error.errno.rawValue {
      case ENOENT, ENODEV, ENXIO: throw .absent(path: path)
      case EACCES, EPERM: throw .notPermitted(path: path)
      case EBUSY: throw .busy(path: path)
      default: throw .open(path: path, error.errno)
      }
    }
  }

  /// The value of `capability` (KVM_CHECK_EXTENSION, section 4.4); 0 when it is missing.
  public borrowing func value(of capability: Capability) -> Int {
    let value = clinux_ioctl(
      descriptor.rawValue, kvm_check_extension_request, UInt(bitPattern: Int(capability.number)))
    return value > 0 ? Int(value) : 0
  }

  /// Whether `capability` is there.
  public borrowing func has(_ capability: Capability) -> Bool { value(of: capability) > 0 }

  /// Checks that all `capabilities` are there.
  /// - Throws: `KVMError.missingCapability` with the first name that is not.
  public borrowing func require(_ capabilities: Capability...) throws(KVMError) {
    for capability in capabilities where !has(capability) { throw .missingCapability(capability.name) }
  }

  /// Creates an empty VM (KVM_CREATE_VM, section 4.2). A signal that arrives meanwhile is waited out, with a bound.
  public borrowing func createVM() throws(KVMError) -> VM {
    for _ in 0..<100 {
      let raw = clinux_ioctl(descriptor.rawValue, kvm_create_vm_request, 0)
      if raw >= 0 { return VM(descriptor: FileDescriptor(owning: raw), runMappingSize: runMappingSize) }
      if Errno.current == .busy { throw .busy(path: KVM.devicePath) }
      if Errno.current != .interrupted { break }
    }
    throw .last("KVM_CREATE_VM")
  }

  /// What CPUID can show to guests on this host (KVM_GET_SUPPORTED_CPUID, section 4.46).
  public borrowing func supportedCPUID() throws(KVMError) -> CPUIDTable {
    let table = CPUIDTable(capacity: Int(KVM_CPUID_SLOTS))
    let raw = descriptor.rawValue
    // unsafe: nent tells KVM how many entries the table has room for.
    let result = unsafe table.withTable { unsafe clinux_ioctl_pointer(raw, kvm_get_supported_cpuid, $0) }
    guard result == 0, table.count <= Int(KVM_CPUID_SLOTS) else { throw .last("KVM_GET_SUPPORTED_CPUID") }
    return table
  }
}
