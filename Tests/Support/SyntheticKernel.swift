import CLinux
import System

/// Kernels made up for tests, byte by byte from the specifications and without the code under test.
public enum SyntheticKernel {
  /// A segment of an ELF file.
  public struct Segment: Sendable {
    public var type: UInt32 = 1
    public var address: UInt64
    public var virtual: UInt64
    public var bytes: [UInt8]
    public var memorySize: UInt64
    /// Where its bytes lie in the file; nil for the next multiple of 4096.
    public var offset: UInt64?

    public init(
      type: UInt32 = 1, address: UInt64, virtual: UInt64? = nil, bytes: [UInt8], memorySize: UInt64? = nil,
      offset: UInt64? = nil
    ) {
      self.type = type
      self.address = address
      self.virtual = virtual ?? (0xFFFF_FFFF_8000_0000 &+ address)
      self.bytes = bytes
      self.memorySize = memorySize ?? UInt64(bytes.count)
      self.offset = offset
    }
  }

  /// Little-endian bytes of `value`.
  public static func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  /// Overwrites `bytes` from `offset` with `value`.
  public static func patch<Value: FixedWidthInteger>(_ bytes: inout [UInt8], _ offset: Int, _ value: Value) {
    bytes.replaceSubrange(offset..<offset + MemoryLayout<Value>.size, with: little(value))
  }

  /// An ELF64 file: header, program headers, then the segments.
  public static func elf(
    _ segments: [Segment], entry: UInt64 = 0x100_0000, type: UInt16 = 2, machine: UInt16 = 62
  ) -> [UInt8] {
    var file: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
    file += little(type) + little(machine) + little(UInt32(1)) + little(entry) + little(UInt64(64)) + little(UInt64(0))
    file += little(UInt32(0)) + little(UInt16(64)) + little(UInt16(56)) + little(UInt16(segments.count))
    file += little(UInt16(64)) + little(UInt16(0)) + little(UInt16(0))
    var offset = UInt64((64 + 56 * segments.count + 4095) & ~4095)
    var body: [(UInt64, [UInt8])] = []
    for segment in segments {
      let place = segment.offset ?? offset
      file +=
        little(segment.type) + little(UInt32(7)) + little(place) + little(segment.virtual) + little(segment.address)
      file += little(UInt64(segment.bytes.count)) + little(segment.memorySize) + little(UInt64(4096))
      body.append((place, segment.bytes))
      offset = (place + UInt64(segment.bytes.count) + 4095) & ~4095
    }
    for (place, bytes) in body {
      if file.count < Int(place) + bytes.count {
        file += [UInt8](repeating: 0, count: Int(place) + bytes.count - file.count)
      }
      file.replaceSubrange(Int(place)..<Int(place) + bytes.count, with: bytes)
    }
    return file
  }

  /// A vmlinux of the usual shape: text, data, and a segment with a trailing .bss.
  public static func vmlinux(seed: UInt64 = 1, scale: Int = 1) -> [UInt8] {
    var random = SplitMix(seed)
    func noise(_ count: Int) -> [UInt8] {
      // Half of it repeats, as code does, so that compressors have something to find.
      var bytes: [UInt8] = []
      while bytes.count < count {
        if bytes.count > 64 && random.next() % 2 == 0 {
          bytes += bytes.suffix(48)
        } else {
          bytes += little(random.next())
        }
      }
      return Array(bytes.prefix(count))
    }
    return elf([
      Segment(address: 0x100_0000, bytes: noise(40_000 * scale)),
      Segment(address: 0x110_0000, bytes: noise(9000) + [UInt8](repeating: 0, count: 5000), memorySize: 20_000),
      Segment(address: 0x110_5000, virtual: 0, bytes: noise(4096), memorySize: 0x2_0000),
    ])
  }

  /// A bzImage that carries `payload`, which is already compressed and has its size at the end.
  public static func bzImage(
    payload: [UInt8], version: UInt16 = 0x020F, xloadflags: UInt16 = 0x7F, initSize: UInt32 = 0x80_0000,
    kernelVersion: String = "6.1.0-test (someone@somewhere) #1 SMP"
  ) -> [UInt8] {
    let setupSectors = 4
    var file = [UInt8](repeating: 0, count: (setupSectors + 1) * 512)
    file[0] = UInt8(ascii: "M")
    file[1] = UInt8(ascii: "Z")
    file[0x1F1] = UInt8(setupSectors)
    patch(&file, 0x1F2, UInt16(1))
    patch(&file, 0x1FE, UInt16(0xAA55))
    // The jump over the header, whose second byte tells where the header ends.
    file[0x200] = 0xEB
    file[0x201] = 0x6A
    file.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
    patch(&file, 0x206, version)
    file.replaceSubrange(0x500..<0x500 + kernelVersion.utf8.count, with: Array(kernelVersion.utf8))
    file[0x211] = 1
    patch(&file, 0x22C, UInt32(0x7FFF_FFFF))
    patch(&file, 0x230, UInt32(0x20_0000))
    file[0x234] = 1
    patch(&file, 0x236, xloadflags)
    patch(&file, 0x238, UInt32(2047))
    patch(&file, 0x258, UInt64(0x100_0000))
    patch(&file, 0x260, initSize)
    patch(&file, 0x20E, UInt16(0x300))
    // The protected-mode code: something at the 64-bit entry, then the payload.
    var code = [UInt8](repeating: 0x90, count: 0x400)
    patch(&file, 0x248, UInt32(code.count))
    patch(&file, 0x24C, UInt32(payload.count))
    code += payload
    code += [UInt8](repeating: 0, count: (16 - code.count % 16) % 16)
    patch(&file, 0x1F4, UInt32(code.count / 16))
    return file + code
  }

