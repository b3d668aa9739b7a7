import TestSupport
import Testing

@testable import vmrun

@Suite struct ContainerArgumentsTests {
  private func parse(_ words: [String]) throws -> ContainerConfiguration {
    var parser = ArgumentParser(words)
    guard case .container(let configuration, _) = try parser.parse() else { throw UsageError("not a container") }
    return configuration
  }

  private func message(_ words: [String]) -> String {
    var parser = ArgumentParser(words)
    do {
      _ = try parser.parse()
      return "accepted"
    } catch { return error.message }
  }

  @Test(arguments: [["--container"], ["--isolation", "container"], ["--isolation=container"]])
  func defaults(choice: [String]) throws {
    let configuration = try parse(choice + ["--rootfs", "d", "--", "a", "--net"])
    #expect(configuration == ContainerConfiguration(rootfs: "d", arguments: ["a", "--net"].map { Array($0.utf8) }))
    #expect(configuration.network == .none && configuration.hostname == "vmrun" && !configuration.isReadOnly)
  }

  @Test(arguments: [false, true]) func everyOption(attached: Bool) throws {
    var words = ["--container", "--tty", "--read-only", "-q"]
    for (name, value) in [
      ("--rootfs", "d"), ("--cpus", "1.5"), ("--memory", "64M"), ("--pids", "12"), ("--env", "A=1"), ("--env", "B=2"),
      ("--env", "A=3"), ("--workdir", "/w"), ("--hostname", "h"), ("--user", "7:8"), ("--volume", "s:/d"),
      ("--volume", "/s:/e:ro"), ("--net", "bridge"), ("--timeout", "2"), ("--name", "web"),
    ] { words += attached ? ["\(name)=\(value)"] : [name, value] }
    var expected = ContainerConfiguration(rootfs: "d", arguments: [Array("x".utf8)])
    expected.hasTerminal = true
    expected.isReadOnly = true
    expected.processorTime = 1500
    expected.memory = 64 << 20
    expected.processes = 12
    // The last value of a variable counts.
    expected.environment = ["B=2", "A=3"].map { Array($0.utf8) }
    expected.workingDirectory = "/w"
    expected.hostname = "h"
    (expected.user, expected.group) = (7, 8)
    expected.volumes = [
      .init(source: "s", destination: "/d", isReadOnly: false),
      .init(source: "/s", destination: "/e", isReadOnly: true),
    ]
    expected.network = .bridge
    expected.timeout = 2_000_000_000
    expected.name = "web"
    #expect(try parse(words + ["--", "x"]) == expected)
    #expect(try parse(["--container", "--rootfs=d", "--keep-changes", "k", "--", "x"]).keptChanges == "k")
  }

  @Test(
    arguments: [
      ("1", 1000), ("0.5", 500), (".5", 500), ("0.01", 10), ("2.250", 2250), ("8192", 8_192_000), ("1.1", 1100),
    ] as [(String, UInt32)])
  func processorTime(text: String, expected: UInt32) throws {
    #expect(try ArgumentParser.processorTime(text) == expected)
  }

