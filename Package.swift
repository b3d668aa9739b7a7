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

/// The C library's headers differ by this: every module that sees them must see the same ones.
let gnuSource: [SwiftSetting] = [.unsafeFlags(["-Xcc", "-D_GNU_SOURCE"])]

/// Embedded Swift compiles the functions of other modules into each module that uses them, and the linker keeps one copy of each. The compiler
/// makes an array literal of a function a constant that is named after the function and a number, and the numbers of two copies need not
/// agree: a kept function then finds the other copy's constants, without a word. So no module makes such constants.
let noOutlinedArrays = ["-Xllvm", "-sil-disable-pass=object-outliner"]

let swift: [SwiftSetting] =
  [
    .enableExperimentalFeature("Embedded", .when(configuration: .release)),
    .enableExperimentalFeature("Lifetimes"),
    .unsafeFlags(
      ["-wmo", "-Osize", "-Xfrontend", "-function-sections"] + noOutlinedArrays, .when(configuration: .release)),
    .strictMemorySafety(),
  ] + gnuSource

let codecs = ["z", "bz2", "lzma", "lz4", "zstd"].map { LinkerSetting.linkedLibrary($0) }

/// Release executables carry everything with them and nothing that they do not use.
let staticLink: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-L\(embeddedLibraries())", "-lswiftUnicodeDataTables", "-lm", "-use-ld=lld",
      "-Xclang-linker", "-static", "-Xclang-linker", "-Wno-unused-command-line-argument",
      "-Xlinker", "--gc-sections", "-Xlinker", "--strip-all", "-Xlinker", "--icf=all",
      "-Xlinker", "--no-eh-frame-hdr", "-Xlinker", "-O2", "-Xlinker",
      "-T\(Context.packageDirectory)/Sources/vmrun/Link/no-unwind.ld",
    ], .when(configuration: .release))
]

/// The one executable that needs a shared library, libvirt's, carries the rest with it just so.
let dynamicLink: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-L\(embeddedLibraries())", "-lswiftUnicodeDataTables", "-lm", "-use-ld=lld",
      "-Xclang-linker", "-Wno-unused-command-line-argument",
      "-Xlinker", "--gc-sections", "-Xlinker", "--strip-all", "-Xlinker", "--icf=all", "-Xlinker", "-O2",
    ], .when(configuration: .release))
]

func room(
  _ name: String, _ dependencies: [Target.Dependency], path: String? = nil
) -> Target {
  .target(name: name, dependencies: dependencies, path: path, swiftSettings: swift)
}

func tests(_ room: String, _ more: [Target.Dependency] = []) -> Target {
  .testTarget(
    name: room + "Tests", dependencies: [.byName(name: room), "TestSupport"] + more, swiftSettings: gnuSource)
}

