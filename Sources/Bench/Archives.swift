/// Archives with the payload, for programs that start from one.
enum Archives {
  /// An initramfs (cpio "newc", Documentation/driver-api/early-userspace/buffer-format.rst of the kernel) with the program at
  /// /payload and the console that the kernel opens for it.
  static func initramfs(payload: [UInt8]) -> [UInt8] {
    var archive: [UInt8] = []
    var inode: UInt32 = 1
    func entry(_ name: String, mode: UInt32, device: (UInt32, UInt32) = (0, 0), _ content: [UInt8] = []) {
      archive += "070701".utf8
      let size = UInt32(truncatingIfNeeded: content.count)
      let length = UInt32(truncatingIfNeeded: name.utf8.count + 1)
      for field in [inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, length, 0] {
        archive += hexadecimal(field)
      }
      archive += name.utf8
      archive.append(0)
      pad()
      archive += content
      pad()
      inode += 1
    }
    func pad() { while archive.count % 4 != 0 { archive.append(0) } }
    entry("dev", mode: 0o040755)
    entry("dev/console", mode: 0o020600, device: (5, 1))
    entry("payload", mode: 0o100755, payload)
    entry("TRAILER!!!", mode: 0)
    return archive
  }

  private static func hexadecimal(_ value: UInt32) -> [UInt8] {
    let digits = Array("0123456789ABCDEF".utf8)
    return (0..<8).map { digits[Int((value >> (28 - 4 * $0)) & 15)] }
  }

  /// A tar archive (POSIX.1-1988, ustar) with the program at /payload and the directories that a root needs.
  static func tar(payload: [UInt8]) -> [UInt8] {
    var archive: [UInt8] = []
    func entry(_ name: String, mode: UInt32, type: UInt8, _ content: [UInt8] = []) {
      var header = [UInt8](repeating: 0, count: 512)
      func put(_ bytes: [UInt8], at place: Int) { header.replaceSubrange(place..<(place + bytes.count), with: bytes) }
      put(Array(name.utf8), at: 0)
      put(octal(UInt64(mode), 7), at: 100)
      put(octal(0, 7), at: 108)
      put(octal(0, 7), at: 116)
      put(octal(UInt64(content.count), 11), at: 124)
      put(octal(0, 11), at: 136)
      put([UInt8](repeating: UInt8(ascii: " "), count: 8), at: 148)
      header[156] = type
      put(Array("ustar".utf8) + [0] + Array("00".utf8), at: 257)
      let sum = header.reduce(UInt64(0)) { $0 + UInt64($1) }
      put(octal(sum, 6) + [0, UInt8(ascii: " ")], at: 148)
      archive += header + content
      while archive.count % 512 != 0 { archive.append(0) }
    }
    for name in ["proc/", "sys/", "dev/", "tmp/", "etc/"] { entry(name, mode: 0o755, type: UInt8(ascii: "5")) }
    entry("payload", mode: 0o755, type: UInt8(ascii: "0"), payload)
    return archive + [UInt8](repeating: 0, count: 1024)
  }

  private static func octal(_ value: UInt64, _ digits: Int) -> [UInt8] {
    (0..<digits).map { UInt8(ascii: "0") + UInt8((value >> UInt64(3 * (digits - 1 - $0))) & 7) }
  }
}
