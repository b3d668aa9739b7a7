import CContainer
import CLinux
import Foundation
import OCI
import Testing

@testable import Container

/// Filters as the kernel carries them out.
@Suite(.serialized) struct SeccompKernelTests {
  private typealias SystemCall = @convention(c) (Int, UInt, UInt, UInt, UInt, UInt, UInt) -> Int

  /// The same rules with an errno in place of every action, so that calls can be tried that would do something.
  private func harmless(_ profile: Seccomp) -> Seccomp {
    var result = profile
    result.defaultAction = .errno
    result.defaultErrno = 1000
    for index in result.syscalls.indices {
      result.syscalls[index].errno = result.syscalls[index].action == .allow ? 1001 : 1002
      result.syscalls[index].action = .errno
    }
    return result
  }

  /// Every system call of docker's profile, by a child under the filter whose calls all end in an errno: it can only write to
  /// shared memory, and is killed at the end.
  @Test func theKernelDecidesAsDockersProfileSays() throws {
    let profile = harmless(SeccompFilterTests.docker)
    let program = try SeccompCompiler.compile(profile)
    let reference = Reference(profile)
    var generator = SplitMix(state: 3)
    let arguments = Array(interestingArguments(profile, &generator).prefix(24))
    // uretprobe and uprobe are the kernel's own: filters do not apply to them, and who calls them without a probe is killed.
    let numbers = (0...700).filter { $0 != 335 && $0 != 336 }
    let count = numbers.count * arguments.count
    let size = (count + 1) * 4
    let memory = try #require(mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
    defer { munmap(memory, size) }
    let results = memory.bindMemory(to: Int32.self, capacity: count + 1)
    let call = unsafeBitCast(dlsym(nil, "syscall"), to: SystemCall.self)
    let outcome = inChild { () -> String in
      let flat = arguments.flatMap { $0.map { UInt($0) } }
      // The first time, the loop allocates; later, when calls for memory are answered with an errno too, it does not.
      sweep(call, [Int(SYS_getpid), Int(SYS_getpid)], flat, results)
      guard ccontainer_prctl(PR_SET_NO_NEW_PRIVS, 1, 0) == 0 else { return "no_new_privs" }
      let owner = getpid()
      var pidfd: Int32 = -1
      let killer = ccontainer_clone(0, -1, &pidfd)
      if killer == 0 {
        // Ends who cannot end itself, when it is done or takes too long.
        for _ in 0..<2000 where results[count] == 0 { usleep(5000) }
        kill(owner, SIGKILL)
        _exit(0)
      }
      _ = try program.install()
      sweep(call, numbers, flat, results)
      clinux_store32(results + count, 1)
      while true {}
    }
    #expect(clinux_wtermsig(outcome.status) == SIGKILL)
    try #require(results[count] == 1, "\(outcome.text)")
    var seen: Set<Int32> = []
    var at = 0
    for number in numbers {
      for values in arguments {
        let expected = reference.verdict(
          Call(number: UInt32(number), architecture: ccontainer_audit_x86_64, arguments: values))
        seen.insert(results[at])
        if let expected, results[at] != Int32(expected & 0xffff) {
          Issue.record("call \(number) \(values): \(results[at]) instead of \(expected & 0xffff)")
          return
        }
        at += 1
      }
    }
    #expect(seen == [1000, 1001, 1002, ENOSYS])
  }

  private func sweep(
    _ call: SystemCall, _ numbers: [Int], _ flat: [UInt], _ results: UnsafeMutablePointer<Int32>
  ) {
    flat.withUnsafeBufferPointer { flat in
      var at = 0
      for number in numbers {
        var argument = 0
        while argument < flat.count {
          let result = call(
            number, flat[argument], flat[argument + 1], flat[argument + 2], flat[argument + 3], flat[argument + 4],
            flat[argument + 5])
          results[at] = result == -1 ? clinux_errno() : Int32(truncatingIfNeeded: result)
          at += 1
          argument += 6
        }
      }
    }
  }

  private func verdict(_ action: Seccomp.Action, errno: UInt32? = nil, flags: [String] = []) -> ChildOutcome {
    var profile = Seccomp(defaultAction: .allow)
    var rule = Seccomp.Rule(names: ["getppid"], action: action)
    rule.errno = errno
    profile.syscalls = [rule]
    profile.flags = flags
    return inChild { () -> String in
      let program = try SeccompCompiler.compile(profile)
      _ = ccontainer_prctl(PR_SET_NO_NEW_PRIVS, 1, 0)
      _ = try program.install()
      let result = getppid()
      // The C library takes this call for one that cannot fail, and gives what the kernel gave.
      return result < 0 ? "errno \(-result)" : "went on"
    }
  }

  @Test func everyActionIsTheKernels() {
    #expect(verdict(.allow).text == "went on")
    #expect(verdict(.log).text == "went on")
    #expect(verdict(.errno).text == "errno 1")
    #expect(verdict(.errno, errno: 77).text == "errno 77")
    // Nobody traces.
    #expect(verdict(.trace).text == "errno 38")
    #expect(clinux_wtermsig(verdict(.trap).status) == SIGSYS)
    #expect(clinux_wtermsig(verdict(.killThread).status) == SIGSYS)
    #expect(clinux_wtermsig(verdict(.killProcess).status) == SIGSYS)
  }

