import Bench
import Report

/// What a command line of `vmrun bench` asks for.
struct BenchArguments {
  var options = BenchOptions()
  var arms = ArmFactory.names
  var kernel: String?
  var reference: String?
  var baseline: String?
  var conditions: [FailCondition] = []
  /// Files for the outputs; "-" is standard output.
  var json: String?
  var csv: String?
  var markdown: String?
  var html: String?
  var folder: String?
  var isQuiet = false
  var wantsIsolation = false
  var seed: UInt64?
  var wantsHelp = false

  /// Reads the words behind `bench`.
  init(_ words: [[UInt8]]) throws(UsageError) {
    var words = words.map { String(decoding: $0, as: UTF8.self) }[...]
    while let word = words.popFirst() {
      var (name, attached) = (word, String?.none)
      if word.utf8.starts(with: "--".utf8), let equals = word.utf8.firstIndex(of: UInt8(ascii: "=")) {
        name = String(word[..<equals])
        attached = String(word[word.utf8.index(after: equals)...])
      }
      func value(_ what: String) throws(UsageError) -> String {
        guard let value = attached ?? words.popFirst() else {
          throw UsageError("\(name) needs a value: \(name) \(what)")
        }
        return value
      }
      if let take = Self.flags[name] {
        guard attached == nil else { throw UsageError("\(name) takes no value") }
        take(&self)
        continue
      }
      switch name {
      case "--arms": arms = try Self.arms(try value("LIST"))
      case "--kernel": kernel = try value("NAME")
      case "--cache":
        switch try value("WHICH") {
        case "warm": options.caches = [.warm]
        case "cold": options.caches = [.cold]
        case "both": options.caches = [.warm, .cold]
        case let other: throw UsageError("--cache \(other): expected warm, cold or both")
        }
      case "--concurrency":
        options.levels = []
        for part in try value("LIST").split(separator: ",", omittingEmptySubsequences: false) {
          options.levels.append(try Self.number(name, String(part), 1...1024))
        }
      case "--concurrency-runs": options.concurrentRuns = try Self.number(name, try value("N"), 1...100_000)
      case "--density": options.density = try Self.number(name, try value("N"), 1...4096)
      case "--precision":
        let text = try value("PERCENT")
        let percent = text.hasSuffix("%") ? String(text.dropLast()) : text
        guard let (number, rest) = Decimal.parse(Array(percent.utf8)[...]), rest.isEmpty, number > 0, number <= 100
        else {
          throw UsageError("--precision \(text): expected percent, above 0 and up to 100")
        }
        options.goal.precision = number / 100
      case "--time": options.goal.budget = try ArgumentParser.duration(name, try value("SECONDS"))
      case "--runs": options.goal.runs = try Self.number(name, try value("N"), 1...100_000)
      case "--warm-ups": options.warmUps = try Self.number(name, try value("N"), 1...1000)
      case "--timeout": options.timeout = try ArgumentParser.duration(name, try value("TIME"))
      case "--reference": reference = try value("ARM")
      case "--baseline": baseline = try value("FILE")
      case "--fail-if":
        let text = try value("CONDITION")
        do throws(BenchError) { conditions.append(try FailCondition(parsing: text)) } catch {
          throw UsageError(error.description)
        }
      case "--json": json = try value("FILE")
      case "--csv": csv = try value("FILE")
      case "--markdown": markdown = try value("FILE")
      case "--html": html = try value("FILE")
      case "--folder": folder = try value("DIR")
      case "--seed":
        let text = try value("N")
        guard let number = UInt64(text) else { throw UsageError("--seed \(text): expected a whole number") }
        seed = number
      default: throw UsageError("unknown option \(name)")
      }
    }
    try check()
  }

  private static let flags: [String: @Sendable (inout BenchArguments) -> Void] = [
    "--help": { $0.wantsHelp = true }, "-h": { $0.wantsHelp = true },
    "--quiet": { $0.isQuiet = true }, "-q": { $0.isQuiet = true },
    "--isolation": { $0.wantsIsolation = true },
    "--times-only": { $0.options.looksCloser = false },
  ]

  /// The arms' identifiers as the report has them: "host", "host#2".
  var identifiers: [String] {
    var seen: [String: Int] = [:]
    return arms.map { name in
      let count = (seen[name] ?? 0) + 1
      seen[name] = count
      return count == 1 ? name : "\(name)#\(count)"
    }
  }

  private func check() throws(UsageError) {
    let known = identifiers
    if let reference, !known.contains(reference) {
      throw UsageError("--reference \(reference): it is not one of the arms: \(known.joined(separator: ", "))")
    }
    for condition in conditions {
      for arm in [condition.arm, condition.reference ?? condition.arm] where !known.contains(arm) {
        throw UsageError(
          "--fail-if '\(condition.text)': '\(arm)' is not one of the arms: \(known.joined(separator: ", "))")
      }
    }
    guard [json, csv, markdown, html].filter({ $0 == "-" }).count <= 1 else {
      throw UsageError("only one output can go to standard output (-)")
    }
  }

  private static func arms(_ text: String) throws(UsageError) -> [String] {
    var arms: [String] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let name = String(part)
      guard ArmFactory.names.contains(name) else {
        throw UsageError("--arms: there is no arm '\(name)'; there are \(ArmFactory.names.joined(separator: ", "))")
      }
      arms.append(name)
    }
    return arms
  }

  private static func number(_ name: String, _ text: String, _ range: ClosedRange<Int>) throws(UsageError) -> Int {
    guard let number = Int(text), range.contains(number) else {
      throw UsageError("\(name) \(text): expected a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }
}
