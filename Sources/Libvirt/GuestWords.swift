import Boot
import Machine

/// The kernel's command line for QEMU's machines.
enum GuestWords {
  /// The words of every guest, those of the machine, and the user's; init hears which line the channel is on.
  static func commandLine(_ configuration: Configuration, isAccelerated: Bool) throws(LibvirtError) -> String {
    // Both machines reset by a triple fault without looking for another way.
    var own = "reboot=t no_timer_check"
    if !isAccelerated {
      // QEMU's own clock drives the emulated one. What protects from other guests on the same processor protects nothing here.
      own += " tsc=reliable mitigations=off random.trust_cpu=on"
    }
    let line = try naming { () throws(MachineError) in
      try ConsoleRules.commandLine(configuration, own: own, forCommands: "audit=0")
    }
    // Checked against the shortest that a kernel of today takes (boot protocol, cmdline_size), NUL not counted.
    _ = try naming("--append") { () throws(CommandLineError) in try line.bytes(limit: 2047) }
    return configuration.command == nil ? line.text : line.text + " -- ttyS1"
  }
}
