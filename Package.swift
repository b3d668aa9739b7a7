// swift-tools-version: 6.2
// Release builds are Embedded Swift and static; debug builds are full Swift, so that `swift test` works.
import PackageDescription

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The library folder of Embedded Swift in the toolchain that is evaluating this manifest.
/// The package manager is the manifest's parent process, and lies in the toolchain's `bin`.
func embeddedLibraries() -> String {
  func toolchainBin() -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let length = readlink("/proc/\(getppid())/exe", &buffer, buffer.count - 1)
    if length > 0 {
      let path = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      let bin = path.split(separator: "/").dropLast().joined(separator: "/")
      if access("/\(bin)/swiftc", X_OK) == 0 { return "/\(bin)" }
    }
    let searchPath = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin"
    for folder in searchPath.split(separator: ":") {
      if let real = realpath("\(folder)/swiftc", nil) {
        defer { free(real) }
        return String(cString: real).split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
      }
    }
    return "/usr/bin"
  }
  return toolchainBin() + "/../lib/swift/embedded/x86_64-unknown-linux-gnu"
}

let swift: [SwiftSetting] = [
  .enableExperimentalFeature("Embedded", .when(configuration: .release)),
  .enableExperimentalFeature("Lifetimes"),
  .unsafeFlags(["-wmo"], .when(configuration: .release)),
  .strictMemorySafety(),
]

let codecs = ["z", "bz2", "lzma", "lz4", "zstd"].map { LinkerSetting.linkedLibrary($0) }

func room(_ name: String, _ dependencies: [Target.Dependency], path: String? = nil) -> Target {
  .target(name: name, dependencies: dependencies, path: path, swiftSettings: swift)
}

func tests(_ room: String, _ more: [Target.Dependency] = []) -> Target {
  .testTarget(name: room + "Tests", dependencies: [.byName(name: room), "TestSupport"] + more)
}

let package = Package(
  name: "vmrun",
  products: [.executable(name: "vmrun", targets: ["vmrun"])],
  targets: [
    .target(name: "CLinux"),
    .target(name: "CCodecs", cSettings: [.unsafeFlags(["-ffunction-sections", "-fdata-sections"])]),
    room("System", ["CLinux"]),
    room("GuestMemory", ["System", "CLinux"]),
    room("Hypervise", ["GuestMemory", "System", "CLinux"]),
    room("Boot", ["CCodecs", "CLinux"]),
    room("KernelCache", ["Boot", "System", "CLinux"]),
    room("Virtio", ["GuestMemory", "System", "CLinux"]),
    room("Devices", ["System", "CLinux"]),
    room("GuestInit", ["System", "CLinux"], path: "images/init"),
    room(
      "Machine",
      ["Hypervise", "Virtio", "Devices", "Boot", "KernelCache", "GuestMemory", "System", "CLinux"]),
    .executableTarget(
      name: "vmrun",
      dependencies: ["Machine", "GuestInit", "System", "CLinux"],
      swiftSettings: swift,
      linkerSettings: codecs + [
        .unsafeFlags(
          [
            "-L\(embeddedLibraries())", "-lswiftUnicodeDataTables", "-lm", "-use-ld=lld",
            "-Xclang-linker", "-static", "-Xclang-linker", "-Wno-unused-command-line-argument", "-Xlinker", "--gc-sections", "-Xlinker", "--strip-all",
            "-Xlinker", "--icf=safe",
          ], .when(configuration: .release))
      ]),
    .target(name: "TestSupport", dependencies: ["GuestMemory", "Virtio", "System"], path: "Tests/Support"),
    .executableTarget(
      name: "fuzz-virtio", dependencies: ["TestSupport", "Virtio", "System", "CLinux"], path: "Tests/Fuzz/Virtio"),
    tests("System"), tests("GuestMemory"), tests("Hypervise"), tests("Boot"), tests("KernelCache"),
    tests("Virtio"), tests("Devices"), tests("Machine"), tests("GuestInit"),
  ],
  swiftLanguageModes: [.v6]
)
