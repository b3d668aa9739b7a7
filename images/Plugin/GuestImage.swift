import Foundation
import PackagePlugin

/// Builds a guest (the target's folders `Guest` and `ABI`) with the compiler and the linker of the toolchain that runs the build, and
/// hands its image on as a Swift source: guest sources -> object -> flat binary -> a constant array of words.
@main
struct GuestImage: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
    let guest = target.directoryURL.appending(path: "Guest")
    let abi = target.directoryURL.appending(path: "ABI")
    let work = context.pluginWorkDirectoryURL
    let image = work.appending(path: "Image.swift")
    let parts = try files(in: guest) + files(in: abi)
    let compilerArguments =
      [
        "-target", "x86_64-unknown-none-elf", "-enable-experimental-feature", "Embedded", "-swift-version", "6",
        "-Osize", "-wmo", "-parse-as-library", "-strict-memory-safety", "-warnings-as-errors", "-no-allocations",
        "-module-name", "Guest", "-module-cache-path", work.appending(path: "modules").path,
        // There is nobody to report a broken stack to, and nobody has set the vector unit up.
        "-Xfrontend", "-disable-stack-protector", "-Xcc", "-mno-sse", "-Xcc", "-ffreestanding",
        // One section a function: the linker script puts the entry point first and drops what nothing reaches.
        "-Xfrontend", "-function-sections",
        "-Xcc", "-fmodule-map-file=\(guest.appending(path: "module.modulemap").path)",
        "-Xcc", "-fmodule-map-file=\(abi.appending(path: "module.modulemap").path)",
      ] + parts.filter { $0.pathExtension == "swift" }.map(\.path)
    return [
      // One command for all steps, since the package manager would take the files in between for resources.
      .buildCommand(
        displayName: "Building the guest of \(target.name)",
        executable: URL(filePath: "/bin/sh"),
        arguments: [
          "-c", Self.steps, "guest-image",
          try context.tool(named: "swiftc").url.path, try context.tool(named: "ld.lld").url.path,
          guest.appending(path: "guest.ld").path, work.appending(path: "guest").path, image.path,
        ] + compilerArguments,
        inputFiles: parts,
        outputFiles: [image])
    ]
  }

  private static let steps = #"""
    set -e
    swiftc=$1 linker=$2 script=$3 guest=$4 image=$5
    shift 5
    "$swiftc" "$@" -c -o "$guest.o"
    "$linker" -static --gc-sections --build-id=none --oformat=binary -T "$script" "$guest.o" -o "$guest.bin"
    words=$(od -An -v -tx8 -w64 "$guest.bin" | sed 's/ \([0-9a-f]*\)/ 0x\1,/g')
    {
      echo '// A guest, made by the build.'
      echo 'let imageWords: InlineArray<_, UInt64> = ['
      echo "$words"
      echo ']'
    } > "$image"
    """#

  private func files(in folder: URL) throws -> [URL] {
    let contents = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
    return contents.sorted { $0.path < $1.path }
  }
}
