import CLinux
import Kernels
import Machine
import System

/// `vmrun-libvirt`, the program that takes over where KVM cannot serve. It takes this process's place, so that signals, exit code and
/// SIGKILL need no relay.
enum LibvirtHelper {
  private static let name = HelperPlace.name

  /// Executes the helper in place of this program. Returns only when that fails: with what is wrong, and what to do.
  static func execute(_ handover: Handover) -> String {
    let own = OwnProgram.path()
    guard let path = HelperPlace.find(executable: own) else { return missing(HelperPlace.all(executable: own)) }
    if let problem = unloadable(path) { return problem }
    do throws(SystemError) {
      let file = try passedOn(memory(handover.encoded()))
      let program = try passedOn(FileDescriptor.open("/proc/self/exe", O_RDONLY))
      let errno = execute(
        path, [name, "--handover", "\(file.rawValue)", "--program", "\(program.rawValue)"])
      return "cannot execute \(path): \(errno)"
    } catch {
      return "cannot hand the launch over: \(error)"
    }
  }

  private static func missing(_ places: [String]) -> String {
    var text = "\(name), which has libvirt's QEMU run it, is not there (looked for as "
    for (index, place) in places.enumerated() { text += (index == 0 ? "" : ", ") + place }
    text +=
      ").\n       Build it: swift build -c release --product \(name) (needs the Debian package libvirt-dev; to run, "
    return text + "libvirt-daemon-driver-qemu and qemu-system-x86)"
  }

  /// Where Debian, Fedora and those who build it themselves keep the library that the helper is linked with.
  private static let libraries = [
    "/usr/lib/x86_64-linux-gnu/libvirt.so.0", "/usr/lib64/libvirt.so.0", "/usr/lib/libvirt.so.0",
    "/usr/local/lib/libvirt.so.0",
  ]

  /// What keeps the helper from being loaded, which is nobody's to tell once it has this process's place: the dynamic linker would end with 127, a
  /// command's code. Only where the library is in no usual place is the helper started to see.
  private static func unloadable(_ path: String) -> String? {
    // unsafe: the path is NUL-terminated for the call.
    if libraries.contains(where: { unsafe access($0, R_OK) == 0 }) { return nil }
    guard let trial = try? Program.run(path, ["--help"], milliseconds: 5000), !trial.succeeded else { return nil }
    return "\(path) does not start: \(trial.complaint)\n"
      + "       Install the libraries that it needs: apt-get install libvirt0 libvirt-daemon-driver-qemu qemu-system-x86"
  }

  /// A file without a name that holds `bytes`.
  private static func memory(_ bytes: [UInt8]) throws(SystemError) -> FileDescriptor {
    // unsafe: the name is NUL-terminated for the call.
    let raw = unsafe memfd_create("vmrun-handover", UInt32(MFD_CLOEXEC))
    guard raw >= 0 else { throw SystemError("memfd_create", "", .current) }
    let file = FileDescriptor(owning: raw)
    try file.writeFully(bytes)
    guard lseek(raw, 0, SEEK_SET) == 0 else { throw SystemError("lseek", "", .current) }
    return file
  }

  /// A duplicate of `file` that survives execve(2), and is none of the standard streams even where those are closed.
  private static func passedOn(_ file: consuming FileDescriptor) throws(SystemError) -> FileDescriptor {
    let copy = try FileDescriptor.duplicate(of: file.rawValue)
    guard clinux_fcntl(copy.rawValue, F_SETFD, 0) == 0 else { throw SystemError("fcntl", "", .current) }
    return copy
  }

  /// execv(3) with this process's environment; returns why it failed.
  private static func execute(_ path: String, _ words: [String]) -> Errno {
    let arguments = CStrings(words.map { Array($0.utf8) })
    // unsafe: the array ends with a null pointer, as execv wants it, and stays valid during the call.
    _ = unsafe execv(path, arguments.array)
    return .current
  }
}
