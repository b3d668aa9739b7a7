import Boot
import Machine

/// The kernel's command line for QEMU's machines.
enum GuestWords {
  /// The words of every guest, those of the machine, and the user's; init hears which line the channel is on.
  static func commandLine(_ configuration: Configuration, isAccelerated: Bool) throws(LibvirtError) -> String {
    // Both machines reset by a triple fault without looking for another way.
    var own = "reboot=t no_timer_check"
    // QEMU's own clock drives the emulated one; and code that is changed while it runs must be translated anew, so that what is only good for
    // one processor is left as it is: a tenth of a boot.
    if !isAccelerated { own += " tsc=reliable noreplace-smp" }
    let line = try naming { () throws(MachineError) in
      try ConsoleRules.commandLine(configuration, own: own, forCommands: "audit=0")
    }
    // Checked against the shortest that a kernel of today takes (boot protocol, cmdline_size), NUL not counted.
    _ = try naming("--append") { () throws(CommandLineError) in try line.bytes(limit: 2047) }
    return configuration.command == nil ? line.text : line.text + " -- ttyS1"
  }
}
