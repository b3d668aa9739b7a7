import Testing

@testable import Isolation

@Suite struct FindingsTests {
  private func read(_ text: String) throws -> (Findings, [String]) {
    var reader = FindingsReader()
    let points = try reader.take(Array(text.utf8))
    return (reader.findings, points)
  }

  @Test func linesPointsAndEnd() throws {
    let (findings, points) = try read("kernel.release=6.1\nsync=files1\ncall=1\ncall=2\r\nend=1\nrest")
    #expect(findings["kernel.release"] == "6.1")
    #expect(findings.all("call") == ["1", "2"])
    #expect(points == ["files1", "end"])
    #expect(findings["rest"] == nil)
    #expect(findings["sync"] == nil)
  }

  @Test func piecesOfAnySize() throws {
    let bytes = Array("a=1\nsync=x\nb=2=3\nend=1\n".utf8)
    for size in 1...bytes.count {
      var reader = FindingsReader()
      var points: [String] = []
      for start in stride(from: 0, to: bytes.count, by: size) {
        points += try reader.take(Array(bytes[start..<min(bytes.count, start + size)]))
      }
      #expect(points == ["x", "end"])
      #expect(reader.findings["b"] == "2=3")
    }
  }

  @Test(arguments: [
    "no border\n", "=value\n", "UPPER=1\n", "a b=1\n", "\n", "a=\u{1B}[31m\n", "a=\u{0}\n", "a=é\n", "\u{FFFD}=1\n",
    String(repeating: "n", count: 49) + "=1\n",
  ]) func hostileLines(_ text: String) {
    #expect(throws: IsolationError.self) { try read(text) }
  }

  @Test func longLines() {
    let long = String(repeating: "x", count: Findings.mostLine)
    #expect(throws: IsolationError.self) { try read("a=\(long)\n") }
    // Also before its end has come.
    #expect(throws: IsolationError.self) { try read(long + "x") }
  }

  @Test func floodsEnd() throws {
    var reader = FindingsReader()
    #expect(throws: IsolationError.self) {
      for _ in 0...Findings.mostLines { _ = try reader.take(Array("a=1\n".utf8)) }
    }
    var second = FindingsReader()
    let line = Array("a=\(String(repeating: "x", count: 60_000))\n".utf8)
    #expect(throws: IsolationError.self) {
      for _ in 0...(Findings.mostBytes / line.count) { _ = try second.take(line) }
    }
  }

  @Test func ordersThereAndBack() throws {
    var order = ProbeOrder()
    order.isHost = true
    order.sections = [1, 5, 8]
    order.isQuick = true
    order.token = "0123456789ab"
    order.file = "/tmp/x"
    order.port = 4711
    order.calls = 512
    #expect(try ProbeOrder(order.words.map { Array($0.utf8) }) == order)
    #expect(order.processName.utf8.count == 15)
    #expect(order.queueKey > 0 && order.insideQueueKey > 0 && order.queueKey != order.insideQueueKey)
    #expect(throws: IsolationError.self) { try ProbeOrder([Array("token".utf8)]) }
    #expect(throws: IsolationError.self) { try ProbeOrder([Array("other=1".utf8)]) }
  }
}

@Suite struct FileSampleTests {
  private func sample(_ text: String) -> FileSample { FileSample(path: "/proc/x", content: Array(text.utf8)) }
  private func verdict(_ inside: (String, String), _ host: (String, String)) -> FileVerdict {
    FileVerdict.of(inside: (sample(inside.0), sample(inside.1)), host: (sample(host.0), sample(host.1)))
  }

  @Test func textThereAndBack() throws {
    let first = sample("MemFree: 1234 kB\nzero 0 and 7\n")
    let back = try FileSample(first.text)
    #expect(back == first)
    #expect(back.numbers.map { $0.value } == [1234, 7])
    #expect(back.numbers.map { $0.place } == [0, 2])
  }

  @Test(arguments: [
    "", "/proc/x", "/proc/x 1", "x 1 ab", "/proc/x z ab", "/proc/x 1 xyz", "/proc/x 1 12345678901234567",
    "/proc/x 1 ab 5",
    "/proc/x 1 ab 1:2:3", "/proc/x 1 ab :", "/proc/x 99999999999 ab",
    "/proc/x 1 ab" + String(repeating: " 1:2", count: FileSample.mostNumbers + 1),
  ]) func hostileSamples(_ text: String) {
    #expect(throws: IsolationError.self) { try FileSample(text) }
  }

  @Test func verdicts() {
    #expect(verdict(("a", "a"), ("a", "a")) == .same)
    #expect(verdict(("", ""), ("", "")) == .different)
    #expect(verdict(("a", "b"), ("a", "b")) == .changesTogether)
    #expect(verdict(("a", "a"), ("b", "b")) == .different)
    // One kernel's memory: as high on both sides, and as much less.
    #expect(verdict(("MemFree 800000", "MemFree 700100"), ("MemFree 800100", "MemFree 700000")) == .changesTogether)
    // Another machine's memory, which happens to shrink as well.
    #expect(verdict(("MemFree 200000", "MemFree 100000"), ("MemFree 800100", "MemFree 700000")) == .different)
    // Clocks run everywhere.
    #expect(verdict(("900 5", "903 5"), ("90000 7", "90003 7")) == .different)
    // Small counters that are close by chance.
    #expect(verdict(("100", "140"), ("100", "141")) == .different)
    // As high, but it went the other way.
    #expect(verdict(("50000", "51000"), ("50000", "49000")) == .different)
    // The largest numbers that a file can hold.
    let most = "\(UInt64.max) \(Int64.max)"
    #expect(verdict((most, "0 0"), ("0 0", most)) == .different)
  }

  @Test func thisMachinesFiles() {
    let samples = SampledFiles.take()
    #expect(samples.count > 40)
    #expect(samples.contains { $0.path == "/proc/stat" })
    #expect(!samples.contains { $0.path == "/proc/kmsg" || $0.path == "/proc/sysrq-trigger" })
  }
}

@Suite struct TextTests {
  @Test func numbers() {
    #expect(Text.number("18446744073709551615".utf8) == .max)
    #expect(Text.number("18446744073709551616".utf8) == nil)
    #expect(Text.number("".utf8) == nil)
    #expect(Text.number("-1".utf8) == nil)
    #expect(Text.signed(Array("-9223372036854775808".utf8)[...]) == nil)
    #expect(Text.signed(Array("-5".utf8)[...]) == -5)
    #expect(Text.hexadecimal("000001fffeffffff") == 0x1_FFFE_FFFFFF)
    #expect(Text.hexadecimal("xyz") == nil)
    #expect(Text.contains(Array("abcabd".utf8), Array("abd".utf8)))
    #expect(!Text.contains(Array("ab".utf8), Array("abd".utf8)))
    #expect(Text.list(["a", "b", "c"], most: 2) == "a, b and 1 more")
  }
}
