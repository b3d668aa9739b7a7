import CLinux
import Container
import JSON
import System

/// What the runtime says, in the forms that engines read: lines of JSON or of text, as runc writes them.
struct OCILog {
  private let file: SharedFile?
  private let format: OCILogFormat
  private let isVerbose: Bool

  /// Appends to `--log`, which is made with mode 0644.
  /// - Throws: `UsageError` when it cannot be opened.
  init(_ globals: OCIGlobals) throws(UsageError) {
    format = globals.format
    isVerbose = globals.debug
    guard let path = globals.log else {
      file = nil
      return
    }
    do throws(SystemError) {
      file = SharedFile(try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_APPEND, mode: 0o644))
    } catch {
      throw UsageError("--log: \(error)")
    }
  }

  /// A failure: the last line of the log, and also on standard error.
  func error(_ message: String) {
    write("error", message)
    if file != nil || format == .text { Log.message(message) }
  }

  func warning(_ message: String) {
    write("warning", message)
    if file == nil, format == .text { Log.message("warning: \(message)") }
  }

  /// What `--debug` shows.
  func debug(_ message: @autoclosure () -> String) {
    guard isVerbose else { return }
    let message = message()
    write("debug", message)
    if file == nil, format == .text { Log.message(message) }
  }

  /// One line to the file, or as JSON to standard error; plain text there is for people.
  private func write(_ level: String, _ message: String) {
    let line = Self.line(level, message, time: Timestamp.now(), format)
    if let raw = file?.descriptor.rawValue {
      // In one call: others may append at the same time. There is nobody left to tell of a failure.
      // unsafe: the array outlives the call.
      _ = unsafe line.withUnsafeBytes { unsafe CLinux.write(raw, $0.baseAddress, $0.count) }
    } else if format == .json {
      Log.raw(String(decoding: line, as: UTF8.self))
    }
  }

  /// One line with its end, as runc's: {"level":"error","msg":"...","time":"..."}.
  static func line(_ level: String, _ message: String, time: String, _ format: OCILogFormat) -> [UInt8] {
    switch format {
    case .json:
      let members = [("level", level), ("msg", message), ("time", time)]
      return JSON.object(members.map { JSON.Member($0.0, .string($0.1)) }).serialized() + [UInt8(ascii: "\n")]
    case .text:
      let quoted = String(decoding: JSON.string(message).serialized(), as: UTF8.self)
      return Array("time=\"\(time)\" level=\(level) msg=\(quoted)\n".utf8)
    }
  }
}
