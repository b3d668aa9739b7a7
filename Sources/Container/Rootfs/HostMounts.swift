import CContainer
import CLinux
import System

/// The host's mounts in the child's mount namespace, for `--no-pivot`, which leaves them there.
enum HostMounts {
  /// Takes the host's proc and sysfs out of the namespace, or covers them where they are locked: whoever may make namespaces
  /// in the container could mount both anew, without the masks, as long as a mount without masks is there
  /// (user_namespaces(7)).
  static func hideKernelViews() throws(SystemError) {
    let text = try read("/proc/self/mountinfo")
    // unsafe: paths of the kernel's list, NUL-terminated for the calls.
    for path in kernelViews(in: text).reversed() where unsafe umount2(path, Int32(MNT_DETACH)) != 0 {
      switch Errno.current {
      case .notFound: continue
      case .invalid, .notPermitted:
        guard unsafe mount("tmpfs", path, "tmpfs", MountFlag.readOnly, "size=0") == 0 else {
          throw SystemError("mount", path, .current)
        }
      default: throw SystemError("umount", path, .current)
      }
    }
  }

  /// Mount points of proc and sysfs in the text of /proc/self/mountinfo (proc(5)), in its order.
  static func kernelViews(in text: [UInt8]) -> [String] {
    var points: [String] = []
    for line in text.split(separator: 0x0a) {
      let fields = line.split(separator: 0x20)
      // The fields before the separator vary in number; the type is the first after it.
      guard fields.count > 6, let separator = fields.firstIndex(where: { $0.elementsEqual([0x2d]) }),
        separator + 1 < fields.endIndex
      else { continue }
      let type = String(decoding: fields[separator + 1], as: UTF8.self)
      if type == "proc" || type == "sysfs" { points.append(unescaped(fields[4])) }
    }
    return points
  }

  /// A path of mountinfo: space, tab, newline and backslash stand as three octal digits.
  private static func unescaped(_ field: ArraySlice<UInt8>) -> String {
    var bytes: [UInt8] = []
    var rest = field
    while let byte = rest.popFirst() {
      if byte == 0x5c, rest.count >= 3 {
        var value: UInt8 = 0
        for digit in rest.prefix(3) { value = value &* 8 &+ (digit & 7) }
        rest = rest.dropFirst(3)
        bytes.append(value)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func read(_ path: String) throws(SystemError) -> [UInt8] {
    let file = try FileDescriptor.open(path, O_RDONLY)
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    // A mount namespace holds at most fs.mount-max mounts (100,000); no line is longer than a few paths.
    while text.count < 1 << 28 {
      let raw = file.rawValue
      // unsafe: the buffer is valid for its count.
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe CLinux.read(raw, $0.baseAddress, $0.count) }
      guard count >= 0 else { throw SystemError("read", path, .current) }
      if count == 0 { break }
      text += buffer[..<count]
    }
    return text
  }
}
