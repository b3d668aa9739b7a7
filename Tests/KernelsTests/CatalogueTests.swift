import System
import TestSupport
import Testing

@testable import Kernels

@Suite struct CatalogueTests {
  /// A /boot and a cache with kernels of these names; "SERIES/RELEASE" in the cache.
  private func catalogue(
    boot: [String] = [], cache: [String] = [], _ body: (KernelCatalogue, String) throws -> Void
  ) throws {
    let folder = try TemporaryFolder()
    try #require(Shell.run("mkdir -p '\(folder.path)/boot' '\(folder.path)/cache'") == 0)
    for name in boot { _ = try folder.write("boot/vmlinuz-\(name)", [1, 2, 3]) }
    for place in cache {
      let parts = place.split(separator: "/")
      try #require(Shell.run("mkdir -p '\(folder.path)/cache/\(parts[0])/boot'") == 0)
      _ = try folder.write("cache/\(parts[0])/boot/vmlinuz-\(parts[1])", [1])
    }
    try body(KernelCatalogue(bootFolder: folder.path + "/boot", cacheFolder: folder.path + "/cache"), folder.path)
  }

  @Test(arguments: [
    ("6.1.0-9", "6.1.0-10"), ("6.1.0-56-cloud-amd64", "6.12.117+deb12-cloud-amd64"), ("6.9", "6.10"), ("5.15", "6.1"),
    ("6.12-rc1", "6.12"), ("6.12~rc3", "6.12"), ("6.12-rc1", "6.12-rc2"), ("6.1", "6.1.1"), ("6.1-custom", "6.1.1"),
    ("6.1", "6.1-custom"), ("0-rescue-abc", "4.19"), ("6.1.007", "6.1.8"), ("1", "99999999999999999999999999"),
    ("6.11.9-rc1", "6.12-rc1"),
  ])
  func order(_ older: String, _ newer: String) {
    #expect(ReleaseOrder.isOlder(older, newer))
    #expect(!ReleaseOrder.isOlder(newer, older))
    #expect(!ReleaseOrder.isOlder(older, older))
  }

  @Test func orderIsStrict() {
    var random = SplitMix(3)
    let parts = ["6", "1", "12", ".", ".", "-", "rc", "-rc1", "~rc2", "cloud", "0", "007", "+deb"]
    let names = (0..<60).map { _ in
      (0..<Int.random(in: 1...6, using: &random)).map { _ in parts.randomElement(using: &random) ?? "" }.joined()
    }
    for a in names {
      #expect(!ReleaseOrder.isOlder(a, a))
      for b in names { #expect(!(ReleaseOrder.isOlder(a, b) && ReleaseOrder.isOlder(b, a)), "\(a) \(b)") }
    }
  }

  @Test func cacheComesFirstAndNewestFirst() throws {
    try catalogue(boot: ["6.13-host", "5.10"], cache: ["6.1/6.1.0-56", "6.12/6.12.117", ".new.abc/9.9"]) {
      catalogue, path in
      let entries = catalogue.entries()
      #expect(entries.map(\.name) == ["6.12.117", "6.1.0-56", "6.13-host", "5.10"])
      #expect(entries.map(\.source) == [.cache, .cache, .boot, .boot])
      #expect(entries[2].path == path + "/boot/vmlinuz-6.13-host")
      #expect(entries[2].size == 3)
      #expect(catalogue.preferred() == entries[0])
    }
    try catalogue(boot: ["6.9", "6.10"]) { catalogue, _ in #expect(catalogue.preferred()?.name == "6.10") }
    try catalogue { catalogue, _ in #expect(catalogue.preferred() == nil) }
  }

  @Test func onlyFilesCount() throws {
    try catalogue(boot: ["6.1"]) { catalogue, path in
      try #require(
        Shell.run(
          "cd '\(path)/boot' && mkdir vmlinuz-7 && mkfifo vmlinuz-8 && touch vmlinuz initrd.img-9 && ln -s nowhere vmlinuz-10"
        ) == 0)
      #expect(catalogue.entries().map(\.name) == ["6.1"])
    }
    #expect(KernelCatalogue(bootFolder: "/nonexistent", cacheFolder: nil).entries().isEmpty)
  }

  @Test func unreadableKernelsAreNoDefault() {
    func entry(_ name: String, _ readable: Bool) -> KernelEntry {
      KernelEntry(name: name, path: "/boot/vmlinuz-\(name)", source: .boot, size: 1, isReadable: readable)
    }
    #expect(KernelCatalogue.preferred(of: [entry("9", false), entry("8", true)])?.name == "8")
    #expect(KernelCatalogue.preferred(of: [entry("9", false)]) == nil)
    let table = KernelCatalogue.table([entry("9", false), entry("8", true)])
    #expect(table.contains("  9") && table.contains("* 8") && table.contains("chmod a+r /boot/vmlinuz-9"))
  }

  @Test func names() throws {
    try catalogue(boot: ["6.13-a", "6.13-b"], cache: ["6.1/6.1.0-56-cloud", "6.12/6.12.117-cloud"]) { catalogue, path in
      func found(_ name: String) -> String? {
        (try? catalogue.path(of: name)).map { String($0.split(separator: "/").last ?? "") }
      }
      #expect(found("6.1.0-56-cloud") == "vmlinuz-6.1.0-56-cloud")
      // A whole component: 6.12 and 6.13 also begin with "6.1".
      #expect(found("6.1") == "vmlinuz-6.1.0-56-cloud")
      #expect(found("6.12") == "vmlinuz-6.12.117-cloud")
      #expect(found("6.12.1") == "vmlinuz-6.12.117-cloud")
      #expect(found("6.13-b") == "vmlinuz-6.13-b")
      #expect(found("6.13") == nil)
      #expect(found("7") == nil)
      #expect(found("") == nil)
      #expect(try catalogue.path(of: "./nothing/here") == "./nothing/here")
      #expect(throws: KernelsError("6.13 names several kernels: 6.13-b, 6.13-a. Write more of it")) {
        try catalogue.path(of: "6.13")
      }
      let error = #expect(throws: KernelsError.self) { try catalogue.path(of: "7") }
      #expect(error?.description.contains("6.12.117-cloud, 6.1.0-56-cloud") == true)
    }
    try catalogue { catalogue, _ in
      let error = #expect(throws: KernelsError.self) { try catalogue.path(of: "7") }
      #expect(error?.description.contains("vmrun kernel fetch debian") == true)
    }
  }

  @Test func theSameReleaseInBothPlacesIsOne() throws {
    try catalogue(boot: ["6.1.0"], cache: ["6.1/6.1.0"]) { catalogue, path in
      #expect(try catalogue.path(of: "6.1") == path + "/cache/6.1/boot/vmlinuz-6.1.0")
    }
  }

  @Test func cacheFolder() {
    #expect(CacheFolder.path(xdgCacheHome: "/x", home: "/h") == "/x/vmrun/debian")
    #expect(CacheFolder.path(xdgCacheHome: "x", home: "/h") == "/h/.cache/vmrun/debian")
    #expect(CacheFolder.path(xdgCacheHome: nil, home: "h") == nil)
    #expect(CacheFolder.path(xdgCacheHome: nil, home: nil) == nil)
  }
}
