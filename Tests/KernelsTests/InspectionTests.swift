import Boot
import TestSupport
import Testing

@testable import Kernels

@Suite struct InspectionTests {
  private static let gzip = SyntheticKernel.compressors[0]

  /// A vmlinux whose only segment holds `text` in the midst of other bytes.
  static func vmlinux(_ text: [UInt8]) -> [UInt8] {
    SyntheticKernel.elf([
      SyntheticKernel.Segment(
        address: 0x100_0000, bytes: [UInt8](repeating: 0x90, count: 5000) + text + [UInt8](repeating: 0, count: 300))
    ])
  }

  /// The configuration as kernel/configs.c embeds it.
  private static func embedded(_ configuration: String) throws -> [UInt8] {
    Array("IKCFG_ST".utf8) + (try SyntheticKernel.filter(Array(configuration.utf8), "gzip -9 -n"))
      + Array("IKCFG_ED".utf8)
  }

  private static let needed = [
    "64BIT", "BLK_DEV_INITRD", "BINFMT_ELF", "PROC_FS", "SYSFS", "TMPFS", "UNIX98_PTYS", "X86_IOPL_IOPERM",
  ]

  static func configuration(_ more: String = "") -> String {
    "# Linux\n" + needed.map { "CONFIG_\($0)=y\n" }.joined() + more
  }

  /// Looks at `image` in a folder of its own, on a system that has nothing.
  private func inspect(
    _ image: [UInt8], name: String = "vmlinuz-test", files: [String: String] = [:]
  ) throws -> KernelInspection {
    let folder = try TemporaryFolder()
    for (path, text) in files {
      let parent = path.split(separator: "/").dropLast().joined(separator: "/")
      try #require(Shell.run("mkdir -p '\(folder.path)/\(parent)'") == 0)
      _ = try folder.write(path, Array(text.utf8))
    }
    try #require(Shell.run("mkdir -p '\(folder.path)/boot'") == 0)
    let path = try folder.write("boot/\(name)", image)
    return try KernelInspection(path, system: folder.path + "/system")
  }

  private func state(_ inspection: KernelInspection, _ name: String) -> OptionState? {
    inspection.findings.first { $0.option.name == name }?.state
  }

