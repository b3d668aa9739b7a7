// A fuzzer of the virtio devices.
//
//   fuzz-virtio [--seed N] [--seconds N] [--rounds N] [--steps N]
//
// Without limits it runs for 60 seconds. The choices of round r follow from seed + r, except that in every second round
// another thread writes to the rings at the same time; a failure names the seed of its round. Built with
//
//   swift build --product fuzz-virtio --sanitize fuzzer -Xswiftc -DLIBFUZZER --scratch-path .build-fuzz
//
// it takes libFuzzer's arguments instead, and libFuzzer's proposals for its choices.
import CLinux
import System
import TestSupport

/// Seconds that a round may take: a round that takes longer hangs, and SIGALRM ends the process.
private let roundLimit: UInt32 = 60

#if LIBFUZZER
  private let fuzzer: VirtioFuzzer = {
    do { return try VirtioFuzzer() } catch { die("fuzz-virtio: \(error)") }
  }()

  @_cdecl("LLVMFuzzerTestOneInput")
  public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    let input = Array(UnsafeBufferPointer(start: bytes, count: count))
    // A quarter of the inputs is raced.
    let raced = input.first.map { $0 >= 0xC0 } ?? false
    var source = FuzzSource(bytes: Array(input.dropFirst()))
    alarm(roundLimit)
    do { try fuzzer.round(&source, raced: raced) } catch {
      Log.raw("fuzz-virtio: \(error)\n")
      abort()
    }
    return 0
  }
#else
  @main
  struct FuzzVirtio {
    static func main() throws {
      var seed: UInt64 = 1
      var seconds: UInt64 = 60
      var rounds = Int.max
      var steps = 200
      var arguments = CommandLine.arguments.dropFirst()
      while let name = arguments.popFirst() {
        guard let value = arguments.popFirst().flatMap({ Int($0) }), value >= 0 else { usage() }
        switch name {
        case "--seed": seed = UInt64(value)
        case "--seconds": seconds = UInt64(value)
        case "--rounds":
          rounds = value
          seconds = .max
        case "--steps": steps = value
        default: usage()
        }
      }

      let fuzzer = try VirtioFuzzer()
      let start = Clock.now()
      var round = 0
      while round < rounds, (Clock.now() - start) / 1_000_000_000 < seconds {
        let raced = round % 2 == 1
        var source = FuzzSource(seed: seed &+ UInt64(round), steps: steps)
        alarm(roundLimit)
        do { try fuzzer.round(&source, raced: raced) } catch {
          Log.raw("fuzz-virtio: seed \(seed &+ UInt64(round)), \(raced ? "raced" : "alone"): \(error)\n")
          exit(1)
        }
        round += 1
      }
      let done = fuzzer.statistics
      Log.raw(
        "fuzz-virtio: seed \(seed), \(done.rounds) rounds (\(done.racedRounds) raced), \(done.steps) steps, "
          + "\(done.used) requests returned, \(done.needsReset) rounds ended in DEVICE_NEEDS_RESET, "
          + "\((Clock.now() - start) / 1_000_000_000) s, nothing found\n")
    }

    private static func usage() -> Never {
      Log.raw("usage: fuzz-virtio [--seed N] [--seconds N] [--rounds N] [--steps N]\n")
      exit(2)
    }
  }
#endif