  /// The shell command with which a kernel's build compresses, and whether it appends the size (scripts/Makefile.lib).
  public struct Compressor: Sendable, CustomStringConvertible {
    public let name: String
    public let tool: String
    public let command: String
    public let appendsSize: Bool
    public var description: String { name }

    public var isInstalled: Bool { Shell.run("command -v \(tool) > /dev/null") == 0 }
  }

  /// Every compression that vmrun has a library for.
  public static let compressors = [
    Compressor(name: "gzip", tool: "gzip", command: "gzip -n -f -9", appendsSize: false),
    Compressor(name: "bzip2", tool: "bzip2", command: "bzip2 -9", appendsSize: true),
    Compressor(name: "lzma", tool: "xz", command: "xz --format=lzma -9", appendsSize: true),
    Compressor(name: "xz", tool: "xz", command: "xz --check=crc32 --x86 --lzma2=dict=32MiB", appendsSize: true),
    Compressor(name: "lz4", tool: "lz4", command: "lz4 -l -9 - -", appendsSize: true),
    Compressor(name: "zstd", tool: "zstd", command: "zstd -22 --ultra", appendsSize: true),
  ]
  /// What has no library.
  public static let lzo = Compressor(name: "lzo", tool: "lzop", command: "lzop -9", appendsSize: true)

  /// `bytes` through `command` in a shell.
  public static func filter(_ bytes: [UInt8], _ command: String) throws -> [UInt8] {
    let folder = try TemporaryFolder()
    let input = try folder.write("in", bytes)
    let output = folder.path + "/out"
    let code = Shell.run("\(command) < '\(input)' > '\(output)' 2> '\(output).err'")
    guard code == 0 else {
      let text = String(decoding: (try? folder.read("out.err")) ?? [], as: UTF8.self)
      throw ToolFailure(description: "\(command): exit code \(code): \(text)")
    }
    return try folder.read("out")
  }

  /// The compressed form of `bytes` as it lies in a bzImage.
  public static func payload(_ bytes: [UInt8], _ compressor: Compressor) throws -> [UInt8] {
    let packed = try filter(bytes, compressor.command)
    return compressor.appendsSize ? packed + little(UInt32(bytes.count)) : packed
  }
}

/// A tool that a test needs failed.
public struct ToolFailure: Error, CustomStringConvertible {
  public let description: String
}

/// Commands for tests.
public enum Shell {
  /// Runs `command` in sh(1) and returns its exit code, or -1 when it did not exit.
  public static func run(_ command: String) -> Int {
    let status = system(command)
    return status != -1 && clinux_wifexited(status) ? Int(clinux_wexitstatus(status)) : -1
  }
}

/// A folder of a test's own that is removed with the object.
public final class TemporaryFolder: Sendable {
  public let path: String

  public init() throws {
    var template = Array("/tmp/vmrun-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp", "/tmp", .current) }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = Shell.run("rm -rf '\(path)'") }

  /// Writes a file into the folder and returns its path.
  public func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = try FileDescriptor.open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC)
    try file.writeFully(bytes)
    return "\(path)/\(name)"
  }

  /// All bytes of a file in the folder.
  public func read(_ name: String) throws -> [UInt8] {
    let file = try FileDescriptor.open("\(path)/\(name)", O_RDONLY)
    var bytes = [UInt8](repeating: 0, count: Int(try file.status().st_size))
    let count = try bytes.withUnsafeMutableBytes { try file.readFully(into: $0, at: 0) }
    return Array(bytes.prefix(count))
  }

  /// The names of the files in the folder, sorted.
  public func names(in subfolder: String = "") -> [String] {
    guard let stream = opendir("\(path)/\(subfolder)") else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) { names.append(String(cString: clinux_dirent_name(entry))) }
    return names.filter { $0 != "." && $0 != ".." }.sorted()
  }
}

/// A small deterministic generator, so that a failing round can be repeated from its seed (Steele and others, SplitMix64).
public struct SplitMix: RandomNumberGenerator {
  private var state: UInt64

  public init(_ seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