  @Test(arguments: ["", ".", "0", "0.009", "0.0001", "1.", "-1", "1e3", "8192.001", "99999", "1.5.5", "٣", " 1", "+1"])
  func badProcessorTime(text: String) {
    #expect(
      message(["--container", "--rootfs", "d", "--cpus", text, "--", "x"]).hasPrefix(
        "--cpus \(text): expected processors"))
  }

  /// The same command line, but for what only one isolation has.
  @Test func oneFlagChangesTheIsolation() throws {
    let common = [
      "--rootfs", "d", "--cpus", "2", "--memory", "128M", "--env", "A=1", "--workdir", "/w", "--hostname", "h",
      "--user",
      "7", "--tty", "--timeout", "3", "--net", "none", "--timings", "--", "x", "y",
    ]
    let container = try parse(["--isolation", "container"] + common)
    var parser = ArgumentParser(["--isolation", "vm", "--kernel", "k"] + common)
    guard case .launch(let machine, _, _) = try parser.parse() else { throw UsageError("not a VM") }
    #expect(machine.command?.arguments == container.arguments && machine.command?.environment == container.environment)
    #expect(machine.command?.hostname == container.hostname && machine.command?.user == container.user)
    #expect(machine.memory == container.memory && machine.timeout == container.timeout)
    #expect(machine.cpus * 1000 == container.processorTime)
  }

  @Test(arguments: [
    ("--kernel=k", "runs on this host's kernel"), ("--initrd=i", "starts from --rootfs"),
    ("--append=a", "command line"),
    ("--boot=auto", "does not boot"), ("--kernel-pages=auto", "no kernel of its own"), ("--console=none", "--tty"),
    ("--disk=d", "--volume"), ("--verbose", "--timings"), ("-v", "--volume SRC:DST"),
  ])
  func whatIsForMachines(option: String, advice: String) {
    let text = message(["--container", "--rootfs", "d", option, "--", "x"])
    #expect(text.hasPrefix(option.prefix { $0 != "=" } + " is for a VM") && text.contains(advice), "\(text)")
  }

  @Test(arguments: [
    ("--pids=5", "--memory"), ("--volume=a:/b", "--disk FILE"), ("--read-only", "copy of --rootfs"),
    ("--keep-changes=d", "--disk"), ("--name=n", "--hostname"), ("--net=host", "no network device"),
    ("--net=bridge", "no network device"),
  ])
  func whatIsForContainers(option: String, advice: String) {
    let text = message(["--kernel", "k", "--rootfs", "d", option, "--", "x"])
    #expect(text.hasPrefix(option.prefix { $0 != "=" } + " is for a container") && text.contains(advice), "\(text)")
  }

  @Test(arguments: [
    (["--container"], "needs a command"), (["--container", "--rootfs", "d"], "needs a command"),
    (["--container", "--", "x"], "needs a root directory"), (["--container", "--"], "missing behind '--'"),
    (["--container=1"], "takes no value"), (["--isolation", "jail"], "expected vm or container"),
    (["--container", "--isolation", "vm"], "contradicts"), (["--net", "wifi"], "expected none, host or bridge"),
    (["--volume", "a"], "expected SRC:DST"), (["--volume", ":/b"], "expected SRC:DST"),
    (["--volume", "a:b"], "absolute path"), (["--volume", "a:/"], "absolute path"), (["--volume", "a:/b:rx"], "'rx'"),
    (["--volume", "a:/b:ro:z"], "expected SRC:DST"), (["--pids", "0"], "from 1 to"),
    (["--name", "a/b"], "expected 1 to 200"),
    (["--name", ".."], "expected 1 to 200"), (["--keep-changes", ""], "empty path"),
    (["--container", "--rootfs", "d", "--memory", "4M", "--", "x"], "below 6M"),
    (["--container", "--rootfs", "d", "--read-only", "--keep-changes", "k", "--", "x"], "exclude each other"),
    (["--contaner"], "did you mean --container?"), (["--volumes"], "did you mean --volume?"),
  ])
  func errors(words: [String], expected: String) {
    #expect(message(words).contains(expected), "\(message(words))")
  }

  /// Whatever is typed, there is an answer: no word makes the parser trap.
  @Test(arguments: 1...4 as ClosedRange<UInt64>) func randomWords(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let values = [
      "", ":", "::", "a:/b:ro", "0.5", "99999999999999999999", "1.9999999", "none", "bridge", "/", "-1", "é:/é", "6M",
      "container", "vm", ".", "1.", ".1",
    ]
    for _ in 0..<5000 {
      var words = ["--container", "--rootfs", "d"]
      for _ in 0..<random.below(6) {
        let option = ArgumentParser.options[random.below(ArgumentParser.options.count)]
        let value = values[random.below(values.count)]
        words += random.below(2) == 0 ? ["\(option)=\(value)"] : [option, value]
      }
      #expect(!message(words + ["--", "x"]).isEmpty)
    }
  }
}