  @Test func everyFlagIsTaken() {
    let flags = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
    #expect(verdict(.errno, flags: flags).text == "errno 1")
    #expect(
      verdict(.errno, flags: ["SECCOMP_FILTER_FLAG_NO_SUCH"]).text.contains("SECCOMP_FILTER_FLAG_NO_SUCH is not known"))
  }

  /// The listener goes from the child over the parent to an agent, which answers for the child.
  @Test func anAgentAnswersForTheProcess() throws {
    let scratch = ProcessScratch()
    let path = "\(scratch.path)/agent"
    let agent = ccontainer_local_socket(path, Int32(SOCK_STREAM.rawValue), 1)
    try #require(agent >= 0)
    defer { close(agent) }
    var profile = Seccomp(defaultAction: .allow)
    profile.syscalls = [Seccomp.Rule(names: ["getppid"], action: .notify)]
    profile.listenerPath = path
    profile.listenerMetadata = "the metadata"
    profile.flags = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
    var process = OCI.Process()
    process.args = [Array("/bin/true".utf8)]
    // Without no_new_privs, the filter needs a capability that the process does not have in the end.
    process.capabilities = OCI.Process.Capabilities(all: 1)
    var linux = Linux()
    linux.seccomp = profile
    let plan = try ProcessPlan.prepare(
      process: process, linux: linux, newKeyring: false, cache: nil, inUserNamespace: false)
    let notifies = plan.notifiesSeccomp
    #expect(notifies)
    var ends: [Int32] = [-1, -1]
    var answers: [Int32] = [-1, -1]
    pipe(&ends)
    pipe(&answers)
    var pidfd: Int32 = -1
    let pid = ccontainer_clone(0, -1, &pidfd)
    if pid == 0 { notifyingChild(plan, ends[1], answers[0]) }
    defer {
      for descriptor in ends + answers + [pidfd] { close(descriptor) }
    }
    var number: Int32 = -1
    read(ends[0], &number, 4)
    var status = ContainerStatus(
      StateRecord(
        id: "c1", version: "1.3.0", created: "", bundle: "/b", rootfs: "/b/rootfs", owner: 0, annotations: [],
        placement: try CgroupPlacement.decide(cgroupsPath: "/none", id: "c1", systemd: false, rootless: false),
        namespaces: []), .creating)
    status.pid = pid
    try SeccompListener.send(listenerOf: pidfd, number: number, seccomp: profile, status: status)
    let connection = ccontainer_accept(agent)
    defer { close(connection) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    var listener: Int32 = -1
    let count = ccontainer_receive(connection, &bytes, 4096, &listener)
    defer { close(listener) }
    #expect(
      String(decoding: bytes[..<count], as: UTF8.self)
        == #"{"ociVersion":"1.3.0","fds":["seccompFd"],"pid":\#(pid),"metadata":"the metadata","state":{"ociVersion":"1.3.0","id":"c1","status":"creating","pid":\#(pid),"bundle":"/b"}}"#
    )
    var byte: UInt8 = 1
    write(answers[1], &byte, 1)
    var notification = seccomp_notif()
    let receive = UInt(0xc050_2100)  // SECCOMP_IOCTL_NOTIF_RECV
    #expect(clinux_ioctl_pointer(listener, receive, &notification) == 0)
    #expect(notification.pid == UInt32(pid) && notification.data.nr == 110)
    var answer = seccomp_notif_resp()
    answer.id = notification.id
    answer.val = 4242
    #expect(clinux_ioctl_pointer(listener, UInt(0xc018_2101), &answer) == 0)  // SECCOMP_IOCTL_NOTIF_SEND
    var result: Int32 = -1
    read(ends[0], &result, 4)
    #expect(result == 4242)
    var ended: Int32 = 0
    #expect(ccontainer_wait(pid, 0, &ended) == pid && ended == 0)
  }

  private func notifyingChild(_ plan: borrowing ProcessPlan, _ output: Int32, _ input: Int32) {
    do throws(ContainerError) {
      try plan.apply()
      guard var number = try plan.installSeccomp() else { _exit(2) }
      write(output, &number, 4)
      var byte: UInt8 = 0
      read(input, &byte, 1)
      var result = Int32(getppid())
      write(output, &result, 4)
      try plan.resolveExecutable()
      try plan.execute()
    } catch { _exit(3) }
  }

  /// A filter that allows nothing but the execution and the end of a static program's life.
  @Test func theFilterComesLast() {
    var process = ProcessPlanTests.shell("cat /proc/self/status")
    process.noNewPrivileges = false
    var linux = Linux()
    linux.seccomp = SeccompFilterTests.docker
    let text = ProcessPlanTests.run(process, linux: linux).text
    #expect(text.contains("Seccomp:\t2\n") && text.contains("Seccomp_filters:\t1\n"))
    #expect(text.contains("CapPrm:\t" + String(format: "%016x", DockerDefaults.capabilities)))
    // By a profile that refuses everything from the program on, without capset(2) being among what it allows.
    process.noNewPrivileges = true
    process.args = [Array("/bin/true".utf8)]
    var strict = Seccomp(defaultAction: .killProcess)
    strict.syscalls = [Seccomp.Rule(names: ["execve"], action: .allow)]
    linux.seccomp = strict
    let outcome = ProcessPlanTests.run(process, linux: linux)
    #expect(clinux_wtermsig(outcome.status) == SIGSYS && outcome.text == "")
  }
}
