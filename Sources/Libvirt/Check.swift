import CLibvirt
import CLinux
import Machine
import System

/// What libvirt offers here, for `vmrun doctor`: proven by connecting.
public enum Check {
  /// How long the daemon may take, in nanoseconds.
  private static let limit: UInt64 = 5_000_000_000

  /// One JSON object in one line: "library", "uri", "connected", "error", "hypervisor", "kvm", "emulation", "machines", "fix".
  public static func json() -> String {
    var result = Result()
    do throws(LibvirtError) {
      let rung = try Rung.choose()
      result.uri = rung.uri
      if rung == .rootSession {
        // The session's folders are made where runs put theirs.
        _ = try Staging(bases: Staging.bases(user: 0, runtimeFolder: nil), size: 0, isShared: false).finish()
      }
      try rung.enter()
      try ask(rung, &result)
    } catch {
      result.error = error.description
      result.fix = fix(error)
    }
    return result.text
  }

  struct Result: Sendable {
    var library = Connection.library
    var uri = geteuid() == 0 ? "qemu:///system" : "qemu:///session"
    var isConnected = false
    var error: String?
    var hypervisor: String?
    var hasKVM = false
    var hasEmulation = false
    var machines: [String] = []
    var fix: String?

    var text: String {
      var text = "{\"library\":" + BackendReport.quoted(library)
      text += ",\"uri\":" + BackendReport.quoted(uri)
      text += ",\"connected\":" + (isConnected ? "true" : "false")
      text += ",\"error\":" + optional(error)
      text += ",\"hypervisor\":" + optional(hypervisor)
      text += ",\"kvm\":" + (hasKVM ? "true" : "false")
      text += ",\"emulation\":" + (hasEmulation ? "true" : "false")
      text += ",\"machines\":["
      for (index, machine) in machines.enumerated() { text += (index == 0 ? "" : ",") + BackendReport.quoted(machine) }
      text += "],\"fix\":" + optional(fix)
      return text + "}\n"
    }

    private func optional(_ text: String?) -> String { text.map { BackendReport.quoted($0) } ?? "null" }
  }

  private final class Box: @unchecked Sendable {
    let lock = Lock()
    var answer: Swift.Result<Result, LibvirtError>?
  }

  /// Asks the driver on a thread of its own, for as long as the limit lets it.
  private static func ask(_ rung: Rung, _ result: inout Result) throws(LibvirtError) {
    let box = Box()
    let done = SharedEvent(try naming { () throws(SystemError) in try EventFD() })
    let start = result
    let thread = try naming { () throws(SystemError) in
      try Thread(stackSize: 2 << 20) {
        var result = start
        let answer: Swift.Result<Result, LibvirtError>
        do throws(LibvirtError) {
          try fill(&result, rung)
          answer = .success(result)
        } catch {
          answer = .failure(error)
        }
        box.lock.withLock { box.answer = answer }
        done.event.signal()
      }
    }
    _ = consume thread
    var entry = pollfd(fd: done.event.descriptor.rawValue, events: Int16(POLLIN), revents: 0)
    // unsafe: poll(2) is given one entry.
    _ = unsafe poll(&entry, 1, Int32(limit / 1_000_000))
    guard let answer = box.lock.withLock({ box.answer }) else {
      throw LibvirtError("\(rung.uri): the daemon does not answer within \(Duration.text(limit))")
    }
    result = try answer.get()
  }

  private static func fill(_ result: inout Result, _ rung: Rung) throws(LibvirtError) {
    guard clibvirt_start() == 0 else { throw .last("libvirt") }
    let connection = try Connection(rung.uri)
    result.isConnected = true
    result.hypervisor = connection.hypervisor.map { "QEMU " + $0 }
    for machine in [DomainXML.Machine.microvm, .q35] {
      let emulates = connection.offers(machine.rawValue, accelerated: false)
      let accelerates = connection.offers(machine.rawValue, accelerated: true)
      if emulates || accelerates { result.machines.append(machine.rawValue) }
      result.hasEmulation = result.hasEmulation || emulates
      result.hasKVM = result.hasKVM || accelerates
    }
    if result.machines.isEmpty {
      result.error = "libvirt finds no QEMU for x86_64"
      result.fix = Rung.packages
    }
  }

  private static func fix(_ error: LibvirtError) -> String {
    guard Rung.daemons.contains(where: { can($0, X_OK) }) else { return Rung.packages }
    return geteuid() == 0 ? Rung.startCommand : "systemctl --user start libvirtd || libvirtd -d"
  }
}

/// An event that a closure may keep.
private final class SharedEvent: Sendable {
  let event: EventFD
  init(_ event: consuming EventFD) { self.event = event }
}
