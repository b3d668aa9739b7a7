import Container
import Foundation
import JSON
import OCI
import TestSupport
import Testing

@testable import vmrun

@Suite struct OCIVerbTests {
  private func words(_ words: [String]) throws -> OCIWords {
    var parser = OCIParser(words.map { Array($0.utf8) })
    guard case .verb(_, let arguments) = try parser.parse() else { throw UsageError("no verb") }
    return arguments
  }

  @Test(
    arguments: [
      ("9", 9), ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("Usr1", 10), ("CHLD", 17), ("CLD", 17), ("RTMIN", 34),
      ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("RTMAX", 64), ("0", 0), ("64", 64), ("WINCH", 28), ("SYS", 31),
    ] as [(String, Int32)])
  func signals(text: String, number: Int32) throws { #expect(try OCISignals.number(text) == number) }

  @Test(arguments: ["", "65", "-1", "FOO", "SIG", "RTMIN-1", "RTMIN+31", "RTMAX+1", "9x", "99999999999"])
  func noSignals(text: String) { #expect(throws: UsageError.self) { try OCISignals.number(text) } }

  @Test func logLines() {
    let time = "2026-01-02T03:04:05.000000006Z"
    #expect(
      String(decoding: OCILog.line("error", "a \"b\"\nc", time: time, .json), as: UTF8.self)
        == "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\\nc\",\"time\":\"\(time)\"}\n")
    #expect(
      String(decoding: OCILog.line("error", "a \"b\"\nc", time: time, .text), as: UTF8.self)
        == "time=\"\(time)\" level=error msg=\"a \\\"b\\\"\\nc\"\n")
  }

  @Test func updateFromOptions() throws {
    let resources = try OCIUpdate.resources(
      words([
        "update", "--memory", "256M", "--memory-swap", "-1", "--memory-reservation", "1000", "--cpu-quota", "-1",
        "--cpu-period", "100000", "--cpu-share", "512", "--cpuset-cpus", "0-1", "--pids-limit", "20", "--blkio-weight",
        "100",
        "--cpu-rt-runtime", "5", "--cpu-rt-period", "6", "--cpuset-mems", "0", "--cpu-burst", "7", "--cpu-idle", "1",
        "ID",
      ]))
    var memory = Resources.Memory()
    (memory.limit, memory.swap, memory.reservation) = (256 << 20, -1, 1000)
    var cpu = Resources.CPU()
    (cpu.quota, cpu.period, cpu.shares, cpu.cpus, cpu.mems) = (-1, 100_000, 512, "0-1", "0")
    (cpu.realtimeRuntime, cpu.realtimePeriod, cpu.burst, cpu.idle) = (5, 6, 7, 1)
    #expect(resources.memory == memory && resources.cpu == cpu && resources.pids?.limit == 20)
    #expect(resources.blockIO?.weight == 100 && resources.network == nil && resources.devices.isEmpty)
  }

  @Test(arguments: [
    ["--memory", "x"], ["--memory", "-2"], ["--memory", "8388608T"], ["--memory", "1Q"], ["--pids-limit", "many"],
    ["--cpu-share", "-1"], ["--cpuset-cpus", ""], ["--cpuset-cpus", "a"], ["--blkio-weight", "9"], ["--cpu-idle", "2"],
    ["--l3-cache-schema", "L3:0=f"], ["--mem-bw-schema", "MB:0=1"], [],
  ])
  func updateRefusals(options: [String]) throws {
    let words = try words(["update"] + options + ["ID"])
    #expect(throws: ContainerError.self) { try OCIUpdate.resources(words) }
  }

