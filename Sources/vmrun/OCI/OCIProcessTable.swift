import CLinux
import Container
import System

/// `vmrun ps`: a table like that of `ps -ef`, read from the host's /proc (proc(5)).
enum OCIProcessTable {
  /// - Throws: when other columns or processes are asked for than this table has.
  static func check(options: ArraySlice<[UInt8]>) throws(UsageError) {
    for word in options {
      let text = String(decoding: word, as: UTF8.self)
      let letters = text.utf8.drop { $0 == UInt8(ascii: "-") }
      guard !letters.isEmpty, letters.allSatisfy({ $0 == UInt8(ascii: "e") || $0 == UInt8(ascii: "f") }) else {
        throw UsageError("ps: option '\(text)' is not supported; there are -e and -f, whose table is always printed")
      }
    }
  }

  /// The table of `pids`; one that has ended meanwhile is left out.
  static func text(_ pids: [Int32]) throws(ContainerError) -> String {
    let users = OCIUsers()
    let boot = bootTime()
    let now = Int64(time(nil))
    var rows = [["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]]
    for pid in pids {
      guard let record = Record(pid) else { continue }
      let started = boot + Int64(record.startTicks / ticks)
      let seconds = record.cpuTicks / ticks
      let age = max(1, now - started)
      rows.append([
        users.name(record.user), String(pid), String(record.parent), String(min(99, Int64(seconds) * 100 / age)),
        startText(started, now), terminalName(record.terminal), timeText(seconds), record.command,
      ])
    }
    return OCITable.text(rows, right: [1, 2, 3, 6])
  }

  private static let ticks = UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))

  /// What /proc tells of one process.
  struct Record: Equatable {
    var user: UInt32
    var parent: Int32
    var terminal: Int32
    /// In user and kernel mode together.
    var cpuTicks: UInt64
    /// Since the host's start.
    var startTicks: UInt64
    var command: String

    init?(_ pid: Int32) {
      var status = stat()
      // unsafe: stat fills the one struct it is given.
      guard unsafe stat("/proc/\(pid)", &status) == 0, let line = try? OCIInput.read("/proc/\(pid)/stat"),
        let arguments = try? OCIInput.read("/proc/\(pid)/cmdline")
      else { return nil }
      self.init(stat: line, arguments: arguments, user: status.st_uid)
    }

    /// From the contents of `stat` and `cmdline`. The process's name in `stat` is its own choice: it ends at the last ')'.
    init?(stat line: [UInt8], arguments: [UInt8], user: UInt32) {
      guard let open = line.firstIndex(of: UInt8(ascii: "(")), let close = line.lastIndex(of: UInt8(ascii: ")")),
        open < close
      else { return nil }
      let fields = line[(close + 1)...].split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
      // Field 3, the state, is the first here: ppid is 4, tty_nr 7, utime 14, stime 15, starttime 22.
      guard fields.count >= 20, let parent = Int32(fields[1]), let terminal = Int32(fields[4]),
        let inUser = UInt64(fields[11]), let inKernel = UInt64(fields[12]), let start = UInt64(fields[19])
      else { return nil }
      self.user = user
      self.parent = parent
      self.terminal = terminal
      cpuTicks = inUser &+ inKernel
      startTicks = start
      let name = [UInt8(ascii: "[")] + line[(open + 1)..<close] + [UInt8(ascii: "]")]
      let words = arguments.last == 0 ? Array(arguments.dropLast()) : arguments
      command = Self.printable(words.isEmpty ? name : words.map { $0 == 0 ? 0x20 : $0 })
    }

    /// What a container's process calls itself, safe for a terminal.
    private static func printable(_ bytes: [UInt8]) -> String {
      var text = ""
      for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0: text += "?"
        default: text.unicodeScalars.append(scalar)
        }
      }
      return text
    }
  }

  /// When the host was started, in seconds since 1970.
  private static func bootTime() -> Int64 {
    guard let bytes = try? OCIInput.read("/proc/stat") else { return 0 }
    for line in bytes.split(separator: UInt8(ascii: "\n")) where line.starts(with: "btime ".utf8) {
      return Int64(String(decoding: line.dropFirst(6), as: UTF8.self)) ?? 0
    }
    return 0
  }

  /// The local hour and minute, or the day when that was not today.
  private static func startText(_ started: Int64, _ now: Int64) -> String {
    guard let then = localDay(started), let today = localDay(now) else { return "?" }
    if then.day == today.day, then.year == today.year { return twoDigits(then.hour) + ":" + twoDigits(then.minute) }
    if then.year != today.year { return String(then.year) }
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return (months.indices.contains(then.month) ? months[then.month] : "?") + twoDigits(then.dayOfMonth)
  }

  /// A moment of the local calendar.
  private struct LocalTime {
    var year, month, dayOfMonth, day, hour, minute: Int
  }

  private static func localDay(_ seconds: Int64) -> LocalTime? {
    var time = time_t(seconds)
    // unsafe: localtime_r reads the time and fills the struct, whose numbers alone are taken.
    var local = unsafe tm()
    guard unsafe localtime_r(&time, &local) != nil else { return nil }
    return unsafe LocalTime(
      year: Int(local.tm_year) + 1900, month: Int(local.tm_mon), dayOfMonth: Int(local.tm_mday),
      day: Int(local.tm_yday),
      hour: Int(local.tm_hour), minute: Int(local.tm_min))
  }

  private static func timeText(_ seconds: UInt64) -> String {
    let (hours, rest) = (Int(seconds / 3600), Int(seconds % 3600))
    return twoDigits(hours) + ":" + twoDigits(rest / 60) + ":" + twoDigits(rest % 60)
  }

  private static func twoDigits(_ number: Int) -> String { number < 10 ? "0\(number)" : String(number) }

  /// "pts/3", "tty1", or "?" for none: from the device number as the kernel packs it (proc(5), tty_nr).
  static func terminalName(_ number: Int32) -> String {
    let bits = UInt32(bitPattern: number)
    let (major, minor) = (bits >> 8 & 0xFFF, bits & 0xFF | bits >> 12 & 0xF_FF00)
    switch major {
    case 0: return "?"
    case 136...143: return "pts/\((major - 136) * 256 + minor)"
    case 4 where minor < 64: return "tty\(minor)"
    case 4: return "ttyS\(minor - 64)"
    case 5 where minor == 1: return "console"
    default: return "\(major):\(minor)"
    }
  }
}
