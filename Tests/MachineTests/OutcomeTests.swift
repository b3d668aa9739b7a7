import System
import TestSupport
import Testing

@testable import Machine

@Suite struct OutcomeTests {
  @Test(
    arguments: [
      (.powerOff, 0, nil), (.exit(code: 0), 0, nil), (.exit(code: 255), 255, nil), (.commandExited(code: 7), 7, nil),
      (.commandKilled(signal: 9), 137, nil), (.commandKilled(signal: 255), 255, nil),
      (.commandFailed(code: 127, message: "sh: not found"), 127, "sh: not found"),
      (.reboot, 121, "asked for a restart"), (.panic(message: "VFS"), 122, "panicked: VFS"),
      (.tripleFault, 123, "triple fault"),
      (.hung(message: "why"), 120, "the guest hangs: why"), (.timeout(nanoseconds: 1_500_000_000), 124, "after 1.5 s"),
      (.failure("no KVM"), 125, "no KVM"), (.escape, 130, "console's escape"), (.signal(15), 143, "ended by signal 15"),
      (.outputClosed, 141, nil),
    ] as [(Outcome, Int32, String?)])
  func everyEndHasItsCodeAndText(outcome: Outcome, code: Int32, text: String?) {
    #expect(outcome.exitCode == code)
    if let text {
      let message = outcome.message ?? ""
      #expect(message.contains(text), "\(message)")
      // The codes that are vmrun's own are told, since scripts meet them.
      if (120...124).contains(code) { #expect(message.contains("(exit code \(code))")) }
    } else {
      #expect(outcome.message == nil)
    }
    #expect(outcome.isGuestFailure == (120...123).contains(code))
  }

  @Test(
    arguments: [
      (0, "0 us"), (999, "0.99 us"), (1000, "1 us"), (45_000, "45 us"), (999_999, "999.99 us"), (1_000_000, "1 ms"),
      (12_340_000, "12.34 ms"), (12_300_000, "12.3 ms"), (12_049_999, "12.04 ms"), (1_000_000_000, "1 s"),
      (1_500_000_000, "1.5 s"), (90_050_000_000, "90.05 s"), (.max, "18446744073.7 s"),
    ] as [(UInt64, String)])
  func durationsReadWell(nanoseconds: UInt64, expected: String) { #expect(Duration.text(nanoseconds) == expected) }
}

@Suite struct TimelineTests {
  @Test func theFirstMarkOfAPhaseCounts() {
    let timeline = Timeline()
    #expect(timeline.reached(.parse) == nil && timeline.waterfall.isEmpty)
    timeline.end(.parse)
    let first = timeline.reached(.parse)
    pause(milliseconds: 2)
    timeline.end(.parse)
    #expect(timeline.reached(.parse) == first && first != nil)
  }

  @Test func lengthsAddUp() {
    let timeline = Timeline()
    for phase in Timeline.Phase.allCases where phase != .initProcess {
      pause(milliseconds: 1)
      timeline.end(phase)
    }
    let rows = timeline.waterfall
    #expect(rows.map(\.phase) == Timeline.Phase.allCases.filter { $0 != .initProcess })
    #expect(rows.reduce(0) { $0 + $1.length } == rows.last?.end)
    #expect(rows.allSatisfy { $0.length >= 1_000_000 })
    #expect(timeline.reached(.teardown) == rows.last?.end)
  }

  /// A phase that came before its predecessor in the list must not make a length negative.
  @Test func phasesOutOfOrderDoNotWrap() {
    let timeline = Timeline()
    timeline.end(.firstByte)
    pause(milliseconds: 1)
    timeline.end(.kernel)
    timeline.end(.exit)
    #expect(timeline.waterfall.reduce(0) { $0 + $1.length } == timeline.reached(.exit))
    #expect(timeline.waterfall.map(\.phase) == [.firstByte, .kernel, .exit])
  }

  @Test func namesAreDifferent() {
    #expect(Set(Timeline.Phase.allCases.map(\.name)).count == Timeline.Phase.allCases.count)
  }
}

@Suite struct RunControlTests {
  @Test func theFirstOutcomeStays() throws {
    let control = try RunControl()
    #expect(!control.isStopping && control.outcome == nil && control.ended.drain() == 0)
    control.finish(.exit(code: 3))
    control.finish(.failure("later"))
    #expect(control.isStopping && control.outcome?.exitCode == 3)
    #expect(control.ended.drain() == 1)
  }

  @Test func exactlyOneOfManyThreadsWins() throws {
    let control = try RunControl()
    var threads: [Joiner] = []
    for code in UInt8(1)...8 { threads.append(Joiner(try Thread { control.finish(.exit(code: code)) })) }
    threads.forEach { $0.join() }
    #expect((1...8).contains(control.outcome?.exitCode ?? 0))
    #expect(control.ended.drain() == 1)
  }
}

/// Threads are move-only; an array needs a box for each.
final class Joiner {
  private var thread: Thread?
  init(_ thread: consuming Thread) { self.thread = consume thread }
  func join() { thread.take()?.join() }
}
