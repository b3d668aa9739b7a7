import Boot
import Devices
import System

/// What is the same for a guest's console and its kernel, whoever runs the machine.
package enum ConsoleRules {
  /// Lines of the guest's log that are shown when it fails.
  private static let shownLines = 40

  /// Where the console of `configuration` goes: without a choice to standard output, or nowhere when a command has that.
  package static func place(_ configuration: Configuration) -> Configuration.Console {
    configuration.console
      ?? (configuration.command == nil ? .stdio : configuration.verbose ? .standardError : Configuration.Console.none)
  }

  /// The pump to that place; nil for nowhere.
  package static func pump(_ configuration: Configuration) throws(MachineError) -> OutputPump? {
    switch place(configuration) {
    case .stdio: return try naming { () throws(SystemError) in try OutputPump(inherited: 1, coalesce: true) }
    case .standardError: return try naming { () throws(SystemError) in try OutputPump(inherited: 2, coalesce: true) }
    case .none: return nil
    case .file(let path):
      return try naming("--console") { () throws(SystemError) in
        try OutputPump(try FileDescriptor.create(path), coalesce: true)
      }
    }
  }

  /// The kernel's command line: what every guest gets, `own` words for the machine, `forCommands` for guests that run a
  /// command, and the user's.
  package static func commandLine(
    _ configuration: Configuration, own: String, forCommands: String
  ) throws(MachineError) -> KernelCommandLine {
    var line = KernelCommandLine()
    try naming("--append") { () throws(CommandLineError) in
      try line.add("console=ttyS0 panic=-1 " + own)
      if configuration.command != nil {
        // The self-tests of the kernel's cryptography take the processor away just when the command starts.
        try line.add("rdinit=/vmrun/init cryptomgr.notests " + forCommands)
        if !configuration.verbose { try line.add("quiet") }
      }
      try line.append(configuration.append)
    }
    return line
  }

  /// A reset or a dead processor right after a panic was the panic's doing. What the guest's kernel said is shown when it
  /// explains the end and nobody has seen it: the console is not `isShown`, and the guest failed or its init `isUnheard`.
  package static func explain(
    _ outcome: Outcome, capture: ConsoleCapture, isShown: Bool, isUnheard: Bool
  ) -> Outcome {
    var outcome = outcome
    switch outcome {
    case .reboot, .tripleFault, .hung:
      if let message = capture.panicMessage() { outcome = .panic(message: advised(message)) }
    default: break
    }
    if !isShown, outcome.isGuestFailure || isUnheard {
      let log = capture.tail(lines: shownLines)
      Log.raw(log.isEmpty ? "vmrun: the guest's kernel said nothing\n" : "vmrun: the guest's kernel said:\n\(log)")
    }
    return outcome
  }

  /// What a panic says, and what to do where that is known.
  private static func advised(_ message: String) -> String {
    message.hasPrefix("System is deadlocked on memory") || message.hasPrefix("Out of memory")
      ? message + "; give the guest more with --memory" : message
  }
}
