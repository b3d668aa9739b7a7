import Foundation
import FoundationXML
import Testing

@testable import Libvirt

/// The domain's document: by its golden text, and read again by a real XML parser.
@Suite struct DomainXMLTests {
  private var microvm: DomainXML {
    DomainXML(
      name: "vmrun-1-ab", machine: .microvm, isAccelerated: false, memory: 256 << 20, cpus: 2, kernel: "/k",
      initrd: "/i",
      commandLine: "console=ttyS0 -- ttyS1", serialSockets: ["/s/console", "/s/channel"])
  }

  @Test func microvmIsThis() throws {
    #expect(
      try microvm.text() == """
        <domain type='qemu'>
        <name>vmrun-1-ab</name>
        <memory unit='KiB'>262144</memory>
        <vcpu>2</vcpu>
        <os><type arch='x86_64' machine='microvm'>hvm</type>
        <kernel>/k</kernel>
        <initrd>/i</initrd>
        <cmdline>console=ttyS0 -- ttyS1</cmdline>
        </os>
        <cpu mode='maximum'><feature policy='disable' name='erms'/><feature policy='disable' name='fsrm'/><feature policy='disable' name='la57'/></cpu>
        <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
        <devices>
        <controller type='usb' model='none'/>
        <memballoon model='none'/>
        <serial type='unix'><source mode='connect' path='/s/console'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
        <serial type='unix'><source mode='connect' path='/s/channel'/><target type='isa-serial' port='1'><model name='isa-serial'/></target></serial>
        </devices>
        </domain>

        """)
  }

  @Test func pcWithDisksIsThis() throws {
    var xml = microvm
    xml.machine = .q35
    xml.isAccelerated = true
    xml.initrd = nil
    xml.serialSockets = ["/s/console"]
    xml.disks = [
      DomainXML.Disk(path: "/d", readOnly: false, isDevice: false, serial: "vmrun-disk-0"),
      DomainXML.Disk(path: "/dev/x", readOnly: true, isDevice: true, serial: "vmrun-disk-1"),
    ]
    #expect(
      try xml.text() == """
        <domain type='kvm'>
        <name>vmrun-1-ab</name>
        <memory unit='KiB'>262144</memory>
        <vcpu>2</vcpu>
        <os><type arch='x86_64' machine='q35'>hvm</type>
        <kernel>/k</kernel>
        <cmdline>console=ttyS0 -- ttyS1</cmdline>
        </os>
        <features><acpi/></features>
        <cpu mode='host-passthrough'/>
        <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
        <devices>
        <controller type='usb' model='none'/>
        <memballoon model='none'/>
        <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/d'/><target dev='vda' bus='virtio'/><serial>vmrun-disk-0</serial></disk>
        <disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/x'/><target dev='vdb' bus='virtio'/><serial>vmrun-disk-1</serial><readonly/></disk>
        <serial type='unix'><source mode='connect' path='/s/console'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
        <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
        </devices>
        </domain>

        """)
  }

  @Test(arguments: [
    "/a b", "</kernel><qemu:commandline>", "&amp;", "'\"><!--", "]]>", "tab\tline\nreturn\r", "\u{FFFD}\u{10FFFF}ü",
    "%s%n,,=",
    "--", "/x'/><disk/>",
  ]) func hostileNamesStayNames(name: String) throws {
    var xml = microvm
    (xml.kernel, xml.initrd, xml.commandLine, xml.name) = (name, name, name, name)
    xml.serialSockets = [name]
    xml.machine = .q35
    xml.disks = [DomainXML.Disk(path: name, readOnly: false, isDevice: false, serial: name)]
    let found = try XMLNames(try xml.text())
    #expect(found.texts["kernel"] == name && found.texts["initrd"] == name && found.texts["cmdline"] == name)
    #expect(found.texts["name"] == name && found.texts["serial"] == name)
    #expect(found.attributes["source.path"] == name && found.attributes["source.file"] == name)
    // And nothing came of them.
    #expect(found.elements == (try XMLNames(try plain(of: xml).text())).elements)
  }

  private func plain(of xml: DomainXML) -> DomainXML {
    var plain = xml
    (plain.kernel, plain.initrd, plain.commandLine, plain.name) = ("k", "k", "k", "k")
    plain.serialSockets = ["k"]
    plain.disks = [DomainXML.Disk(path: "k", readOnly: false, isDevice: false, serial: "k")]
    return plain
  }

  @Test(arguments: ["\u{0}", "a\u{1}b", "\u{1B}[2J", "\u{FFFE}", "x\u{FFFF}"])
  func whatXMLCannotSayIsRefused(name: String) {
    var xml = microvm
    xml.kernel = name
    #expect(throws: LibvirtError.self) { try xml.text() }
    xml.kernel = "/k"
    xml.serialSockets = [name]
    let error = #expect(throws: LibvirtError.self) { try xml.text() }
    #expect(error?.description.unicodeScalars.contains { $0.value < 0x20 } == false)
  }
}

/// What a parser that is not ours finds in a document.
private final class XMLNames: NSObject, XMLParserDelegate {
  private(set) var elements: [String] = []
  private(set) var texts: [String: String] = [:]
  private(set) var attributes: [String: String] = [:]
  private var open: [String] = []

  init(_ text: String) throws {
    super.init()
    let parser = XMLParser(data: Data(text.utf8))
    parser.delegate = self
    guard parser.parse() else { throw LibvirtError("no XML: \(text)") }
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes found: [String: String]
  ) {
    elements.append(name)
    open.append(name)
    for (key, value) in found { attributes["\(name).\(key)"] = value }
  }

  func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
    open.removeLast()
  }

  func parser(_ parser: XMLParser, foundCharacters text: String) {
    // A serial port is an element of the same name as a disk's serial number, with nothing but elements in it.
    guard let name = open.last, name != "serial" || open.dropLast().last == "disk" else { return }
    texts[name, default: ""] += text
  }
}
