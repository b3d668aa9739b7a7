import CLibvirt
import CLinux
import System

/// A connection to one of libvirt's drivers. Closing it ends the domains that it started.
@safe final class Connection: @unchecked Sendable {
  private let raw: virConnectPtr
  let uri: String

  /// How often a session's daemon is looked for that another process is just starting, and microseconds between two looks.
  private static let patience = 20
  private static let pause: UInt32 = 100_000

  /// Connects to `uri`, which may start a daemon. Of several that start a session's daemon at once, libvirt lets all but one fail.
  init(_ uri: String) throws(LibvirtError) {
    var found: virConnectPtr?
    for attempt in 0..<(uri.hasSuffix("session") ? Self.patience : 1) {
      if attempt > 0 { _ = usleep(Self.pause) }
      // unsafe: the string lives during the call.
      unsafe found = clibvirt_open(uri)
      if unsafe found != nil { break }
    }
    guard let raw = unsafe found else { throw .last("libvirt \(uri)") }
    unsafe self.raw = raw
    self.uri = uri
  }

  deinit { _ = unsafe virConnectClose(raw) }

  /// Tells `watcher` of everything that happens to the domain called `name`, for the process's life.
  func watch(_ name: String, _ watcher: any DomainWatcher) throws(LibvirtError) {
    let box = unsafe Unmanaged.passRetained(WatcherBox(watcher))
    // The C side keeps the pointer.
    let copy = unsafe strdup(name)
    // unsafe: box and name live for ever.
    let result: Int32 = unsafe clibvirt_watch(
      raw, copy,
      { context, news, event, detail in
        // unsafe: context is the box, which is never released.
        guard let context = unsafe context else { return }
        let box = unsafe Unmanaged<WatcherBox>.fromOpaque(context).takeUnretainedValue()
        box.watcher.domain(DomainNews(news: news, event: event, detail: detail))
      }, box.toOpaque())
    guard result == 0 else { throw .last("libvirt \(uri)") }
  }

  /// Whether the driver can run `machine` by KVM, or by emulation.
  func offers(_ machine: String, accelerated: Bool) -> Bool {
    // unsafe: the strings live during the call; the text is freed once.
    guard
      let text = unsafe virConnectGetDomainCapabilities(raw, nil, "x86_64", machine, accelerated ? "kvm" : "qemu", 0)
    else { return false }
    unsafe free(text)
    return true
  }

  /// The hypervisor's version as "7.2.19"; nil when it cannot be asked.
  var hypervisor: String? {
    var version: UInt = 0
    // unsafe: the call writes the one number.
    guard unsafe virConnectGetVersion(raw, &version) == 0, version > 0 else { return nil }
    return Self.text(version)
  }

  /// The library's version.
  static var library: String {
    var version: UInt = 0
    // unsafe: the call writes the one number; neither driver is asked for.
    guard unsafe virGetVersion(&version, nil, nil) == 0 else { return "" }
    return text(version)
  }

  /// 9000000 is 9.0.0 (libvirt-host.h).
  static func text(_ version: UInt) -> String { "\(version / 1_000_000).\(version / 1000 % 1000).\(version % 1000)" }

  /// Starts the domain of `xml`, which nobody defines: it goes with its end, and with this connection.
  func start(_ xml: String) throws(LibvirtError) -> Domain {
    // unsafe: the string lives during the call.
    guard let domain = unsafe virDomainCreateXML(raw, xml, UInt32(VIR_DOMAIN_START_AUTODESTROY.rawValue)) else {
      throw .last("libvirt cannot start the virtual machine")
    }
    return unsafe Domain(domain)
  }
}

private final class WatcherBox {
  let watcher: any DomainWatcher
  init(_ watcher: any DomainWatcher) { self.watcher = watcher }
}

/// Who is told of a domain's life. Called on the event loop's thread.
protocol DomainWatcher: AnyObject, Sendable {
  func domain(_ news: DomainNews)
}

