import CContainer
import CLinux
import Foundation
import OCI
import Testing

@testable import Container

@Suite(.serialized) struct ProcessExecutableTests {
  private func failure(_ arguments: [String], environment: [String] = ["PATH=/usr/bin:/bin"], uid: UInt32 = 0) -> (
    kind: ContainerError.Kind?, text: String
  ) {
    var process = OCI.Process()
    process.args = arguments.map { Array($0.utf8) }
    process.env = environment.map { Array($0.utf8) }
    process.user.uid = uid
    let outcome = inChild { () -> String in
      let plan = try ProcessPlan.prepare(
        process: process, linux: Linux(), newKeyring: false, cache: nil, inUserNamespace: false)
      return self.carryOut(plan)
    }
    guard let space = outcome.text.firstIndex(of: " "), let raw = UInt8(outcome.text[..<space]) else {
      return (nil, outcome.text)
    }
    return (ContainerError.Kind(rawValue: raw), String(outcome.text[outcome.text.index(after: space)...]))
  }

  private func carryOut(_ plan: borrowing ProcessPlan) -> String {
    do throws(ContainerError) {
      try plan.apply()
      try plan.resolveExecutable()
      try plan.execute()
    } catch {
      return "\(error.kind.rawValue) \(error.description)"
    }
  }

  @Test func messagesAreThoseThatEnginesLookFor() {
    let scratch = ProcessScratch()
    var result = failure(["no-such-program"])
    #expect(result.kind == .commandNotFound)
    #expect(result.text == "exec: \"no-such-program\": executable file not found in $PATH")
    result = failure([""])
    #expect(result.kind == .commandNotFound)
    result = failure(["/no/such"])
    #expect(result.kind == .commandNotFound)
    #expect(result.text == "exec: \"/no/such\": stat /no/such: no such file or directory")
    result = failure(["/etc/passwd/x"])
    #expect(result.kind == .commandNotFound)
    #expect(result.text == "exec: \"/etc/passwd/x\": stat /etc/passwd/x: not a directory")
    result = failure(["/etc/passwd"])
    #expect(result.kind == .commandNotExecutable)
    #expect(result.text == "exec: \"/etc/passwd\": permission denied")
    result = failure(["/etc"])
    #expect(result.kind == .commandNotExecutable)
    #expect(result.text == "exec: \"/etc\": permission denied: it is a directory")
    // What only root may execute is not found by another user.
    let own = scratch.file("tool", "#!/bin/sh\n", mode: 0o700)
    chmod(scratch.path, 0o755)
    result = failure([own], uid: 1234)
    #expect(result.kind == .commandNotExecutable)
    #expect(result.text == "exec: \"\(own)\": permission denied")
    result = failure(["tool"], environment: ["PATH=\(scratch.path)"], uid: 1234)
    #expect(result.kind == .commandNotFound)
  }

  @Test func formatErrorsAreExplained() {
    let scratch = ProcessScratch()
    let script = scratch.file("script", "echo hello\n", mode: 0o755)
    var result = failure([script])
    #expect(result.kind == .commandNotExecutable)
    #expect(result.text.hasPrefix("exec: \"\(script)\": exec format error: "))
    let stray = scratch.file("stray", "#!/no/such/interpreter\n", mode: 0o755)
    result = failure([stray])
    #expect(result.kind == .commandNotFound)
    #expect(result.text.hasPrefix("exec: \"\(stray)\": no such file or directory: the interpreter"))
    result = failure(["/bin/true", String(repeating: "x", count: 200_000)])
    #expect(result.kind == .commandNotExecutable)
    #expect(
      result.text.hasPrefix("exec: \"/bin/true\": argument list too long: 200011 bytes in 2 arguments and 30 bytes"))
  }

  @Test func pathIsSearchedInOrder() {
    let scratch = ProcessScratch()
    for (folder, mode) in [("a", UInt32(0o644)), ("b", 0o755), ("c", 0o755)] {
      mkdir("\(scratch.path)/\(folder)", 0o755)
      _ = scratch.file("\(folder)/tool", "#!/bin/sh\necho from \(folder)\n", mode: mode)
    }
    mkdir("\(scratch.path)/tool", 0o755)
    chmod(scratch.path, 0o755)
    // A folder of that name and a file that is not executable are passed over.
    let path = "PATH=\(scratch.path):\(scratch.path)/a:\(scratch.path)/b:\(scratch.path)/c"
    #expect(failure(["tool"], environment: [path]).text == "from b\n")
    #expect(failure(["sh", "-c", "echo default"], environment: []).text == "default\n")
    #expect(failure(["sh", "-c", "echo empty"], environment: ["PATH="]).kind == .commandNotFound)
  }

  @Test func listsOfNumbers() throws {
    #expect(try CPUMask("0-3,7", of: "x").words == [0x8f])
    #expect(try CPUMask("64,1", of: "x").words == [2, 1])
    #expect(try CPUMask("8191", of: "x").words.count == 128)
    #expect(try CPUMask("", of: "x", emptyAllowed: true).isEmpty)
    for bad in ["", "a", "3-1", "1-", "-1", "1,,2", "8192", "99999999999999999999", "1-2-3", "0-8192"] {
      #expect(throws: ContainerError.self) { try CPUMask(bad, of: "x") }
    }
  }

  @Test func sysctlKeysArePathsBelowProcSys() throws {
    #expect(try Identity.path(of: "net.ipv4.ip_forward") == "net/ipv4/ip_forward")
    #expect(try Identity.path(of: "net/ipv4/conf/eth0.1/forwarding") == "net/ipv4/conf/eth0.1/forwarding")
    #expect(try Identity.path(of: "net.ipv4.conf.eth0/1.forwarding") == "net/ipv4/conf/eth0.1/forwarding")
    for bad in ["", ".", "..", "net..ipv4", "net/../../x", "/etc/passwd", "net.//.//.x", "a.", ".a", "net/./x"] {
      #expect(throws: ContainerError.self, "\(bad)") { try Identity.path(of: bad) }
    }
  }

  @Test func namesAndParametersOfNewNamespaces() {
    var spec = Spec()
    spec.hostname = "inside"
    spec.domainname = "example"
    spec.linux.sysctl = [.init(name: "net.ipv4.ip_forward", value: "1"), .init(name: "kernel.msgmax", value: "1111")]
    let before = try? String(contentsOfFile: "/proc/sys/kernel/msgmax", encoding: .utf8)
    let outcome = inChild { () -> String in
      unshare(CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWIPC)
      try Identity.apply(spec: spec, proc: open("/proc", O_PATH))
      let host = try String(contentsOfFile: "/proc/sys/kernel/hostname", encoding: .utf8)
      let domain = try String(contentsOfFile: "/proc/sys/kernel/domainname", encoding: .utf8)
      let forward = try String(contentsOfFile: "/proc/sys/net/ipv4/ip_forward", encoding: .utf8)
      let most = try String(contentsOfFile: "/proc/sys/kernel/msgmax", encoding: .utf8)
      return host + domain + forward + most
    }
    #expect(outcome.text == "inside\nexample\n1\n1111\n")
    #expect((try? String(contentsOfFile: "/proc/sys/kernel/msgmax", encoding: .utf8)) == before)
  }
}
