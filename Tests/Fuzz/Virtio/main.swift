// A fuzzer of the virtio devices.
//
//   fuzz-virtio [--seed N] [--seconds N] [--rounds N] [--steps N]
//
// Without limits it runs for 60 seconds. Round r depends on seed + r alone, except that every second round has another
// thread write to the rings at the same time; a failure names the seed of its round. Built with
// `swift build --product fuzz-virtio --sanitize fuzzer -Xswiftc -DLIBFUZZER` it takes libFuzzer's arguments instead, and
// libFuzzer's proposals for its choices.
import CLinux
import System
import TestSupport

/// Ends the process when a round takes longer than this: the device hangs.
let roundLimit: UInt32 = 60

#if LIBFUZZER
  @_silgen_name("LLVMFuzzerRunDriver")
  func runLibFuzzer(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
  ) -> Int32

  nonisolated(unsafe) let fuzzer = try VirtioFuzzer()
  var count = CommandLine.argc
  var arguments = CommandLine.unsafeArgv
  exit(
    runLibFuzzer(&count, &arguments) { bytes, count in
      let raced = count > 0 && bytes?[0] ?? 0 >= 0xC0
      var source = FuzzSource(bytes: Array(UnsafeBufferPointer(start: bytes, count: count).dropFirst()))
      alarm(roundLimit)
      do { try fuzzer.round(&source, raced: raced) } catch {
        Log.raw("fuzz-virtio: \(error)\n")
        abort()
      }
      return 0
    })
#else
  var seed: UInt64 = 1
  var seconds: UInt64 = 60
  var rounds = Int.max
  var steps = 200
  var index = 1
  while index < CommandLine.arguments.count {
    let name = CommandLine.arguments[index]
    guard index + 1 < CommandLine.arguments.count, let value = UInt64(CommandLine.arguments[index + 1]) else {
      Log.raw("usage: fuzz-virtio [--seed N] [--seconds N] [--rounds N] [--steps N]\n")
      exit(2)
    }
    switch name {
    case "--seed": seed = value
    case "--seconds": seconds = value
    case "--rounds":
      rounds = Int(value)
      seconds = UInt64.max / 1_000_000_000
    case "--steps": steps = Int(value)
    default:
      Log.raw("fuzz-virtio: unknown option \(name)\n")
      exit(2)
    }
    index += 2
  }

  let fuzzer = try VirtioFuzzer()
  let start = Clock.now()
  var round = 0
  while round < rounds, (Clock.now() - start) / 1_000_000_000 < seconds {
    var source = FuzzSource(seed: seed &+ UInt64(round), steps: steps)
    alarm(roundLimit)
    do { try fuzzer.round(&source, raced: round % 2 == 1) } catch {
      Log.raw("fuzz-virtio: seed \(seed &+ UInt64(round)), \(round % 2 == 1 ? "raced" : "alone"): \(error)\n")
      exit(1)
    }
    round += 1
  }
  let done = fuzzer.statistics
  Log.raw(
    "fuzz-virtio: seed \(seed), \(done.rounds) rounds (\(done.racedRounds) raced), \(done.steps) steps, "
      + "\(done.used) requests returned, \(done.needsReset) rounds ended in DEVICE_NEEDS_RESET, "
      + "\((Clock.now() - start) / 1_000_000_000) s, nothing found\n")
#endif