let package = Package(
  name: "vmrun",
  products: [
    .executable(name: "vmrun", targets: ["vmrun"]),
    .executable(name: "vmrun-libvirt", targets: ["vmrun-libvirt"]),
  ],
  targets: [
    .target(name: "CLinux"),
    .target(
      name: "CCodecs", cSettings: [.unsafeFlags(["-ffunction-sections", "-fdata-sections"])], linkerSettings: codecs),
    room("System", ["CLinux"]),
    room("GuestMemory", ["System", "CLinux"]),
    room("Hypervise", ["GuestMemory", "System", "CLinux"]),
    room("Boot", ["CCodecs", "CLinux"]),
    room("KernelCache", ["Boot", "System", "CLinux"]),
    room("Virtio", ["GuestMemory", "System", "CLinux"]),
    room("Devices", ["System", "CLinux"]),
    .systemLibrary(name: "MinimalGuestABI", path: "images/minimal/ABI"),
    .plugin(name: "GuestImage", capability: .buildTool(), path: "images/Plugin"),
    .target(
      name: "MinimalGuest", dependencies: ["MinimalGuestABI"], path: "images/minimal",
      exclude: ["ABI", "Guest", "README.md"], sources: ["MinimalGuest.swift"], swiftSettings: swift,
      plugins: ["GuestImage"]),
    .systemLibrary(name: "ProbeGuestABI", path: "images/probe/ABI"),
    .target(
      name: "ProbeGuest", dependencies: ["ProbeGuestABI"], path: "images/probe",
      exclude: ["ABI", "Guest", "README.md"], sources: ["ProbeGuest.swift"], swiftSettings: swift,
      plugins: ["GuestImage"]),
    room("GuestProtocol", []),
    .target(name: "CGuestInit", path: "images/init/CGuestInit"),
    .target(
      name: "GuestInit", dependencies: ["GuestProtocol", "CGuestInit", "System", "CLinux"], path: "images/init",
      exclude: ["CGuestInit", "README.md"], swiftSettings: swift),
    room(
      "Machine",
      [
        "Hypervise", "Virtio", "Devices", "Boot", "KernelCache", "MinimalGuest", "MinimalGuestABI",
        "ProbeGuest", "ProbeGuestABI", "GuestProtocol", "GuestMemory", "System", "CLinux",
      ]),
    .target(
      name: "CContainer", cSettings: [.unsafeFlags(["-D_GNU_SOURCE", "-ffunction-sections", "-fdata-sections"])],
      linkerSettings: [.linkedLibrary("json-c"), .linkedLibrary("seccomp")]),
    room("JSON", ["CContainer"]),
    room("OCI", ["JSON"]),
    room("Network", ["System", "CContainer", "CLinux"]),
    room("Container", ["Network", "OCI", "JSON", "System", "CContainer", "CLinux"]),
    room("Statistics", []),
    room("Report", ["Statistics", "JSON"]),
    room("Bench", ["Report", "Statistics", "JSON", "System", "CContainer", "CLinux"]),
    room("Isolation", ["Report", "JSON", "System", "CContainer", "CLinux"]),
    room("Kernels", ["KernelCache", "Boot", "System", "CCodecs", "CContainer", "CLinux"]),
    room(
      "Doctor",
      [
        "Kernels", "Machine", "Hypervise", "Container", "Network", "GuestMemory", "JSON", "System", "CContainer",
        "CLinux",
      ]),
    .target(name: "CLibvirt", linkerSettings: [.linkedLibrary("virt")]),
    room(
      "Libvirt", ["Machine", "GuestProtocol", "Devices", "Boot", "KernelCache", "System", "CLibvirt", "CLinux"]),
    .executableTarget(
      name: "vmrun-libvirt", dependencies: ["Libvirt", "Machine", "Devices", "System", "CLinux"],
      swiftSettings: swift,
      linkerSettings: dynamicLink),
    .executableTarget(
      name: "vmrun",
      dependencies: [
        "Machine", "GuestInit", "GuestProtocol", "Boot", "Container", "Network", "OCI", "JSON", "Kernels", "Doctor",
        "Bench", "Isolation", "Report", "Statistics", "System", "CLinux",
      ],
      exclude: ["Link"],
      swiftSettings: swift,
      linkerSettings: staticLink),
    .executableTarget(
      name: "InitHarness", dependencies: ["GuestInit", "CGuestInit", "GuestProtocol", "System", "CLinux"],
      path: "Tests/InitHarness", swiftSettings: swift,
      // Tests start it by itself: it must find the toolchain's libraries without the package manager's help.
      linkerSettings: staticLink + [
        .unsafeFlags(["-Xlinker", "-rpath=\(embeddedLibraries())/../../linux"], .when(configuration: .debug))
      ]),
    .target(
      name: "TestSupport", dependencies: ["GuestMemory", "Virtio", "System"], path: "Tests/Support",
      swiftSettings: gnuSource),
    .executableTarget(
      name: "fuzz-virtio", dependencies: ["TestSupport", "Virtio", "System", "CLinux"], path: "Tests/Fuzz/Virtio",
      swiftSettings: gnuSource),
    tests("System"), tests("GuestMemory"), tests("Hypervise"), tests("Boot"), tests("KernelCache"),
    tests("Virtio"), tests("Devices"), tests("Machine"),
    tests("Statistics"), tests("Report", ["JSON"]), tests("Bench", ["Report"]), tests("Isolation", ["Report"]),
    tests("Kernels"), tests("Doctor"), tests("Libvirt", ["Machine"]),
    tests("JSON"), tests("OCI", ["JSON"]), tests("Network", ["CContainer"]), tests("Container", ["OCI", "JSON"]),
    .testTarget(
      name: "CommandLineTests",
      dependencies: [
        "vmrun", "Machine", "Boot", "Container", "Network", "OCI", "Devices", "System", "CLinux", "TestSupport",
      ],
      path: "Tests/CommandLineTests",
      swiftSettings: gnuSource),
    tests("GuestInit", ["GuestProtocol", "MinimalGuest", "InitHarness"]),
  ],
  swiftLanguageModes: [.v6]
)
