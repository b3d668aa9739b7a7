import Testing

@testable import vmrun

@Suite struct OCIParserTests {
  private func bytes(_ words: [String]) -> [[UInt8]] { words.map { Array($0.utf8) } }

  private func parse(_ words: [String]) throws -> (OCIVerb, OCIWords, OCIGlobals) {
    var parser = OCIParser(bytes(words))
    guard case .verb(let verb, let arguments) = try parser.parse() else { throw UsageError("no verb") }
    return (verb, arguments, parser.globals)
  }

  private func message(_ words: [String]) -> String {
    var parser = OCIParser(bytes(words))
    do {
      _ = try parser.parse()
      return "accepted"
    } catch { return error.message }
  }

  @Test(arguments: [
    (["create"], true), (["state", "x"], true), (["--root", "/r", "state"], true), (["--log=f"], true),
    (["--debug"], true),
    (["--systemd-cgroup"], true), (["--log-format", "json"], true), (["--rootless=auto"], true),
    (["--rootfs", "d"], false),
    (["--help"], false), (["--version"], false), (["-v"], false), (["--kernel", "run"], false), ([], false),
    (["--container"], false), (["creat"], true), (["frobnicate"], false), ([""], false), (["-"], false),
    (["--"], false),
  ])
  func dispatch(words: [String], isRuntime: Bool) { #expect(OCIParser.takes(bytes(words)) == isRuntime) }

  /// The calls that engines were seen to make.
  @Test func containerdAndDocker() throws {
    let global = ["--root", "/r", "--log", "/l", "--log-format", "json"]
    let (verb, words, globals) = try parse(
      global + ["create", "--bundle", "/b", "--pid-file", "/p", "--console-socket", "/s", "ID"])
    #expect(verb == .create && words.id == "ID" && words.operands.count == 1)
    #expect(
      words.value("--bundle") == "/b" && words.value("--pid-file") == "/p" && words.value("--console-socket") == "/s")
    #expect(globals == OCIGlobals(root: "/r", log: "/l", format: .json))
    #expect(try parse(global + ["delete", "--force", "ID"]).1.has("--force"))
    #expect(try parse(global + ["kill", "--all", "ID", "9"]).1.operands == bytes(["ID", "9"]))
    let exec = try parse(global + ["exec", "--process", "/j", "--detach", "--pid-file", "/p", "ID"]).1
    #expect(exec.value("--process") == "/j" && exec.has("--detach") && exec.operands == bytes(["ID"]))
    #expect(try parse(global + ["ps", "--format", "json", "ID"]).1.value("--format") == "json")
    #expect(try parse(global + ["update", "--resources", "-", "ID"]).1.value("--resources") == "-")
    #expect(
      try parse(global + ["checkpoint", "--image-path", "/i", "--work-path", "/w", "--leave-running", "ID"]).0
        == .checkpoint)
  }

  @Test func podman() throws {
    let (verb, words, globals) = try parse([
      "--log-format=json", "--log", "/l", "--systemd-cgroup", "create", "--bundle", "/b", "--preserve-fds", "2", "ID",
    ])
    #expect(verb == .create && globals.systemdCgroup && globals.format == .json)
    #expect(try words.integer("--preserve-fds") == 2)
    let exec = try parse([
      "exec", "--pid-file", "/p", "--process", "/j", "--detach", "--tty", "--console-socket", "/s", "ID",
    ]).1
    #expect(exec.has("--tty") && exec.value("--console-socket") == "/s")
    #expect(try parse(["update", "--resources=/f", "ID"]).1.value("--resources") == "/f")
  }

  /// What Go's flag package takes.
  @Test(arguments: [
    ["kill", "-a", "ID"], ["kill", "--all", "ID"], ["kill", "-all", "ID"], ["kill", "--all=true", "ID"],
    ["kill", "ID", "--all"],
  ])
  func switches(words: [String]) throws { #expect(try parse(words).1.has("--all")) }

  @Test(arguments: [
    ["list", "-f", "json"], ["list", "-f=json"], ["list", "--format", "json"], ["list", "--format=json"],
    ["list", "-format=json"],
    ["list", "--format", "table", "-f", "json"],
  ])
  func values(words: [String]) throws { #expect(try parse(words).1.value("--format") == "json") }

  @Test func switchesCanBeTurnedOff() throws {
    #expect(try !parse(["kill", "--all", "--all=false", "ID"]).1.has("--all"))
    #expect(try !parse(["--debug=false", "list"]).2.debug)
  }

  /// What stands behind the ID is the command's, options and all, byte for byte.
  @Test func execCommand() throws {
    var parser = OCIParser(bytes(["exec", "-e", "A=1", "ID", "ls", "-l", "--tty"]) + [[0xFF]])
    guard case .verb(_, let words) = try parser.parse() else { throw UsageError("") }
    #expect(words.operands == bytes(["ID", "ls", "-l", "--tty"]) + [[0xFF]] && !words.has("--tty"))
    #expect(try parse(["exec", "--", "ID", "--x"]).1.operands == bytes(["ID", "--x"]))
    #expect(try parse(["exec", "-e", "A=1", "-e", "B=2", "ID", "x"]).1.values("--env") == ["A=1", "B=2"])
  }

  @Test(arguments: [
    (["state"], "state: the container's ID is missing: vmrun state ID"),
    (["state", "a", "b"], "state: too many words: vmrun state ID"),
    (["list", "x"], "list: too many words: vmrun list "),
    (["kill", "a", "9", "x"], "kill: too many words: vmrun kill ID [SIGNAL]"),
    (["exec", "--tty"], "exec: the container's ID is missing: vmrun exec ID CMD [ARGS]"),
    (["state", "--foo", "x"], "state: unknown option --foo"),
    (["create", "--bundel", "x"], "create: unknown option --bundel: did you mean --bundle?"),
    (["create", "--bundle"], "create: --bundle needs a value: --bundle DIR"),
    (["kill", "--all=x", "a"], "kill: --all=x: it is a switch, and takes at most true or false"),
    (["--log-format", "xml", "list"], "--log-format xml: expected text or json"),
    (["--rootless", "maybe", "list"], "--rootless maybe: expected true, false or auto"),
    (["--root", "", "list"], "--root was given an empty path"), (["--log"], "--log needs a value: --log FILE"),
    (["--debug"], "a verb is missing: create, start, run, state, kill, delete ..."),
    (["--debug", "strat", "x"], "unknown verb 'strat': did you mean start?"),
    (["--debug", "frobnicate"], "unknown verb 'frobnicate'"),
  ])
  func refusals(words: [String], text: String) { #expect(message(words) == text) }

  /// An error behind the global options is logged where they say.
  @Test func globalsAreKnownWhenTheVerbIsWrong() {
    var parser = OCIParser(bytes(["--log", "/l", "--log-format", "json", "state"]))
    #expect(throws: UsageError.self) { try parser.parse() }
    #expect(parser.globals.log == "/l" && parser.globals.format == .json)
  }

  @Test func helpAndVersion() throws {
    for verb in OCIVerb.allCases {
      for flag in ["--help", "-h"] {
        var parser = OCIParser(bytes([verb.rawValue, flag]))
        #expect(try parser.parse() == .help(verb))
      }
      let text = OCIHelp.text(verb)
      #expect(text.contains("usage:\n  vmrun \(verb.rawValue)") && text.contains(verb.summary))
      for option in verb.options { #expect(text.contains(option.names[0]) && text.contains(option.about)) }
      #expect(OCIHelp.overview.contains("  \(verb.rawValue) "))
      for line in text.split(separator: "\n") { #expect(line.utf8.count <= 130, "\(line)") }
    }
    var parser = OCIParser(bytes(["--debug", "--version"]))
    #expect(try parser.parse() == .version)
    parser = OCIParser(bytes(["--debug", "--help"]))
    #expect(try parser.parse() == .help(nil))
    #expect(Help.text.contains("vmrun VERB --help") && Help.text.contains("checkpoint"))
    // dockerd takes the line with "version", and those that begin with "commit:" and "spec:".
    let lines = Help.version.split(separator: "\n")
    #expect(lines[0].hasPrefix("vmrun version ") && lines[1].hasPrefix("commit: ") && lines[2] == "spec: 1.3.0")
  }

  /// An option of two verbs is the same; no verb has one twice.
  @Test func optionNamesAreClear() {
    for verb in OCIVerb.allCases {
      let names = verb.options.flatMap(\.names)
      #expect(Set(names).count == names.count, "\(verb)")
      #expect(verb.options.allSatisfy { $0.names[0].hasPrefix("--") })
    }
  }
}
