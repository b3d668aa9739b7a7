import CLinux
import System
import TestSupport
import Testing

@testable import Kernels

/// What fetching stands on; the whole of it is tried end to end.
@Suite struct FetchTests {
  @Test func dependency() {
    let text =
      "linux-image-cloud-amd64\n  PreDepends: x\n  Depends: linux-image-6.1.0-56-cloud-amd64\n  Depends: linux-image-7-b\n"
    #expect(KernelFetch.dependency(Array(text.utf8)) == "linux-image-6.1.0-56-cloud-amd64")
    for bad in [
      "", "Depends: linux-image-cloud", "Depends: linux-image-6;rm -rf", "  Depends: linux-image-6/../x",
      "Suggests: linux-image-6.1", "Depends: linux-image-6.1 (= 1)",
    ] {
      #expect(KernelFetch.dependency(Array(bad.utf8)) == nil, "\(bad)")
    }
  }

  @Test func announcement() {
    let found = KernelFetch.announcement(Array("'http://mirror/x.deb' x_1_amd64.deb 27123456 SHA256:00\n".utf8))
    #expect(found?.name == "x_1_amd64.deb" && found?.size == 27_123_456)
    for bad in ["", "a b", "a b c", "a b -1 d"] { #expect(KernelFetch.announcement(Array(bad.utf8)) == nil) }
  }

  @Test func environmentAndPrograms() throws {
    let shell = try #require(Program.find("sh"))
    let outcome = try Program.run(shell, ["-c", "echo $LC_ALL; pwd; echo broken >&2; exit 3"], in: "/usr")
    #expect(outcome.ending == .exited(3))
    #expect(outcome.output == Array("C\n/usr\n".utf8))
    #expect(outcome.complaint == "broken")
    #expect(Program.find("no-such-program-here") == nil)
    #expect(throws: KernelsError.self) { try Program.run("/nonexistent", []) }
    let killed = try Program.run(shell, ["-c", "kill -9 $$"])
    #expect(killed.ending == .signalled(9))
  }

  @Test func programsThatTakeTooLongEndWithAllTheyStarted() throws {
    let folder = try TemporaryFolder()
    let start = Clock.now()
    let outcome = try Program.run(
      "/bin/sh", ["-c", "sleep 60 & echo $! > '\(folder.path)/pid'; wait"], milliseconds: 300)
    #expect(outcome.ending == .timedOut)
    #expect(Clock.now() - start < 5_000_000_000)
    let pid = try #require(Int32(String(decoding: try folder.read("pid"), as: UTF8.self).dropLast()))
    for _ in 0..<100 where Listing.isFolder("/proc/\(pid)") && TextFile.line("/proc/\(pid)/status")?.isEmpty == false {
      let state = TextFile.read("/proc/\(pid)/stat").map { String(decoding: $0, as: UTF8.self) } ?? ""
      if state.contains(") Z ") { break }
      usleep(20_000)
    }
    let state = TextFile.read("/proc/\(pid)/stat").map { String(decoding: $0, as: UTF8.self) } ?? ") Z "
    #expect(state.contains(") Z ") || state.isEmpty)
  }
}
