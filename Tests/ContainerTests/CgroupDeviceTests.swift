import CContainer
import Foundation
import OCI
import System
import Testing

@testable import Container

/// What the kernel does with a device program, as far as the program's instructions go (BPF instruction set, RFC 9669).
struct DeviceMachine {
  enum Fault: Error { case badInstruction(UInt8), ranAway, fellOff }

  static func run(_ program: DeviceProgram, type: UInt32, access: UInt32, major: UInt32, minor: UInt32) throws -> Bool {
    let context: [UInt32] = [access << 16 | type, major, minor]
    var registers = [UInt64](repeating: 0xdead_beef_dead_beef, count: 11)
    var pc = 0
    for _ in 0..<10_000 {
      guard pc < program.instructions.count else { throw Fault.fellOff }
      let i = program.instructions[pc]
      let destination = Int(i.registers & 15)
      let source = Int(i.registers >> 4)
      let immediate = UInt32(bitPattern: i.immediate)
      let value = UInt32(truncatingIfNeeded: registers[destination])
      pc += 1
      switch i.code {
      case 0x61: registers[destination] = UInt64(context[Int(i.offset) / 4])
      case 0xb4: registers[destination] = UInt64(immediate)
      case 0xbc: registers[destination] = UInt64(UInt32(truncatingIfNeeded: registers[source]))
      case 0x54: registers[destination] = UInt64(value & immediate)
      case 0x74: registers[destination] = UInt64(value >> immediate)
      case 0x56: if value != immediate { pc += Int(i.offset) }
      case 0x46: if value & immediate != 0 { pc += Int(i.offset) }
      case 0x05: pc += Int(i.offset)
      case 0x95: return registers[0] == 1
      default: throw Fault.badInstruction(i.code)
      }
    }
    throw Fault.ranAway
  }
}

/// The meaning of a rule list, said plainly: for each kind of access the last rule about it decides.
func listAllows(_ rules: [Resources.DeviceRule], type: Linux.DeviceType, access: UInt8, major: UInt32, minor: UInt32)
  -> Bool
{
  for bit: UInt8 in [1, 2, 4] where access & bit != 0 {
    let deciding = rules.last { rule in
      (rule.type == .all || rule.type == type) && (rule.major == nil || rule.major == major)
        && (rule.minor == nil || rule.minor == minor) && rule.access.rawValue & bit != 0
    }
    if deciding?.allow != true { return false }
  }
  return true
}

@Suite struct CgroupDeviceTests {
  typealias Rule = Resources.DeviceRule

  /// What docker sends for an ordinary container.
  static let docker: [Rule] = [
    Rule(allow: false, type: .all, major: nil, minor: nil, access: .all),
    Rule(allow: true, type: .character, major: 1, minor: 5, access: .all),
    Rule(allow: true, type: .character, major: 1, minor: 3, access: .all),
    Rule(allow: true, type: .character, major: 1, minor: 9, access: .all),
    Rule(allow: true, type: .character, major: 1, minor: 8, access: .all),
    Rule(allow: true, type: .character, major: 5, minor: 0, access: .all),
    Rule(allow: true, type: .character, major: 5, minor: 1, access: .all),
    Rule(allow: false, type: .character, major: 10, minor: 229, access: .all),
  ]

  @Test func goldenInstructions() throws {
    var policy = try DevicePolicy([])
    policy.rules = [
      Rule(allow: true, type: .character, major: 1, minor: 3, access: [.read, .write]),
      Rule(allow: false, type: .block, major: 8, minor: nil, access: .write),
    ]
    let hex = DeviceProgram(policy).bytes.map { String(format: "%02x", $0) }.joined()
    let expected = [
      "6112000000000000",  // w2 = access_type
      "bc23000000000000",  // w3 = w2
      "54020000ffff0000",  // w2 &= 0xffff
      "7403000010000000",  // w3 >>= 16
      "6114040000000000",  // w4 = major
      "6115080000000000",  // w5 = minor
      "5602050001000000",  // if w2 != block goto next
      "5604040008000000",  // if w4 != 8 goto next
      "4603010004000000",  // if w3 & write goto deny
      "0500020000000000",  // goto next
      "b400000000000000",  // w0 = 0
      "9500000000000000",  // exit
      "5602060002000000",  // if w2 != char goto next
      "5604050001000000",  // if w4 != 1 goto next
      "5605040003000000",  // if w5 != 3 goto next
      "5403000001000000",  // w3 &= mknod
      "5603020000000000",  // if w3 != 0 goto next
      "b400000001000000", "9500000000000000",  // return 1
      "b400000000000000", "9500000000000000",  // return 0
    ]

    #expect(hex == expected.joined())
  }