  @Test func header() throws {
    let image = SyntheticKernel.bzImage(
      payload: try SyntheticKernel.payload(InspectionTests.vmlinux([]), InspectionTests.gzip))
    let found = try inspect(image)
    #expect(found.format == "bzImage")
    #expect(found.version == "6.1.0-test (someone@somewhere) #1 SMP")
    #expect(found.release == "6.1.0-test")
    #expect(found.protocolVersion == "2.15")
    #expect(found.codec == .gzip)
    #expect(found.header?.isRelocatable == true)
    #expect(found.header?.preferredAddress == 0x100_0000)
    #expect(found.header?.initSize == 0x80_0000)
    #expect(found.header?.alignment == 0x20_0000)
    #expect(
      found.loadFlags == [
        "64-bit entry", "may lie above 4 GiB", "EFI handover 32-bit", "EFI handover 64-bit", "EFI kexec",
        "5-level paging", "5-level paging enabled",
      ])
    #expect(found.fileSize == UInt64(image.count))
    #expect(found.kernelSize == 5300)
    #expect(found.pvhEntry == nil)
    #expect(state(found, "PVH") == .absent)
    #expect(state(found, "64BIT") == .builtIn)
    #expect(state(found, "BLK_DEV_INITRD") == .unknown)
    #expect(found.verdict == .unknown(reason: "neither its configuration nor known texts were found"))
    #expect(found.findings.count == KernelOption.all.count)
  }

  @Test(arguments: SyntheticKernel.compressors)
  func embeddedConfiguration(_ compressor: SyntheticKernel.Compressor) throws {
    try #require(compressor.isInstalled, "\(compressor.tool) is not installed")
    let text = InspectionTests.configuration(
      "CONFIG_VIRTIO_BLK=m\n# CONFIG_VIRTIO_NET is not set\nCONFIG_LOCALVERSION=\"\"\n")
    let kernel = InspectionTests.vmlinux(try InspectionTests.embedded(text))
    // What is beside it says the opposite, and is not asked.
    let found = try inspect(
      SyntheticKernel.bzImage(payload: try SyntheticKernel.payload(kernel, compressor)),
      files: ["boot/config-6.1.0-test": "CONFIG_VIRTIO_NET=y\n"])
    #expect(found.sources == [.ikconfig])
    #expect(state(found, "BLK_DEV_INITRD") == .builtIn)
    #expect(state(found, "VIRTIO_BLK") == .module)
    #expect(state(found, "VIRTIO_NET") == .absent)
    #expect(state(found, "KVM_GUEST") == .absent)
    #expect(found.verdict == .yes)
  }

  @Test func configurationBesideIt() throws {
    let image = SyntheticKernel.bzImage(
      payload: try SyntheticKernel.payload(InspectionTests.vmlinux([]), InspectionTests.gzip))
    for place in [
      "boot/config-6.1.0-test", "boot/config-own", "system/boot/config-6.1.0-test",
      "system/lib/modules/6.1.0-test/build/.config", "system/lib/modules/6.1.0-test/config",
    ] {
      let found = try inspect(
        image, name: "vmlinuz-own", files: [place: InspectionTests.configuration("CONFIG_SMP=y\n")])
      #expect(state(found, "SMP") == .builtIn, "\(place)")
      #expect(found.verdict == .yes, "\(place)")
      guard case .file(let path)? = found.sources.first else {
        Issue.record("\(place): \(found.sources)")
        continue
      }
      #expect(path.hasSuffix(place))
    }
  }

  @Test func modulesBesideIt() throws {
    let image = SyntheticKernel.bzImage(
      payload: try SyntheticKernel.payload(InspectionTests.vmlinux(Array("\0KVM setup\0".utf8)), InspectionTests.gzip))
    let found = try inspect(
      image,
      files: [
        "lib/modules/6.1.0-test/modules.builtin":
          "kernel/fs/ext4/ext4.ko\nkernel/drivers/char/hw_random/virtio-rng.ko\n",
        "lib/modules/6.1.0-test/modules.order": "kernel/drivers/block/virtio_blk.ko\nkernel/fs/fuse/fuse.ko.xz\n",
      ])
    #expect(state(found, "EXT4_FS") == .builtIn)
    #expect(state(found, "HW_RANDOM_VIRTIO") == .builtIn)
    #expect(state(found, "VIRTIO_BLK") == .module)
    #expect(state(found, "FUSE_FS") == .module)
    #expect(state(found, "EROFS_FS") == .absent)
    #expect(state(found, "KVM_GUEST") == .builtIn)
    #expect(state(found, "SMP") == .unknown)
    #expect(found.findings.first { $0.option.name == "KVM_GUEST" }?.source == .image)
  }

  @Test func onlyTheListOfBuiltInModules() throws {
    let folder = try TemporaryFolder()
    _ = try folder.write("modules.builtin", Array("kernel/fs/ext4/ext4.ko\n".utf8))
    let modules = try #require(KernelModules(folder: folder.path))
    let options = KernelOption.all
    let ext4 = try #require(options.first { $0.name == "EXT4_FS" })
    let fuse = try #require(options.first { $0.name == "FUSE_FS" })
    #expect(modules.state(of: ext4) == .builtIn)
    #expect(modules.state(of: fuse) == .unknown)
    #expect(KernelModules(folder: folder.path + "/none") == nil)
  }

  @Test func textsInIt() throws {
    let texts =
      "Trying to unpack rootfs image as initramfs\0\0loadavg\0\0sysfs\0nr_inodes\0Couldn't register Unix98 ptm driver\0attempts to use CLI/STI\0virtio_mmio.device\0"
    let found = try inspect(
      SyntheticKernel.bzImage(
        payload: try SyntheticKernel.payload(InspectionTests.vmlinux(Array(texts.utf8)), InspectionTests.gzip)))
    #expect(found.sources == [.image])
    #expect(state(found, "VIRTIO_MMIO_CMDLINE_DEVICES") == .builtIn)
    #expect(state(found, "VIRTIO_NET") == .unknown)
    #expect(found.verdict == .probably(unknown: ["BINFMT_ELF"]))
    #expect(found.verdictText == "yes, as far as can be seen (not known: BINFMT_ELF)")
  }

  @Test func verdictNamesWhatIsMissing() throws {
    let text = InspectionTests.configuration().replacing("CONFIG_BLK_DEV_INITRD=y\n", with: "").replacing(
      "CONFIG_TMPFS=y", with: "CONFIG_TMPFS=m")
    let found = try inspect(InspectionTests.vmlinux(try InspectionTests.embedded(text)), name: "vmlinux")
    #expect(found.format == "ELF")
    guard case .no(let reasons) = found.verdict else {
      Issue.record("\(found.verdict)")
      return
    }
    #expect(reasons.count == 2)
    #expect(found.verdictText.hasPrefix("no, because BLK_DEV_INITRD is missing"))
    #expect(found.verdictText.contains("TMPFS is a module"))
    #expect(found.text.hasSuffix("boots a command payload: \(found.verdictText)\n"))
  }

  @Test func elfKernel() throws {
    let note =
      SyntheticKernel.little(UInt32(4)) + SyntheticKernel.little(UInt32(8)) + SyntheticKernel.little(UInt32(18))
      + Array("Xen\0".utf8) + SyntheticKernel.little(UInt64(0x100_0010))
    let text =
      Array("\0Linux version %s\0Linux version 6.6.6-elf (me@here) #7\n\0".utf8) + [UInt8](repeating: 0, count: 500)
    let image = SyntheticKernel.elf([
      SyntheticKernel.Segment(address: 0x100_0000, bytes: text + note, offset: 4096),
      SyntheticKernel.Segment(
        type: 4, address: 0x100_0000 + UInt64(text.count), bytes: note, offset: UInt64(4096 + text.count)),
    ])
    let found = try inspect(image, name: "vmlinux", files: ["boot/config-6.6.6-elf": InspectionTests.configuration()])
    #expect(found.version == "6.6.6-elf (me@here) #7")
    #expect(found.header == nil)
    #expect(found.entry == 0x100_0000)
    #expect(found.pvhEntry == 0x100_0010)
    #expect(found.verdict == .yes)
    #expect(found.protocolVersion == nil)
  }

  @Test func whatIsNoKernel() throws {
    for (bytes, words) in [
      ([], "empty"), (Array("#!/bin/sh\n".utf8), "script"), ([UInt8](repeating: 7, count: 4000), "not a Linux kernel"),
      (SyntheticKernel.elf([SyntheticKernel.Segment(address: 0x100_0000, bytes: [1])], machine: 183), "ARM"),
    ] as [([UInt8], String)] {
      let error = #expect(throws: KernelsError.self) { try inspect(bytes) }
      #expect(error?.description.contains(words) == true, "\(String(describing: error))")
    }
    #expect(throws: KernelsError.self) { try KernelInspection("/") }
    #expect(throws: KernelsError.self) { try KernelInspection("/dev/null") }
    #expect(throws: KernelsError.self) { try KernelInspection("/nonexistent") }
  }

  @Test func damagedAndForeignPayloads() throws {
    let payload = try SyntheticKernel.payload(InspectionTests.vmlinux([]), InspectionTests.gzip)
    var damaged = payload
    damaged[payload.count / 2] ^= 0x55
    damaged[payload.count / 2 + 1] ^= 0x55
    let broken = try inspect(SyntheticKernel.bzImage(payload: damaged))
    #expect(broken.problem != nil)
    #expect(broken.kernelSize == 0)
    guard case .no = broken.verdict else {
      Issue.record("\(broken.verdict)")
      return
    }
    // A size that is nobody's is refused before memory is asked for.
    var large = Array(payload.dropLast(4)) + SyntheticKernel.little(UInt32(0x3FFF_FFFF))
    let bomb = try inspect(SyntheticKernel.bzImage(payload: large))
    #expect(bomb.problem?.contains("1073741823 bytes when decompressed") == true)
    large = [0x89, 0x4C, 0x5A, 0x4F, 0, 0x0D, 0x0A, 0x1A, 0x0A] + [UInt8](repeating: 0, count: 100)
    let lzo = try inspect(
      SyntheticKernel.bzImage(payload: large), files: ["boot/config-6.1.0-test": InspectionTests.configuration()])
    #expect(lzo.codec == .lzo)
    #expect(lzo.problem != nil)
    // The guest unpacks it.
    #expect(lzo.verdict == .yes)
  }

  @Test func hostileVersionsStayInTheFolder() throws {
    for version in ["../../etc/passwd x", ". x", "a/b x", "\u{1B}[31m x", String(repeating: "a", count: 200)] {
      let image = SyntheticKernel.bzImage(
        payload: try SyntheticKernel.payload(InspectionTests.vmlinux([]), InspectionTests.gzip), kernelVersion: version)
      let found = try inspect(image)
      #expect(found.sources == [.image])
      #expect(!found.text.utf8.contains(0x1B))
    }
  }

  @Test func everyCutAndFlipIsSurvived() throws {
    let kernel = InspectionTests.vmlinux(try InspectionTests.embedded(InspectionTests.configuration()))
    let image = SyntheticKernel.bzImage(payload: try SyntheticKernel.payload(kernel, InspectionTests.gzip))
    let folder = try TemporaryFolder()
    var random = SplitMix(11)
    var survived = 0
    for round in 0..<400 {
      var bytes = image
      if round % 3 == 0 {
        bytes = Array(bytes.prefix(Int.random(in: 0..<bytes.count, using: &random)))
      } else {
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          let range = round % 2 == 0 ? 0x1F0..<0x270 : 0..<bytes.count
          bytes[Int.random(in: range, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
      }
      let path = try folder.write("kernel", bytes)
      if let found = try? KernelInspection(path, system: folder.path) {
        #expect(!found.text.isEmpty)
        survived += 1
      }
    }
    #expect(survived > 0)
  }

  @Test func damagedEmbeddedConfiguration() throws {
    let whole = try InspectionTests.embedded(InspectionTests.configuration())
    var random = SplitMix(5)
    for _ in 0..<100 {
      var bytes = whole
      bytes[Int.random(in: 8..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      _ = try inspect(InspectionTests.vmlinux(bytes), name: "vmlinux").verdict
    }
    // Marks without an end, and a size that lies.
    var liar = whole
    SyntheticKernel.patch(&liar, liar.count - 12, UInt32.max)
    for bytes in [liar, Array("IKCFG_STIKCFG_STIKCFG_ED".utf8), Array(whole.dropLast(8))] {
      #expect(try inspect(InspectionTests.vmlinux(bytes), name: "vmlinux").sources.contains(.ikconfig) == false)
    }
    // A false mark before the true one.
    let found = try inspect(InspectionTests.vmlinux(Array("IKCFG_ST, they say.".utf8) + whole), name: "vmlinux")
    #expect(found.verdict == .yes || found.sources == [.image])
  }

  @Test func configurationParsing() {
    #expect(KernelConfiguration(Array("nothing\n".utf8)) == nil)
    #expect(KernelConfiguration([]) == nil)
    let parsed = KernelConfiguration(
      Array("CONFIG_SMP=y\r\nCONFIG_PCI=\nCONFIG_ACPI\nCONFIG_FUSE_FS=m\n# CONFIG_PVH is not set\nCONFIG_=\n".utf8))
    func state(_ name: String) -> OptionState? {
      KernelOption.all.first { $0.name == name }.flatMap { parsed?.state(of: $0) }
    }
    #expect(state("SMP") == .builtIn)
    #expect(state("FUSE_FS") == .module)
    #expect(state("PCI") == .absent)
    #expect(state("PVH") == .absent)
  }

  @Test func optionNamesAreUnique() {
    #expect(Set(KernelOption.all.map(\.name)).count == KernelOption.all.count)
    #expect(KernelOption.all.allSatisfy { !$0.purpose.isEmpty && !$0.name.hasPrefix("CONFIG_") })
  }
}

/// Debian's kernels, where they have been fetched: the texts in the image must agree with the configuration.
@Suite struct DebianKernelTests {
  static let entries = KernelCatalogue.find().filter { $0.source == .cache && $0.isReadable }

  @Test(.enabled(if: !entries.isEmpty, "no kernel is in vmrun's cache: vmrun kernel fetch debian"), arguments: entries)
  func agree(_ entry: KernelEntry) throws {
    let known = try KernelInspection(entry.path)
    #expect(known.verdict == .yes)
    #expect(known.release == entry.name)
    #expect(known.pvhEntry != nil)
    // The same file where nothing is beside it.
    let folder = try TemporaryFolder()
    try #require(Shell.run("cp '\(entry.path)' '\(folder.path)/kernel'") == 0)
    let seen = try KernelInspection(folder.path + "/kernel", system: folder.path)
    #expect(seen.verdict == .probably(unknown: ["BINFMT_ELF"]))
    for (a, b) in zip(known.findings, seen.findings) where b.state != .unknown {
      #expect(a.state == b.state, "\(a.option.name)")
    }
    // And with the lists of its modules alone.
    let system = folder.path + "/system"
    let modules = entry.path.split(separator: "/").dropLast(2).joined(separator: "/")
    try #require(
      Shell.run(
        "mkdir -p '\(system)/lib/modules/\(entry.name)' && cp '/\(modules)/lib/modules/\(entry.name)/'modules.* '\(system)/lib/modules/\(entry.name)/'"
      ) == 0)
    let listed = try KernelInspection(folder.path + "/kernel", system: system)
    for (a, b) in zip(known.findings, listed.findings) where b.state != .unknown {
      #expect(a.state == b.state, "\(a.option.name) \(b.source)")
    }
  }
}
