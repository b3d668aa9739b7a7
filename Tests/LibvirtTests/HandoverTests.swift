import Testing

@testable import Machine

/// The hand-over between two programs: nothing in it is believed.
@Suite struct HandoverTests {
  static var full: Handover {
    var configuration = Configuration()
    configuration.kernel = "/boot/vmlinuz ü"
    configuration.kernelPages = .copied
    configuration.append = "a=b  \"c\""
    configuration.cpus = 255
    configuration.memory = 1 << 30
    configuration.boot = .decompress
    configuration.console = .file("/tmp/console")
    configuration.disks = [
      Configuration.Disk(path: "/d", readOnly: true), Configuration.Disk(path: "/e", readOnly: false),
    ]
    var command = Configuration.Command(rootfs: "/r", arguments: [[0xFF, 0x20], []])
    command.environment = [Array("A=".utf8), Array("B=c=d".utf8)]
    (command.workingDirectory, command.hostname, command.user, command.group) = ("/w", "host", 1, 2)
    command.terminal = true
    configuration.command = command
    configuration.timeout = 1_500_000_000
    (configuration.verbose, configuration.quiet) = (true, true)
    var handover = Handover(
      configuration: configuration, start: 0x0102_0304_0506_0708, reason: "why", acceleration: .unknown, timings: 2)
    (handover.parsed, handover.chosen) = (3, 1 << 40)
    return handover
  }

  static var least: Handover {
    var configuration = Configuration()
    configuration.kernel = "k"
    return Handover(configuration: configuration, start: 0, reason: "", acceleration: .kvm)
  }

  @Test func everythingArrives() throws {
    let before = Self.full
    let after = try Handover(decoding: before.encoded())
    #expect(after.encoded() == before.encoded())
    let (one, other) = (before.configuration, after.configuration)
    #expect(
      other.kernel == one.kernel && other.kernelPages == .copied && other.append == one.append && other.cpus == 255)
    #expect(other.memory == one.memory && other.boot == .decompress && other.console == one.console)
    #expect(other.disks == one.disks && other.timeout == one.timeout && other.verbose && other.quiet)
    let command = try #require(other.command)
    #expect(command.rootfs == "/r" && command.arguments == [[0xFF, 0x20], []] && command.terminal)
    #expect(command.environment == one.command?.environment && command.workingDirectory == "/w")
    #expect(command.hostname == "host" && command.user == 1 && command.group == 2)
    #expect(after.parsed == 3 && after.chosen == 1 << 40)
    #expect(
      after.start == before.start && after.reason == "why" && after.acceleration == .unknown && after.timings == 2)
  }

  @Test func theLeastArrives() throws {
    let after = try Handover(decoding: Self.least.encoded())
    let configuration = after.configuration
    #expect(configuration.memory == nil && configuration.timeout == nil && configuration.console == nil)
    #expect(configuration.command == nil && configuration.initrd == nil && configuration.disks.isEmpty)
    #expect(after.acceleration == .kvm && after.timings == 0)
  }

  @Test(arguments: [
    Configuration.Console.stdio, Configuration.Console.standardError, Configuration.Console.none,
    Configuration.Console.file("f"),
  ]) func everyConsoleArrives(console: Configuration.Console) throws {
    var handover = Self.least
    handover.configuration.console = console
    #expect(try Handover(decoding: handover.encoded()).configuration.console == console)
  }

  @Test func noPrefixIsOne() {
    for handover in [Self.full, Self.least] {
      let bytes = handover.encoded()
      for count in 0..<bytes.count {
        #expect(throws: HandoverError.self) { try Handover(decoding: Array(bytes[..<count])) }
      }
      #expect(throws: HandoverError("bytes follow its end")) { try Handover(decoding: bytes + [0]) }
    }
  }

  /// Whatever is changed, the answer is an error or a configuration that vmrun could have made.
  @Test func noChangedByteIsATrap() {
    let bytes = Self.full.encoded()
    for index in bytes.indices {
      for value in [0, 1, 2, 0x7F, 0x80, 0xFF, bytes[index] ^ 1] as [UInt8] where value != bytes[index] {
        var changed = bytes
        changed[index] = value
        guard let handover = try? Handover(decoding: changed) else { continue }
        let configuration = handover.configuration
        #expect(configuration.kernel?.isEmpty == false && (1...255).contains(configuration.cpus))
        #expect(
          configuration.disks.count <= Configuration.mostDisks && configuration.memory.map { $0 & 4095 } ?? 0 == 0)
        #expect(handover.encoded() == changed)
      }
    }
  }

  /// A value that cannot come from vmrun's own command line, and what is said about it.
  @Test(arguments: [
    ("cpus", "0 processors"), ("many cpus", "256 processors"), ("memory", "4096 bytes of memory"),
    ("odd memory", "67108865 bytes of memory"), ("disks", "9 disks"), ("zero", "the kernel contains a zero byte"),
    ("empty kernel", "the kernel is empty"), ("no kernel", "there is no kernel"), ("no command", "an empty command"),
    ("variable", "a variable is not NAME=value"), ("folder", "the working directory is not absolute"),
    ("hostname", "the host name's length"), ("user", "4294967295 is no user or group"),
    ("initrd", "a command and an initrd"), ("console", "a command and the console on standard output"),
    ("timings", "unknown timings"),
  ]) func whatVmrunWouldNotSay(what: String, message: String) {
    var handover = Self.full
    switch what {
    case "cpus": handover.configuration.cpus = 0
    case "many cpus": handover.configuration.cpus = 256
    case "memory": handover.configuration.memory = 4096
    case "odd memory": handover.configuration.memory = 64 << 20 | 1
    case "disks":
      handover.configuration.disks = [Configuration.Disk](repeating: .init(path: "d", readOnly: true), count: 9)
    case "zero": handover.configuration.kernel = "a\u{0}b"
    case "empty kernel": handover.configuration.kernel = ""
    case "no kernel": handover.configuration.kernel = nil
    case "no command": handover.configuration.command?.arguments = []
    case "variable": handover.configuration.command?.environment = [Array("=x".utf8)]
    case "folder": handover.configuration.command?.workingDirectory = "w"
    case "hostname": handover.configuration.command?.hostname = String(repeating: "h", count: 65)
    case "user": handover.configuration.command?.user = .max
    case "initrd": handover.configuration.initrd = "i"
    case "console": handover.configuration.console = .stdio
    default: handover.timings = 3
    }
    #expect(throws: HandoverError(message)) { try Handover(decoding: handover.encoded()) }
  }

  @Test func bytesThatAreNotTextAreRefused() {
    var bytes = Self.least.encoded()
    guard let index = bytes.lastIndex(of: UInt8(ascii: "k")) else { return #expect(Bool(false)) }
    bytes[index] = 0xFF
    #expect(throws: HandoverError("the kernel is not UTF-8")) { try Handover(decoding: bytes) }
  }

  @Test func anotherVersionIsNamed() {
    var bytes = Self.least.encoded()
    bytes[4] = 9
    let error = #expect(throws: HandoverError.self) { try Handover(decoding: bytes) }
    #expect(error?.description.contains("not of one build") == true)
    #expect(throws: HandoverError("\(Handover.sizeLimit + 1) bytes are too many")) {
      try Handover(decoding: [UInt8](repeating: 0, count: Handover.sizeLimit + 1))
    }
  }
}