  @Test func updateFromFile() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("vmrun-\(UUID()).json").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("{\"pids\":{\"limit\":7},\"memory\":{\"limit\":1048576}}".utf8).write(to: URL(fileURLWithPath: path))
    // As runc: the file alone counts.
    let resources = try OCIUpdate.resources(words(["update", "-r", path, "--pids-limit", "9", "ID"]))
    #expect(resources.pids?.limit == 7 && resources.memory?.limit == 1 << 20)
    try Data("{\"pids\":{\"limit\":\"x\"}}".utf8).write(to: URL(fileURLWithPath: path))
    let error = try #require(throws: ContainerError.self) {
      try OCIUpdate.resources(words(["update", "-r", path, "ID"]))
    }
    #expect(error.description == "\(path): pids.limit: expected a whole number, found a string")
  }

  @Test func execFromOptions() throws {
    var base = OCI.Process()
    (base.args, base.env, base.cwd) = ([Array("sh".utf8)], ["PATH=/bin", "A=0"].map { Array($0.utf8) }, "/base")
    (base.terminal, base.user.uid, base.user.gid) = (true, 1, 2)
    let process = try OCIExecProcess.make(
      words([
        "exec", "-e", "A=1", "-e", "B=2", "--cwd", "/w", "-u", "5", "-g", "6", "-g", "7", "--cap", "CAP_KILL", "-c",
        "net_raw",
        "--no-new-privs", "--apparmor", "p", "--process-label", "l", "ID", "ls", "-l",
      ])
    ) { base }
    #expect(process.args == ["ls", "-l"].map { Array($0.utf8) } && process.cwd == "/w" && !process.terminal)
    #expect(process.env == ["PATH=/bin", "A=1", "B=2"].map { Array($0.utf8) })
    #expect(process.user.uid == 5 && process.user.gid == 2 && process.user.additionalGids == [6, 7])
    #expect(process.capabilities?.effective == 1 << 5 | 1 << 13 && process.capabilities?.ambient == 0)
    #expect(process.noNewPrivileges && process.apparmorProfile == "p" && process.selinuxLabel == "l")
    let other = try OCIExecProcess.make(words(["exec", "-t", "-u", "5:6", "ID", "x"])) { base }
    #expect(other.terminal && other.user.gid == 6 && other.env.count == 2)
  }

  @Test(arguments: [
    ["ID"], ["ID", ""], ["--cwd", "w", "ID", "x"], ["-u", "root", "ID", "x"], ["-u", "1:2:3", "ID", "x"],
    ["-u", "4294967295", "ID", "x"], ["-g", "x", "ID", "x"], ["-c", "CAP_FLY", "ID", "x"], ["-e", "A", "ID", "x"],
    ["-e", "=", "ID", "x"], ["-p", "/nonexistent/process.json", "ID"], ["-p", "f", "ID", "x"], ["-p", "", "ID"],
  ])
  func execRefusals(options: [String]) throws {
    let words = try words(["exec"] + options)
    #expect(throws: ContainerError.self) { try OCIExecProcess.make(words) { OCI.Process() } }
  }

  @Test func processRecords() throws {
    let line = "42 (a) (b) S 7 42 42 34817 42 4194560 1 2 3 4 150 50 0 0 20 0 1 0 12345 100 200 18446744073709551615\n"
    let record = try #require(
      OCIProcessTable.Record(stat: Array(line.utf8), arguments: Array("sh\0-c\0\u{1B}[2J\0".utf8), user: 3))
    #expect(record.parent == 7 && record.terminal == 34817 && record.cpuTicks == 200 && record.startTicks == 12345)
    #expect(record.command == "sh -c ?[2J" && record.user == 3)
    let kernel = OCIProcessTable.Record(stat: Array(line.utf8), arguments: [], user: 0)
    #expect(kernel?.command == "[a) (b]")
    for text in ["", "42", "42 (x", "42 )(", "42 (x) S", "42 (x) S a b c"] {
      #expect(OCIProcessTable.Record(stat: Array(text.utf8), arguments: [], user: 0) == nil, "\(text)")
    }
  }

  @Test func processTable() throws {
    let lines = try OCIProcessTable.text([getpid(), Int32.max]).split(separator: "\n")
    #expect(
      lines.count == 2
        && lines[0].split(separator: " ").map(String.init) == [
          "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD",
        ])
    #expect(
      lines[1].split(separator: " ").contains("\(getpid())") && lines[1].split(separator: " ").contains("\(getppid())"))
    try OCIProcessTable.check(options: [Array("-ef".utf8), Array("-e".utf8), Array("f".utf8)])
    for option in ["aux", "-o", "-", "pid"] {
      #expect(throws: UsageError.self) { try OCIProcessTable.check(options: [Array(option.utf8)]) }
    }
  }

  @Test(arguments: [(0, "?"), (34817, "pts/1"), (1025, "tty1"), (1088, "ttyS0"), (1281, "console"), (35072, "pts/256")])
  func terminals(number: Int32, name: String) { #expect(OCIProcessTable.terminalName(number) == name) }

  @Test func tables() {
    #expect(OCITable.text([["ID", "PID", "X"], ["a", "12345", "y"]], right: [1]) == "ID    PID  X\na   12345  y\n")
    #expect(OCITable.text([]).isEmpty)
    #expect(OCIUsers().name(0) == "root" && OCIUsers().name(3_999_999_999) == "3999999999")
  }

  /// What features names, decoding knows.
  @Test func features() throws {
    let json = OCIFeatures.json
    #expect(try JSON.parse(json.serialized(pretty: true)) == json)
    #expect(json["ociVersionMax"] == .string("1.3.0") && json["linux"]?["seccomp"]?["enabled"] == .boolean(true))
    guard case .array(let capabilities)? = json["linux"]?["capabilities"] else { throw UsageError("") }
    #expect(capabilities.count == 41)
    guard case .array(let options)? = json["mountOptions"] else { throw UsageError("") }
    #expect(options.contains(.string("rbind")) && options.contains(.string("tmpcopyup")))
  }

  @Test func templateFile() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("vmrun-\(UUID())").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let arguments = try words(["spec", "--bundle", folder])
    try OCITemplateFile.write(arguments)
    let path = "\(folder)/config.json"
    let spec = try OCIInput.decode(path, OCIInput.read(path)) { (json) throws(SpecError) in try Spec(decoding: json) }
    #expect(spec.hostname == "vmrun")
    let error = try #require(throws: ContainerError.self) { try OCITemplateFile.write(arguments) }
    #expect(error.kind == .exists)
  }

  @Test func inputs() throws {
    let error = try #require(throws: ContainerError.self) { try OCIInput.read("/nonexistent/config.json") }
    #expect(error.kind == .notFound && error.description == "open /nonexistent/config.json: No such file or directory")
    #expect(try OCIInput.absolute("/a") == "/a" && OCIInput.absolute(".") == FileManager.default.currentDirectoryPath)
    #expect(try OCIInput.absolute("a/b").hasSuffix("/a/b"))
    #expect(try OCIInput.read("/proc/self/status").count > 100)
  }
}
