import CLinux
import Devices
import Libvirt
import Machine
import System

/// The program's entry. The package manager names an executable's own entry NAME_main, and links it as main.
@c(vmrun_libvirt_main)
public func entry(
  argc: Int32, argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>,
  envp: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Int32 {
  var words: [String] = []
  for index in 1..<max(1, Int(argc)) {
    // unsafe: the kernel passes argc strings, each NUL-terminated.
    if let word = unsafe argv[index] { words.append(unsafe String(cString: word)) }
  }
  StandardStreams.hold()
  switch words {
  case ["--help"], ["-h"]: return write(Help.text)
  case ["--check"]: return write(Check.json())
  default: break
  }
  guard words.count == 4, words[0] == "--handover", words[2] == "--program", let handover = Int32(words[1]),
    let program = Int32(words[3]), handover > 2, program > 2, handover != program
  else {
    Log.message("vmrun-libvirt is started by vmrun\n       see vmrun-libvirt --help")
    return 125
  }
  return run(FileDescriptor(owning: handover), SharedFile(FileDescriptor(owning: program)))
}

private func run(_ file: consuming FileDescriptor, _ program: SharedFile) -> Int32 {
  let handover: Handover
  do throws(HandoverError) {
    handover = try Handover(decoding: read(file))
  } catch {
    Log.message(error.description)
    return 125
  }
  // Nobody that is started from here has use for it.
  _ = clinux_fcntl(program.descriptor.rawValue, F_SETFD, Int(FD_CLOEXEC))
  let timeline = Timeline(start: handover.start)
  timeline.end(.parse, after: handover.parsed)
  timeline.end(.backend, after: handover.chosen)
  let (outcome, backend) = LibvirtSession.run(handover, program: program, timeline: timeline)
  timeline.end(.teardown)
  if let message = outcome.message {
    // Why libvirt at all belongs to what went wrong with it; otherwise it was told when the machine started.
    if backend.machine == "none", handover.reason != Handover.asked, !handover.configuration.quiet {
      Log.message("backend libvirt: \(handover.reason)")
    }
    Log.message(message)
  }
  TimingsReport(timeline, backend: backend).print(
    TimingsFormat(rawValue: handover.timings), exitCode: outcome.exitCode)
  return outcome.exitCode
}

/// The file's bytes, at most one more than a hand-over may have; none when it cannot be read, which is no hand-over either.
private func read(_ file: borrowing FileDescriptor) -> [UInt8] {
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 64 << 10)
  while bytes.count <= Handover.sizeLimit {
    let position = Int64(bytes.count)
    // unsafe: the array's own bytes, valid for the call.
    let count = unsafe chunk.withUnsafeMutableBytes { buffer in
      (try? unsafe file.readFully(into: buffer, at: position)) ?? 0
    }
    if count == 0 { break }
    bytes += chunk[..<count]
  }
  return bytes
}

/// Writes `text` to standard output; 0, or 125 when that does not take it.
private func write(_ text: String) -> Int32 {
  guard let output = try? FileDescriptor.duplicate(of: 1), (try? output.writeFully(Array(text.utf8))) != nil else {
    return 125
  }
  return 0
}
