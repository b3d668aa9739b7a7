import CLinux
import Container
import GuestInit
import GuestProtocol
import Machine
import System

/// The process's environment.
enum Environment {
  /// The value of variable `name`, or nil.
  static func value(of name: String) -> [UInt8]? {
    // unsafe: getenv returns a NUL-terminated string that stays valid, since vmrun never changes its environment.
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe CBytes.copy(value)
  }
}

/// What C calls a string.
enum CBytes {
  /// The bytes of `text`, without its NUL.
  static func copy(_ text: UnsafePointer<CChar>) -> [UInt8] {
    let count = unsafe strlen(text)
    // unsafe: text holds count bytes before its NUL.
    return unsafe text.withMemoryRebound(to: UInt8.self, capacity: count) {
      unsafe [UInt8](UnsafeBufferPointer(start: $0, count: count))
    }
  }
}

/// What stands behind the program's name.
private func words(_ argc: Int32, _ argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> [[UInt8]] {
  var words: [[UInt8]] = []
  for index in 1..<max(1, Int(argc)) {
    // unsafe: the kernel passes argc strings, each NUL-terminated.
    if let word = unsafe argv[index] { unsafe words.append(CBytes.copy(word)) }
  }
  return words
}

/// The program's entry. The package manager names an executable's own entry NAME_main, and links it as main.
@c(vmrun_main)
public func entry(
  argc: Int32, argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>,
  envp: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Int32 {
  // unsafe: the kernel passes at least the program's name.
  if getpid() == 1, let name = unsafe argv[0], unsafe String(cString: name) == CommandConfiguration.initPath {
    guestInitMain(unsafe words(argc, argv))
  }
  let timeline = Timeline()
  let words = unsafe words(argc, argv)
  if OCIParser.takes(words) {
    return OCIRuntime.main(words) { () throws(ContainerError) in
      // unsafe: the process's own arguments and variables, as the C library gave them.
      try unsafe SelfProtection.ensure(argv: argv, envp: envp)
    }
  }
  if let first = words.first, let role = HiddenRole(word: first) { return role.run(Array(words.dropFirst())) }
  if let first = words.first, let tool = Tool(word: first) { return tool.run(Array(words.dropFirst())) }
  do {
    var parser = ArgumentParser(words)
    switch try parser.parse() {
    case .help: return Output.standard(Help.text)
    case .version: return Output.standard(Help.version)
    case .launch(let configuration, let backend, let timings):
      timeline.end(.parse)
      return MachineLaunch(configuration: configuration, backend: backend, timings: timings, timeline: timeline).run()
    case .container(let configuration, let timings):
      if let failure = unsafe protect(argv) {
        Log.message(failure)
        return 125
      }
      timeline.end(.parse)
      return contain(configuration, timings: timings, timeline: timeline)
    }
  } catch {
    Log.message("\(error.message)\n       \(Help.pointer)")
    return 125
  }
}

/// Sees to it that no container can write to this program's file: executes it anew from one that is read-only. Returns what went
/// wrong, or nil in a process that is protected.
private func protect(_ argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> String? {
  // unsafe: the C library's arrays, which end in null pointers and stay for the process's life.
  guard let variables = unsafe clinux_environment() else { return "there is no environment" }
  do throws(ContainerError) {
    unsafe try SelfProtection.ensure(argv: argv, envp: variables)
    return nil
  } catch {
    return error.description
  }
}

/// Runs one container, tells what there is to tell, and returns the exit code.
private func contain(
  _ configuration: ContainerConfiguration, timings: TimingsFormat?, timeline: Timeline
) -> Int32 {
  // A page that cannot be had costs the report its details, and the command nothing.
  let clock = timings == nil ? nil : try? SetupClock()
  let ending = ContainerLaunch(configuration, start: timeline.start, clock: clock).run()
  timeline.end(.teardown)
  if let message = ending.message { Log.message(message) }
  TimingsReport(timeline, clock).print(timings, exitCode: ending.exitCode)
  return ending.exitCode
}

/// Text for standard output.
enum Output {
  /// Writes `text`; 0, or 125 when standard output does not take it.
  static func standard(_ text: String) -> Int32 {
    var text = text
    let failed = text.withUTF8 { buffer in
      var done = 0
      while done < buffer.count {
        // unsafe: done < buffer.count, so the rest lies inside the buffer.
        let count = unsafe write(1, buffer.baseAddress?.advanced(by: done), buffer.count - done)
        if count < 0 && Errno.current == .interrupted { continue }
        if count <= 0 { return true }
        done += count
      }
      return false
    }
    return failed ? 125 : 0
  }
}