/// What happens to a domain, as far as it matters to who runs it.
enum DomainNews: Equatable, Sendable {
  /// The guest has switched itself off.
  case shutDown
  /// The guest was reset.
  case reboot
  /// QEMU failed, and whether it crashed.
  case failed
  case crashed
  /// Somebody ended it.
  case destroyed
  /// It is gone, after what was told before.
  case stopped
  /// Somebody has paused it, or QEMU did because of an I/O error.
  case paused(ioError: Bool)
  /// The connection to libvirt is gone.
  case connectionLost
  /// Nothing that matters.
  case other

  /// What libvirt says (virDomainEventType and its details).
  init(news: Int32, event: Int32, detail: Int32) {
    switch UInt32(bitPattern: news) {
    case CLIBVIRT_NEWS_REBOOT.rawValue: self = .reboot
    case CLIBVIRT_NEWS_CLOSED.rawValue: self = .connectionLost
    default: self.init(event: UInt32(bitPattern: event), detail: UInt32(bitPattern: detail))
    }
  }

  private init(event: UInt32, detail: UInt32) {
    switch event {
    case VIR_DOMAIN_EVENT_SHUTDOWN.rawValue:
      // By the host means by somebody's call, or a signal to QEMU: what follows says how it ended.
      self = detail == VIR_DOMAIN_EVENT_SHUTDOWN_HOST.rawValue ? .other : .shutDown
    case VIR_DOMAIN_EVENT_CRASHED.rawValue: self = .crashed
    case VIR_DOMAIN_EVENT_SUSPENDED.rawValue:
      self = .paused(ioError: detail == VIR_DOMAIN_EVENT_SUSPENDED_IOERROR.rawValue)
    case VIR_DOMAIN_EVENT_STOPPED.rawValue:
      switch detail {
      case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN.rawValue: self = .stopped
      case VIR_DOMAIN_EVENT_STOPPED_DESTROYED.rawValue: self = .destroyed
      case VIR_DOMAIN_EVENT_STOPPED_CRASHED.rawValue: self = .crashed
      default: self = .failed
      }
    default: self = .other
    }
  }
}

/// A running domain.
@safe struct Domain: ~Copyable, @unchecked Sendable {
  private let raw: virDomainPtr

  fileprivate init(_ raw: virDomainPtr) { unsafe self.raw = raw }

  deinit { _ = unsafe virDomainFree(raw) }

  /// The user as whom QEMU runs, as far as libvirt says so.
  borrowing func user() -> UInt32? {
    // unsafe: the text is freed once.
    guard let text = unsafe virDomainGetXMLDesc(raw, 0) else { return nil }
    defer { unsafe free(text) }
    return unsafe Self.user(in: String(cString: text))
  }

  /// The number in `<seclabel ... model='dac' ...><label>+NUMBER:+NUMBER</label>`.
  static func user(in xml: String) -> UInt32? {
    let text = Array(xml.utf8)
    guard let model = find("model='dac'", in: text, from: 0), let label = find("<label>+", in: text, from: model) else {
      return nil
    }
    var number: UInt32 = 0
    var index = label
    while index < text.count, text[index] >= 0x30, text[index] <= 0x39 {
      let (tens, overflow) = number.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(UInt32(text[index] - 0x30))
      guard !overflow, !carry else { return nil }
      number = sum
      index += 1
    }
    return index == label ? nil : number
  }

  /// The index behind the first `pattern` at or behind `start`.
  private static func find(_ pattern: String, in text: [UInt8], from start: Int) -> Int? {
    let pattern = Array(pattern.utf8)
    var index = start
    while index + pattern.count <= text.count {
      if text[index..<index + pattern.count].elementsEqual(pattern) { return index + pattern.count }
      index += 1
    }
    return nil
  }

  /// Ends it, and waits until it is gone.
  borrowing func destroy() { _ = unsafe virDomainDestroy(raw) }
}