  @Test func programsDecideLikeTheRuleList() throws {
    var random = SystemRandomNumberGenerator()
    let types: [Linux.DeviceType] = [.all, .block, .character]
    var allowed = 0
    var asked = 0
    for round in 0..<400 {
      var rules: [Rule] = []
      for _ in 0..<Int.random(in: 0...8, using: &random) {
        rules.append(
          Rule(
            allow: Bool.random(using: &random), type: types.randomElement(using: &random) ?? .all,
            major: Bool.random(using: &random) ? UInt32.random(in: 1...3, using: &random) : nil,
            minor: Bool.random(using: &random) ? UInt32.random(in: 0...2, using: &random) : nil,
            access: Rule.Access(rawValue: UInt8.random(in: 0...7, using: &random))))
      }
      var policy = try DevicePolicy(rules)
      if round % 2 == 0 { policy.rules = rules }  // also without the devices that are always there
      let program = DeviceProgram(policy)
      for type: Linux.DeviceType in [.block, .character] {
        for access: UInt8 in 1...7 {
          for major: UInt32 in 0...4 {
            for minor: UInt32 in 0...3 {
              let verdict = try DeviceMachine.run(
                program, type: type == .block ? 1 : 2, access: UInt32(access), major: major, minor: minor)
              let wanted = listAllows(policy.rules, type: type, access: access, major: major, minor: minor)
              asked += 1
              if wanted { allowed += 1 }
              if verdict != wanted {
                Issue.record("\(rules): \(type) \(major):\(minor) \(access): \(verdict)")
                return
              }
            }
          }
        }
      }
    }
    // The comparison is worth something only when both answers occur.
    #expect(allowed > asked / 20 && allowed < asked * 19 / 20)
  }

