import Boot
import Machine
import TestSupport
import Testing

@testable import vmrun

@Suite struct CommandLineTests {
  private func parse(_ words: [String]) throws -> Configuration {
    var parser = ArgumentParser(words)
    guard case .launch(let configuration, _, _) = try parser.parse() else { throw UsageError("not a launch") }
    return configuration
  }

  private func text(_ words: [String]) -> String {
    var parser = ArgumentParser(words)
    do {
      switch try parser.parse() {
      case .help: return "help"
      case .version: return "version"
      case .launch: return "launch"
      case .container: return "container"
      }
    } catch { return error.message }
  }

  @Test func defaultsAreTheBuiltInGuest() throws {
    let configuration = try parse([])
    #expect(configuration.kernel == nil && configuration.initrd == nil && configuration.append == "")
    #expect(configuration.cpus == 1 && configuration.memory == nil && configuration.boot == .auto)
    #expect(configuration.console == nil && configuration.disks.isEmpty && configuration.command == nil)
    #expect(configuration.timeout == nil && !configuration.verbose && !configuration.quiet)
  }

  /// "--name value" and "--name=value" alike.
  @Test(arguments: [false, true]) func everyOptionOfAMachine(attached: Bool) throws {
    var words: [String] = []
    for (name, value) in [
      ("--kernel", "vmlinuz"), ("--initrd", "a=b"), ("--append", "one"), ("--append", "two=2"), ("--cpus", "4"),
      ("--memory", "512M"), ("--timeout", "1.5"), ("--boot", "direct"), ("--console", "stderr"), ("--disk", "a.img"),
      ("--disk", "b,img,ro"), ("--disk", "c.img,rw"),
    ] { words += attached ? ["\(name)=\(value)"] : [name, value] }
    let configuration = try parse(words + ["-v", "--quiet"])
    #expect(configuration.kernel == "vmlinuz" && configuration.initrd == "a=b" && configuration.append == "one two=2")
    #expect(configuration.cpus == 4 && configuration.memory == 512 << 20 && configuration.timeout == 1_500_000_000)
    #expect(configuration.boot == .direct && configuration.console == .standardError)
    #expect(
      configuration.disks == [
        .init(path: "a.img", readOnly: false), .init(path: "b,img", readOnly: true),
        .init(path: "c.img", readOnly: false),
      ])
    #expect(configuration.verbose && configuration.quiet)
  }

  @Test func aCommandsBytesAreKept() throws {
    let odd: [UInt8] = [0x61, 0xFF, 0xFE]
    let words = ["--kernel", "k", "--rootfs", "r", "--env"].map { Array($0.utf8) }
    var parser = ArgumentParser(words + [[0x41, 0x3D, 0xFF], Array("--env=B=".utf8) + [0xFE], Array("--".utf8), odd])
    guard case .launch(let configuration, _, _) = try parser.parse() else { throw UsageError("no launch") }
    #expect(configuration.command?.arguments == [odd])
    #expect(configuration.command?.environment == [[0x41, 0x3D, 0xFF], [0x42, 0x3D, 0xFE]])
  }

  @Test(arguments: [false, true]) func everyOptionOfACommand(short: Bool) throws {
    let names = short ? ["-e", "-w", "-u", "-t"] : ["--env", "--workdir", "--user", "--tty"]
    let configuration = try parse([
      "--kernel", "k", "--rootfs", "dir", names[0], "A=1", names[0], "B==", names[1], "/w", names[2], "7:8", names[3],
      "--hostname", "h-1", "--", "sh", "-c", "--kernel", "--",
    ])
    let command = try #require(configuration.command)
    #expect(command.rootfs == "dir" && command.arguments == ["sh", "-c", "--kernel", "--"].map { Array($0.utf8) })
    #expect(
      command.environment == ["A=1", "B=="].map { Array($0.utf8) } && command.workingDirectory == "/w"
        && command.hostname == "h-1")
    #expect(command.user == 7 && command.group == 8 && command.terminal)
    #expect(try parse(["--kernel=k", "--rootfs=d", "-u", "9", "--", "x"]).command?.group == 0)
  }

  @Test(arguments: [
    ("stdio", Configuration.Console.stdio), ("stderr", .standardError), ("none", .none), ("out.txt", .file("out.txt")),
  ])
  func consoles(text: String, expected: Configuration.Console) throws {
    #expect(try parse(["--console", text]).console == expected)
  }

  @Test(arguments: [
    (["-h"], "help"), (["--help", "--nonsense"], "help"), (["-V"], "version"), (["--version"], "version"),
  ])
  func helpAndVersion(words: [String], expected: String) { #expect(text(words) == expected) }

  @Test func helpKnowsEveryOption() {
    for option in ArgumentParser.options { #expect(Help.text.contains(option), "\(option)") }
  }

  @Test(arguments: [nil, "table", "json", "xml"] as [String?]) func timings(format: String?) throws {
    var parser = ArgumentParser([format.map { "--timings=\($0)" } ?? "--timings"])
    if format == "xml" {
      #expect(throws: UsageError.self) { _ = try parser.parse() }
      return
    }
    guard case .launch(_, _, let timings) = try parser.parse() else {
      Issue.record("not a launch")
      return
    }
    #expect(timings == (format == "json" ? .json : .table))
  }

  @Test(
    arguments: [
      ("4K", 4096), ("4KiB", 4096), ("2048k", 2 << 20), ("64M", 64 << 20), ("64m", 64 << 20), ("64MiB", 64 << 20),
      ("3G", 3 << 30), ("1T", 1 << 40), ("64T", 1 << 46), ("00064M", 64 << 20),
    ] as [(String, UInt64)])
  func sizes(text: String, expected: UInt64) throws {
    #expect(try ArgumentParser.size("--memory", text) == expected)
  }

  @Test(arguments: [
    ("", "expected a number and a unit"), ("M", "more than nothing"), ("0M", "more than nothing"),
    ("64", "64M for MiB"),
    ("64MB", "a number and a unit"), ("-1M", "a number and a unit"), ("1.5G", "a number and a unit"),
    (" 1M", "a number and a unit"),
    ("1K", "a multiple of 4K"), ("65T", "more than a machine"), ("18446744073709551615T", "more than a machine"),
    ("99999999999999999999G", "more than a machine"), ("٣M", "a number and a unit"),
  ])
  func badSizes(text: String, expected: String) {
    do { Issue.record("\(try ArgumentParser.size("--memory", text))") } catch {
      #expect(error.message.contains(expected), "\(error.message)")
      #expect(error.message.hasPrefix("--memory \(text)"))
    }
  }

  @Test(
    arguments: [
      ("30", 30_000_000_000), ("1.5", 1_500_000_000), ("1.5s", 1_500_000_000), ("500ms", 500_000_000),
      ("0.5ms", 500_000),
      ("1500ms", 1_500_000_000), ("2m", 120_000_000_000), ("0.5m", 30_000_000_000), ("1h", 3_600_000_000_000),
      (".5", 500_000_000),
      ("5.", 5_000_000_000), ("0.000000001", 1), ("4294967295", 4_294_967_295_000_000_000),
    ] as [(String, UInt64)])
  func durations(text: String, expected: UInt64) throws {
    #expect(try ArgumentParser.duration("--timeout", text) == expected)
  }

  @Test(arguments: [
    "", ".", "s", "ms", "-1", "1,5", "1.5.5", "1 s", "5x", "0", "0.0ms", "0.0000000001", "4294967296", "999999999999h",
    "9999999999999", "1e9", "٣",
  ])
  func badDurations(text: String) {
    do { Issue.record("\(try ArgumentParser.duration("--timeout", text))") } catch {
      #expect(error.message.hasPrefix("--timeout \(text): "), "\(error.message)")
    }
  }

  @Test(arguments: [
    (["kernel"], "'kernel' is not an option; a command comes behind '--'"),
    (["-"], "'-' is not an option"),
    ([""], "'' is not an option"),
    (["--kernel"], "--kernel needs a value: --kernel FILE"),
    (["--kernel="], "--kernel was given an empty path"),
    (["--kernel", "k", "--rootfs", "", "--", "x"], "--rootfs was given an empty path"),
    (["--kernel", "k", "--initrd", ""], "--initrd was given an empty path"),
    (["--cpus", "0"], "--cpus 0: expected a whole number from 1 to 255"),
    (["--cpus", "256"], "from 1 to 255"),
    (["--cpus", "two"], "from 1 to 255"),
    (["--cpus", "+1", "--cpus", "-1"], "from 1 to 255"),
    (["--cpus", "99999999999"], "from 1 to 255"),
    (["--boot", "fast"], "--boot fast: expected auto, direct or decompress"),
    (["--console", ""], "--console needs stdio, stderr, none or a file's path"),
    (["--disk", ""], "--disk needs a file"),
    (["--disk", ",ro"], "--disk needs a file"),
    (["--tty=yes"], "--tty takes no value"),
    (["--verbose=1"], "--verbose takes no value"),
    (["--quiet="], "--quiet takes no value"),
    (["--timings=csv"], "--timings=csv: expected table or json"),
    (["--workdir", "relative"], "must be absolute"),
    (["--workdir", ""], "must be absolute"),
    (["--hostname", "a b"], "expected 1 to 64 letters"),
    (["--hostname", ""], "expected 1 to 64 letters"),
    (["--hostname", String(repeating: "a", count: 65)], "expected 1 to 64 letters"),
    (["--user", "root"], "expected numbers: UID or UID:GID"),
    (["--user", "1:2:3"], "expected numbers"),
    (["--user", "1:"], "expected numbers"),
    (["--user", ":1"], "expected numbers"),
    (["--user", "4294967296"], "expected numbers"),
    (["--env", "=x"], "expected NAME=VALUE"),
    (["--env", ""], "expected NAME=VALUE"),
    (["--env", "VMRUN_TEST_IS_NOT_SET"], "is not set here"),
    (["--"], "a command is missing behind '--'"),
    (["--kernel", "k", "--", "x"], "--rootfs DIR"),
    (["--kernel", "k", "--rootfs", "d"], "--rootfs needs a command"),
    (["--kernel", "k", "--tty"], "--tty is for a command"),
    (["--kernel", "k", "-e", "A=1"], "-e is for a command"),
    (["--initrd", "i"], "--initrd needs --kernel"),
    (["--disk", "d"], "--disk needs --kernel"),
    (["--cpus", "2"], "--cpus needs --kernel"),
    (["--kernel", "k", "--memory", "32M"], "--memory is below 64M"),
    (["--kernel", "k", "--initrd", "i", "--rootfs", "d", "--", "x"], "exclude each other"),
    (["--kernel", "k", "--console", "stdio", "--rootfs", "d", "--", "x"], "would mix"),
    (["--kernel", "k"] + [String](repeating: "--disk=d", count: 9), "at most 8 disks"),
    (["--kernal", "k"], "unknown option --kernal: did you mean --kernel?"),
    (["--kerenl=k"], "unknown option --kerenl: did you mean --kernel?"),
    (["--mem", "64M"], "unknown option --mem: did you mean --memory?"),
    (["--cpu", "2"], "did you mean --cpus?"),
    (["--diskk"], "did you mean --disk?"),
    (["--xyzzy"], "unknown option --xyzzy"),
    (["-x"], "unknown option -x"),
    (["-k=5"], "unknown option -k=5"),
  ])
  func errors(words: [String], expected: String) {
    let message = text(words)
    #expect(message.contains(expected), "\(message)")
  }

  @Test func aBareVariablePassesItsValueOn() throws {
    let path = try #require(Environment.value(of: "PATH"))
    let configuration = try parse(["--kernel", "k", "--rootfs", "d", "-e", "PATH", "--", "x"])
    #expect(configuration.command?.environment == [Array("PATH=".utf8) + path])
  }

  @Test func timingsAreATableOrAnObject() {
    let timeline = Timeline()
    timeline.end(.parse)
    timeline.end(.openKVM)
    let report = TimingsReport(timeline, backend: .direct(reason: "why", kernel: "/k"))
    #expect(report.table.split(separator: "\n").count == 4 && report.table.contains("open KVM"))
    #expect(report.table.hasPrefix("backend kvm (microvm, kvm): why\n"))
    let json = report.json(exitCode: 7)
    #expect(
      json.hasPrefix("{\"clock\":\"CLOCK_MONOTONIC\"") && json.contains("\"exit_code\":7") && json.hasSuffix("}]}\n"))
    #expect(json.contains("\"backend\":{\"name\":\"kvm\"") && json.contains("},\"kernel\":\"/k\",\"phases\":["))
  }

  /// Whatever is typed, there is an answer: no word makes the parser trap.
  @Test(arguments: 1...8 as ClosedRange<UInt64>) func randomWords(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let values = [
      "", "=", "--", "-", "64M", "1.5", "a=b", "0", "18446744073709551615", "99999999999999999999T", "7:8", ",ro", "/x",
      "é", "\u{0}",
      "json", "stdio", "-1", "ms", "🙂", "--=", "--kernel", "4294967296h",
    ]
    for _ in 0..<5000 {
      var words: [String] = []
      for _ in 0..<random.below(7) {
        let option = ArgumentParser.options[random.below(ArgumentParser.options.count)]
        let value = values[random.below(values.count)]
        switch random.below(4) {
        case 0: words.append(option)
        case 1: words.append("\(option)=\(value)")
        case 2: words.append(value)
        default:
          var bytes = Array((option + value).utf8)
          for _ in 0..<3 where !bytes.isEmpty {
            bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
          }
          words.append(String(decoding: bytes, as: UTF8.self))
        }
      }
      #expect(!text(words).isEmpty)
    }
  }
}
