// The minimal guest: what is left of a program when there is no operating system under it. It says what it runs on and
// ends with the exit code that its command line asks for. ABI/boot_info.h describes the state in which it is entered.

import Hardware
import MinimalGuestABI

/// The image's first byte: entered by the VMM as if called from C.
@c(minimal_guest_entry)
public func entry(_ boot: UnsafePointer<minimal_boot_info>) -> Never {
  // unsafe: the VMM passes the address of a boot information block; the magic shows that it is one.
  let info = unsafe boot.pointee
  guard info.magic == UInt32(MINIMAL_BOOT_MAGIC), info.version == UInt32(MINIMAL_BOOT_VERSION) else {
    Serial.write("minimal guest: no boot information\n")
    exit(failure)
  }
  if info.flags & UInt32(MINIMAL_BOOT_MARK_ENTRY) != 0 { out_byte(UInt16(MINIMAL_PORT_PHASE), 1) }
  let commandLine = commandLine(info)
  do throws(CommandLine.Mistake) {
    let request = try CommandLine(commandLine)
    if !request.isQuiet { introduce(info, commandLine) }
    perform(request)
  } catch {
    Serial.write("minimal guest: not understood: ")
    Serial.write(error.word)
    Serial.write("\n")
    exit(failure)
  }
}

private func commandLine(_ info: minimal_boot_info) -> Text {
  // unsafe: the VMM vouches for the command line's address and length, and leaves it alone.
  guard let start = unsafe UnsafePointer<UInt8>(bitPattern: UInt(info.command_line)) else { return Text("") }
  return unsafe Text(start: start, count: Int(info.command_line_length))
}

/// Says what the guest is and what it sees.
private func introduce(_ info: minimal_boot_info, _ commandLine: Text) {
  Serial.write("vmrun's minimal guest, Embedded Swift in 64-bit mode\n")
  Processor.describe()
  Serial.write("memory        ")
  Serial.write(info.memory_bytes >> 20)
  Serial.write(" MiB, last page at 0x")
  Serial.write(info.last_page, radix: 16)
  Serial.write(holdsData(info.last_page) ? " holds data\n" : " holds no data\n")
  Serial.write("CPUs          ")
  Serial.write(UInt64(info.cpu_count))
  Serial.write("\ncommand line  ")
  Serial.write(commandLine)
  Serial.write("\n")
}

/// Whether the page at `address` gives back what is written to it.
private func holdsData(_ address: UInt64) -> Bool {
  let pattern: UInt64 = 0x5AA5_F00D_C0DE_D00D
  store_volatile(address, pattern)
  return load_volatile(address) == pattern
}

/// Does what was asked for, in this order: echo, flood, cat, and the end.
private func perform(_ request: CommandLine) -> Never {
  if let echo = request.echo {
    Serial.write(echo)
    Serial.write("\n")
  }
  flood(request.flood)
  if request.repeatsInput { repeatInput() }
  switch request.ending {
  case .exit: exit(request.exitCode)
  case .powerOff: out_byte(UInt16(MINIMAL_PORT_SLEEP), 0x34)
  case .reset: out_byte(UInt16(MINIMAL_PORT_RESET), 1)
  case .fault: triple_fault()
  case .halt: while true { halt() }
  case .spin: break
  }
  while true {}
}

/// Sends `count` bytes: lines of 63 characters and a line end, the last one cut where the count ends.
private func flood(_ count: UInt64) {
  let line = Text("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n")
  var left = count
  while left >= UInt64(line.count) {
    Serial.write(line)
    left -= UInt64(line.count)
  }
  Serial.write(line[0..<Int(left)])
}

/// Sends every byte back that is received, up to end of transmission (Ctrl-D, 4), which is not sent.
private func repeatInput() {
  while true {
    let byte = Serial.read()
    if byte == 4 { return }
    out_byte(UInt16(MINIMAL_PORT_SERIAL), byte)
  }
}

private let failure: UInt32 = 125

private func exit(_ code: UInt32) -> Never {
  out_long(UInt16(MINIMAL_PORT_EXIT), code)
  // The VMM does not come back from that write; were it another VMM, this is where the guest would rest.
  while true {}
}
