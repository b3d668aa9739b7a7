import CLibvirt
import Machine
import Testing

@testable import Libvirt

/// What libvirt and QEMU say, and what is said to the kernel.
@Suite struct WordsTests {
  @Test func qemusUserIsReadFromTheDomain() {
    let xml = """
      <domain><seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-1</label></seclabel>
      <seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+106</label><imagelabel>+1:+2</imagelabel></seclabel></domain>
      """
    #expect(Domain.user(in: xml) == 64055)
    #expect(Domain.user(in: "<seclabel model='dac'><label>+:+</label>") == nil)
    #expect(Domain.user(in: "<seclabel model='dac'><label>+99999999999:+1</label>") == nil)
    #expect(Domain.user(in: "<seclabel model='dac'><label>qemu:qemu</label>") == nil)
    #expect(Domain.user(in: "") == nil)
  }

  @Test func versionsAreReadable() {
    #expect(Connection.text(9_000_000) == "9.0.0" && Connection.text(7_002_019) == "7.2.19")
  }

  @Test func lifeCycleEvents() {
    func news(_ event: virDomainEventType, _ detail: UInt32) -> DomainNews {
      DomainNews(news: 0, event: Int32(event.rawValue), detail: Int32(detail))
    }
    #expect(news(VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_GUEST.rawValue) == .shutDown)
    #expect(news(VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_FINISHED.rawValue) == .shutDown)
    #expect(news(VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_HOST.rawValue) == .other)
    #expect(news(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN.rawValue) == .stopped)
    #expect(news(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_DESTROYED.rawValue) == .destroyed)
    #expect(news(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_FAILED.rawValue) == .failed)
    #expect(news(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_CRASHED.rawValue) == .crashed)
    #expect(news(VIR_DOMAIN_EVENT_CRASHED, 0) == .crashed)
    #expect(
      news(VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR.rawValue) == .paused(ioError: true))
    #expect(news(VIR_DOMAIN_EVENT_STARTED, 0) == .other)
    #expect(DomainNews(news: 1, event: 0, detail: 0) == .reboot)
    #expect(DomainNews(news: 2, event: 0, detail: 0) == .connectionLost)
  }

  @Test func whatQEMUSaidIsFoundInItsLog() {
    let log = """
      2026-01-01 00:00:00.000+0000: starting up libvirt version: 9.0.0
      LC_ALL=C \\
      /usr/bin/qemu-system-x86_64 \\
      -name guest=qemu-system-x86_64: no error,debug-threads=on \\
      -msg timestamp=on
      2026-01-01T00:00:01.000000Z qemu-system-x86_64: cannot do \u{1B}[2Jthis
      2026-01-01T00:00:02.000000Z qemu-system-x86_64: terminating on signal 15 from pid 1 (libvirtd)
      2026-01-01 00:00:03.000+0000: shutting down, reason=failed

      """
    #expect(QEMULog.reason(in: Array(log.utf8)) == "cannot do ?[2Jthis")
    #expect(QEMULog.reason(in: []) == "" && QEMULog.reason(in: [10, 10]) == "")
  }

  @Test func lastWords() {
    #expect(LibvirtSession.isLastWord("[    1.247269] reboot: System halted\r\n"))
    #expect(!LibvirtSession.isLastWord("[    1.247269] reboot: System halted!\n"))
    #expect(!LibvirtSession.isLastWord(""))
  }

  @Test func theKernelHears() throws {
    var configuration = Configuration()
    configuration.kernel = "k"
    configuration.append = "a=1 -- b"
    #expect(
      try GuestWords.commandLine(configuration, isAccelerated: true)
        == "console=ttyS0 panic=-1 reboot=t no_timer_check a=1 -- b")
    configuration.command = Configuration.Command(rootfs: "/", arguments: [[65]])
    let words = try GuestWords.commandLine(configuration, isAccelerated: false)
    #expect(words.hasSuffix(" quiet a=1 -- b -- ttyS1") && words.contains(" rdinit=/vmrun/init "))
    configuration.append = String(repeating: "x", count: 2000)
    #expect(throws: LibvirtError.self) { try GuestWords.commandLine(configuration, isAccelerated: false) }
  }

  @Test func theCheckIsJSON() {
    var result = Check.Result()
    (result.library, result.uri, result.error, result.machines) = (
      "9", "qemu:///session", "a \"b\"\n", ["microvm", "q35"]
    )
    #expect(
      result.text
        == #"{"library":"9","uri":"qemu:///session","connected":false,"error":"a \"b\"\u000a","hypervisor":null,"#
        + #""kvm":false,"emulation":false,"machines":["microvm","q35"],"fix":null}"# + "\n")
  }
}