  @Test func exceptionsDecideLikeTheRuleListWhereTheyCanBeSaid() throws {
    var random = SystemRandomNumberGenerator()
    var said = 0
    for _ in 0..<600 {
      var rules: [Rule] = []
      for _ in 0..<Int.random(in: 0...5, using: &random) {
        rules.append(
          Rule(
            allow: Bool.random(using: &random), type: [.all, .block, .character].randomElement() ?? .all,
            major: Bool.random() ? UInt32.random(in: 1...2) : nil,
            minor: Bool.random() ? UInt32.random(in: 0...1) : nil,
            access: Rule.Access(rawValue: UInt8.random(in: 1...7))))
      }
      let policy = try DevicePolicy(rules)
      guard let exceptions = try? DeviceExceptions(policy) else { continue }
      said += 1
      for type: Linux.DeviceType in [.block, .character] {
        for bit: UInt8 in [1, 2, 4] {
          for major: UInt32 in 0...3 {
            for minor: UInt32 in 0...2 {
              let listed = exceptions.entries.contains {
                $0.key.covers(.init(type: type, major: major, minor: minor)) && $0.access.rawValue & bit != 0
              }
              #expect(
                (listed != exceptions.defaultAllow)
                  == listAllows(policy.rules, type: type, access: bit, major: major, minor: minor), "\(rules)")
            }
          }
        }
      }
    }
    #expect(said > 50)
  }

  @Test func takingBackAPartOfABroaderRuleIsRefusedByName() throws {
    let policy = try DevicePolicy([
      Rule(allow: true, type: .character, major: 7, minor: nil, access: .all),
      Rule(allow: false, type: .character, major: 7, minor: 1, access: .write),
    ])
    let error = #expect(throws: ContainerError.self) { _ = try DeviceExceptions(policy) }
    #expect(error?.kind == .notSupported)
    #expect(error?.description.contains("deny c 7:1 w") == true)
    #expect(throws: ContainerError.self) {
      _ = try DevicePolicy([Rule(allow: true, type: .fifo, major: 1, minor: 1, access: .all)])
    }
  }

  @Test func transitionsNeverPassThroughALessAllowedMoment() throws {
    let current = DeviceExceptions(list: "c 1:3 rwm\nc *:* m\nb 8:0 rw\n")
    var policy = try DevicePolicy([])
    policy.rules = [
      Rule(allow: true, type: .character, major: 1, minor: 3, access: [.read]),
      Rule(allow: true, type: .character, major: 1, minor: 5, access: .all),
    ]
    let lines = try DeviceExceptions(policy).commands(from: current).map { "\($0.file) \($0.line)" }
    #expect(
      lines == [
        "devices.allow c 1:5 rwm", "devices.deny c 1:3 wm", "devices.deny c *:* m", "devices.deny b 8:0 rw",
      ])
    #expect(DeviceExceptions(list: "a *:* rwm\n").defaultAllow)
  }

  /// The real kernel: a v2 folder, a program, and a child in it that opens devices.
  @Test(.enabled(if: unifiedMount != nil)) func theKernelTakesTheProgramsAndObeysThem() throws {
    let mount = try #require(unifiedMount)
    let path = mount + "/vmrun-test-\(getpid())-devices"
    #expect(mkdir(path, 0o755) == 0)
    defer { #expect(rmdir(path) == 0) }
    let placement = CgroupPlacement(.unified(path: path))
    try DeviceProgram(try DevicePolicy(Self.docker)).install(at: path)
    func opens(_ device: String) throws -> Bool { try runs(in: path, "exec 3<\(device)") }
    #expect(try opens("/dev/null"))
    #expect(try opens("/dev/zero"))
    let kmsg = "/dev/kmsg"  // 1:11, which nobody allowed
    #expect(try !opens(kmsg))
    // Replaced in place by an update: the same cgroup, still one program.
    var open = Resources()
    open.devices = Self.docker + [Rule(allow: true, type: .character, major: 1, minor: 11, access: .all)]
    try placement.update(open)
    #expect(try opens(kmsg))
    var ids = [UInt32](repeating: 0, count: 8)
    let folder = try FileDescriptor.open(path, O_RDONLY)
    #expect(ccontainer_bpf_query_device(folder.rawValue, &ids, 8) == 1)
    open.devices = [
      Rule(allow: true, type: .all, major: nil, minor: nil, access: .all),
      Rule(allow: false, type: .character, major: 1, minor: 11, access: .read),
    ]
    try placement.update(open)
    #expect(try !opens(kmsg))
    #expect(try runs(in: path, "exec 3>\(kmsg)"))
    #expect(ccontainer_bpf_query_device(folder.rawValue, &ids, 8) == 1)
  }
}

/// Where a v2 tree is mounted, if this process may make cgroups in it.
let unifiedMount: String? = {
  guard geteuid() == 0, let text = try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8) else {
    return nil
  }
  return MountEntry.parse(text).first { $0.isUnified && !$0.readOnly }?.mountPoint
}()

/// Whether a shell that moved into the v2 cgroup `path` runs `script` with success.
func runs(in path: String, _ script: String) throws -> Bool {
  let shell = Foundation.Process()
  shell.executableURL = URL(fileURLWithPath: "/bin/sh")
  shell.arguments = ["-c", "echo 0 > \(path)/cgroup.procs || exit 99; \(script)"]
  shell.standardError = FileHandle.nullDevice
  try shell.run()
  shell.waitUntilExit()
  #expect(shell.terminationStatus != 99)
  return shell.terminationStatus == 0
}
