/// A domain in libvirt's XML (https://libvirt.org/formatdomain.html): what QEMU gets, and nothing that libvirt would add by itself.
struct DomainXML {
  /// The machines of QEMU that are used.
  enum Machine: String, Sendable {
    /// No PCI, no firmware to speak of: what starts fastest.
    case microvm
    /// A PC with PCI, for disks and for kernels that expect one.
    case q35
  }

  struct Disk {
    let path: String
    let readOnly: Bool
    /// A block device rather than a file.
    let isDevice: Bool
    let serial: String
  }

  var name: String
  var machine: Machine
  /// By KVM, or by QEMU's emulation.
  var isAccelerated: Bool
  /// Bytes, a multiple of 1 KiB.
  var memory: UInt64
  var cpus: UInt32
  var kernel: String
  var initrd: String?
  var commandLine: String
  var disks: [Disk] = []
  /// The sockets to which QEMU connects its serial ports, the first one first.
  var serialSockets: [String]

  /// The document.
  /// - Throws: when a name holds what XML cannot.
  func text() throws(LibvirtError) -> String {
    var xml = "<domain type='\(isAccelerated ? "kvm" : "qemu")'>\n"
    xml += try element("name", name)
    xml += "<memory unit='KiB'>\(memory >> 10)</memory>\n<vcpu>\(cpus)</vcpu>\n"
    xml += "<os><type arch='x86_64' machine='\(machine.rawValue)'>hvm</type>\n"
    xml += try element("kernel", kernel)
    if let initrd { xml += try element("initrd", initrd) }
    xml += try element("cmdline", commandLine)
    // A machine's own way to switch itself off is ACPI's.
    xml += "</os>\n<features><acpi/></features>\n"
    xml += isAccelerated ? "<cpu mode='host-passthrough'/>\n" : "<cpu mode='maximum'/>\n"
    // A reset is told as an event only when the machine goes on after it; vmrun ends it then.
    xml += "<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>\n<devices>\n"
    xml += "<controller type='usb' model='none'/>\n<memballoon model='none'/>\n"
    for (index, disk) in disks.enumerated() { xml += try device(disk, index) }
    for (port, path) in serialSockets.enumerated() {
      xml += "<serial type='unix'><source mode='connect' path='\(try Self.escaped(path))'/>"
      xml += "<target type='isa-serial' port='\(port)'><model name='isa-serial'/></target></serial>\n"
    }
    if machine == .q35 { xml += "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>\n" }
    return xml + "</devices>\n</domain>\n"
  }

  private func device(_ disk: Disk, _ index: Int) throws(LibvirtError) -> String {
    var xml = "<disk type='\(disk.isDevice ? "block" : "file")' device='disk'><driver name='qemu' type='raw'/>"
    xml += "<source \(disk.isDevice ? "dev" : "file")='\(try Self.escaped(disk.path))'/>"
    // At most eight: one letter is enough.
    xml += "<target dev='vd\(String(decoding: [UInt8(ascii: "a") + UInt8(index & 15)], as: UTF8.self))' bus='virtio'/>"
    xml += "<serial>\(try Self.escaped(disk.serial))</serial>"
    return xml + (disk.readOnly ? "<readonly/></disk>\n" : "</disk>\n")
  }

  private func element(_ name: String, _ text: String) throws(LibvirtError) -> String {
    "<\(name)>\(try Self.escaped(text))</\(name)>\n"
  }

  /// `text` for an element or for an attribute in either kind of quotes.
  /// - Throws: for characters that XML 1.0 (section 2.2) has no way to write.
  static func escaped(_ text: String) throws(LibvirtError) -> String {
    var result: [UInt8] = []
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0x26: result += Array("&amp;".utf8)
      case 0x3C: result += Array("&lt;".utf8)
      case 0x3E: result += Array("&gt;".utf8)
      case 0x22: result += Array("&quot;".utf8)
      case 0x27: result += Array("&apos;".utf8)
      // Readers turn these into blanks or drop them when they stand for themselves (sections 2.11 and 3.3.3).
      case 9: result += Array("&#9;".utf8)
      case 10: result += Array("&#10;".utf8)
      case 13: result += Array("&#13;".utf8)
      case 0..<0x20, 0xFFFE, 0xFFFF:
        throw LibvirtError("'\(printable(text))' holds a character that libvirt's XML cannot carry")
      default: result += Array(String(scalar).utf8)
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  private static func printable(_ text: String) -> String {
    String(decoding: text.utf8.map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
  }
}
