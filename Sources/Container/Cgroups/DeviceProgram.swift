import CContainer
import CLinux
import OCI
import System

/// A device rule list as an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE, which the kernel asks on cgroup v2.
///
/// The context is `struct bpf_cgroup_dev_ctx` of linux/bpf.h: access_type (access in the upper half, type in the lower), major, minor.
/// The program goes through the rules from the last to the first. A rule that matches type and numbers decides those accesses
/// that no later rule decided: a denied one ends the program with 0, an allowed one is taken off; when none is left, the
/// program ends with 1. What no rule decided is denied.
struct DeviceProgram: Equatable {
  /// struct bpf_insn, eight bytes.
  struct Instruction: Equatable {
    var code: UInt8
    /// Destination in the lower half, source in the upper.
    var registers: UInt8
    var offset: Int16
    var immediate: Int32
  }

  private(set) var instructions: [Instruction] = []

  // Opcodes of linux/bpf.h and linux/bpf_common.h, composed as the instruction set's standardization document does.
  private static let loadWord = UInt8(BPF_LDX | BPF_W | BPF_MEM)
  private static let moveImmediate = UInt8(BPF_ALU | BPF_MOV | BPF_K)
  private static let moveRegister = UInt8(BPF_ALU | BPF_MOV | BPF_X)
  private static let andImmediate = UInt8(BPF_ALU | BPF_AND | BPF_K)
  private static let shiftRight = UInt8(BPF_ALU | BPF_RSH | BPF_K)
  private static let jumpUnequal = UInt8(BPF_JMP32 | BPF_JNE | BPF_K)
  private static let jumpSetBits = UInt8(BPF_JMP32 | BPF_JSET | BPF_K)
  private static let exit = UInt8(BPF_JMP | BPF_EXIT)

  // r1 is the context; what the program keeps:
  private static let type: UInt8 = 2
  private static let pending: UInt8 = 3
  private static let major: UInt8 = 4
  private static let minor: UInt8 = 5

  /// Compiles `policy`.
  init(_ policy: DevicePolicy) {
    emit(Self.loadWord, Self.type | 1 << 4, offset: 0)
    emit(Self.moveRegister, Self.pending | Self.type << 4)
    emit(Self.andImmediate, Self.type, immediate: 0xffff)
    emit(Self.shiftRight, Self.pending, immediate: 16)
    emit(Self.loadWord, Self.major | 1 << 4, offset: 4)
    emit(Self.loadWord, Self.minor | 1 << 4, offset: 8)
    var open = true
    for rule in policy.rules.reversed() where open && !rule.access.isEmpty {
      if DevicePolicy.isTotal(rule) {
        result(rule.allow)
        open = false
      } else {
        block(rule)
      }
    }
    if open { result(false) }
  }

  /// The program as the kernel takes it: little-endian, as this machine is.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(instructions.count * 8)
    for instruction in instructions {
      bytes.append(instruction.code)
      bytes.append(instruction.registers)
      let offset = UInt16(bitPattern: instruction.offset)
      bytes.append(UInt8(truncatingIfNeeded: offset))
      bytes.append(UInt8(truncatingIfNeeded: offset >> 8))
      let immediate = UInt32(bitPattern: instruction.immediate)
      for shift: UInt32 in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: immediate >> shift)) }
    }
    return bytes
  }

  private mutating func emit(_ code: UInt8, _ registers: UInt8, offset: Int16 = 0, immediate: Int32 = 0) {
    instructions.append(Instruction(code: code, registers: registers, offset: offset, immediate: immediate))
  }

  private mutating func result(_ allow: Bool) {
    emit(Self.moveImmediate, 0, immediate: allow ? 1 : 0)
    emit(Self.exit, 0)
  }

  private mutating func block(_ rule: Resources.DeviceRule) {
    let start = instructions.count
    if rule.type != .all {
      let type = rule.type == .block ? UInt32(BPF_DEVCG_DEV_BLOCK) : UInt32(BPF_DEVCG_DEV_CHAR)
      emit(Self.jumpUnequal, Self.type, immediate: Int32(type))
    }
    if let major = rule.major { emit(Self.jumpUnequal, Self.major, immediate: Int32(bitPattern: major)) }
    if let minor = rule.minor { emit(Self.jumpUnequal, Self.minor, immediate: Int32(bitPattern: minor)) }
    let conditions = start..<instructions.count
    let access = Int32(rule.access.rawValue)
    if rule.allow {
      emit(Self.andImmediate, Self.pending, immediate: 7 & ~access)
      // Something is left to decide: go on with the rule before.
      emit(Self.jumpUnequal, Self.pending, offset: 2, immediate: 0)
      result(true)
    } else {
      // Skips the jump that skips the refusal.
      emit(Self.jumpSetBits, Self.pending, offset: 1, immediate: access)
      emit(UInt8(BPF_JMP | BPF_JA), 0, offset: 2)
      result(false)
    }
    for index in conditions { instructions[index].offset = Int16(instructions.count - index - 1) }
  }
}

extension DeviceProgram {
  /// The most instructions that an unprivileged-era kernel takes; rule lists beyond it are refused.
  static let limit = 4096

  /// Loads the program and attaches it to the cgroup v2 folder at `path`. Programs that are there already are replaced: one with
  /// the new program in the same step, so that no moment is without rules; others, which only an older runtime leaves, are taken off.
  func install(at path: String) throws(ContainerError) {
    guard instructions.count <= Self.limit else {
      throw ContainerError(.notSupported, "linux.resources.devices: too many rules for one program of the kernel's")
    }
    let folder = try naming("device rules") { () throws(SystemError) in
      try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY)
    }
    // unsafe: the array outlives the call and holds as many instructions as are announced.
    let raw = unsafe bytes.withUnsafeBytes {
      unsafe ccontainer_bpf_load_device($0.baseAddress, UInt32(instructions.count))
    }
    guard raw >= 0 else { throw ContainerError("device rules", SystemError("load the program for", path, .current)) }
    let program = FileDescriptor(owning: raw)
    var ids = [UInt32](repeating: 0, count: 64)
    // unsafe: the kernel writes at most as many numbers as the array has.
    let count = unsafe ids.withUnsafeMutableBufferPointer {
      unsafe ccontainer_bpf_query_device(folder.rawValue, $0.baseAddress, 64)
    }
    guard count >= 0 else {
      throw ContainerError("device rules", SystemError("list the programs of", path, .current))
    }
    var replaced = false
    for id in ids.prefix(Int(count)) {
      let old = ccontainer_bpf_program(id)
      guard old >= 0 else { continue }
      let previous = FileDescriptor(owning: old)
      if !replaced {
        guard ccontainer_bpf_attach_device(folder.rawValue, program.rawValue, previous.rawValue) == 0 else {
          throw ContainerError("device rules", SystemError("replace the program of", path, .current))
        }
        replaced = true
      } else if ccontainer_bpf_detach_device(folder.rawValue, previous.rawValue) != 0 {
        throw ContainerError("device rules", SystemError("detach a program of", path, .current))
      }
    }
    if !replaced, ccontainer_bpf_attach_device(folder.rawValue, program.rawValue, -1) != 0 {
      throw ContainerError("device rules", SystemError("attach the program to", path, .current))
    }
  }
}
