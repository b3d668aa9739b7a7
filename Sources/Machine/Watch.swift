import CLinux
import Devices
import System

/// What the main loop watches besides devices: the machine's end, signals, the time limit, and whether the guest still lives.
final class Watch: EventHandler {
  private enum Source: UInt32 { case ended, signals, timeout, pulse }

  private let loop: EventLoop
  private let control: RunControl
  private let processors: Processors
  private let signals: SignalFD
  private let timeout: TimerFD
  private let pulse: TimerFD
  private let limit: UInt64?
  private let link: CommandLink?
  private let started = Clock.now()

  /// How often the guest is asked for its pulse, in nanoseconds.
  static let pulseInterval: UInt64 = 1_000_000_000

  /// How long a guest may take to its init, in nanoseconds.
  static let bootLimit: UInt64 = 120_000_000_000

  /// Takes over the signals that end the machine or go to the command, for this thread and those started later.
  init(
    loop: EventLoop, control: RunControl, processors: Processors, link: CommandLink?, deadline: UInt64?, limit: UInt64?
  ) throws(SystemError) {
    self.loop = loop
    self.control = control
    self.processors = processors
    self.limit = limit
    self.link = link
    signals = try SignalFD(link?.signals ?? [SIGINT, SIGTERM, SIGHUP, SIGQUIT])
    timeout = try TimerFD()
    pulse = try TimerFD()
    if let deadline {
      let now = Clock.now()
      timeout.arm(nanoseconds: deadline > now ? deadline - now : 1)
    }
    pulse.arm(nanoseconds: Self.pulseInterval, interval: Self.pulseInterval)
  }

  /// Adds its sources to the loop.
  func start() throws(SystemError) {
    try loop.add(
      control.ended.descriptor.rawValue, events: EPOLLIN.rawValue, token: Source.ended.rawValue, handler: self)
    try loop.add(signals.descriptor.rawValue, events: EPOLLIN.rawValue, token: Source.signals.rawValue, handler: self)
    try loop.add(timeout.descriptor.rawValue, events: EPOLLIN.rawValue, token: Source.timeout.rawValue, handler: self)
    try loop.add(pulse.descriptor.rawValue, events: EPOLLIN.rawValue, token: Source.pulse.rawValue, handler: self)
  }

  func handle(events: UInt32, token: UInt32) {
    switch Source(rawValue: token) {
    case .ended: loop.stop()
    case .signals:
      while let number = signals.next() {
        if let link { link.forward(number) } else { control.finish(.signal(number)) }
      }
    case .timeout:
      if timeout.drain() > 0 { control.finish(.timeout(nanoseconds: limit ?? 0)) }
    case .pulse:
      guard pulse.drain() > 0 else { return }
      // The answers to the last question are in by now.
      if processors.isHung {
        control.finish(.hung(message: "every processor halted with interrupts off"))
      } else if let link, !link.isGreeted, Clock.now() &- started > Self.bootLimit {
        control.finish(.hung(message: "its init did not start within \(Duration.text(Self.bootLimit))"))
      } else {
        processors.ask()
      }
    case nil: break
    }
  }

  /// Readable while a signal waits; for the time after the loop.
  var signalDescriptor: Int32 { signals.descriptor.rawValue }
}
