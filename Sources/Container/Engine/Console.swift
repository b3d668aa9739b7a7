import CContainer
import CLinux
import OCI
import System

/// A pseudo-terminal of the container's own devpts, opened by the process that will use it.
struct Console: ~Copyable {
  let master: FileDescriptor
  let slave: FileDescriptor
  /// As the container sees it.
  let name: String

  /// Opens /dev/pts/ptmx below `root` (or the process's own root), which must be a real devpts: in a container everything may be forged.
  init(root: Int32?) throws(ContainerError) {
    let folder: FileDescriptor
    if let root {
      folder = try Console.folder(root)
    } else {
      let own = try naming("terminal") { () throws(SystemError) in
        try FileDescriptor.open("/", O_PATH | O_DIRECTORY)
      }
      folder = try Console.folder(own.rawValue)
    }
    var file = statfs()
    // unsafe: fstatfs fills the one struct it is given.
    guard unsafe fstatfs(folder.rawValue, &file) == 0, file.f_type == 0x1CD1 else {  // DEVPTS_SUPER_MAGIC
      throw ContainerError(
        .invalid, "process.terminal: /dev/pts is no devpts in the container; add a mount of type devpts there")
    }
    let raw = unsafe clinux_openat(folder.rawValue, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW, 0)
    guard raw >= 0 else { throw ContainerError("terminal", SystemError("open", "/dev/pts/ptmx", .current)) }
    let master = FileDescriptor(owning: raw)
    var number: UInt32 = 0
    // unsafe: the number is written before the call returns.
    guard ccontainer_pty_unlock(raw) == 0, unsafe ccontainer_pty_number(raw, &number) == 0 else {
      throw ContainerError("terminal", SystemError("ioctl", "/dev/pts/ptmx", .current))
    }
    let peer = ccontainer_pty_peer(raw)
    guard peer >= 0 else {
      throw ContainerError("terminal", SystemError("ioctl TIOCGPTPEER", "/dev/pts/ptmx", .current))
    }
    self.master = master
    slave = FileDescriptor(owning: peer)
    name = "/dev/pts/\(number)"
  }

  private static func folder(_ root: Int32) throws(ContainerError) -> FileDescriptor {
    let raw = unsafe ccontainer_open_in_root(root, "dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC)
    guard raw >= 0 else { throw ContainerError("terminal", SystemError("open", "/dev/pts", .current)) }
    return FileDescriptor(owning: raw)
  }

  /// Sets the window, and makes it the caller's standard streams and controlling terminal, owned by `user`.
  borrowing func adopt(size: Process.ConsoleSize?, user: UInt32) throws(ContainerError) {
    if let size {
      var window = winsize(ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0)
      // unsafe: the one struct is read.
      _ = unsafe ccontainer_set_window_size(slave.rawValue, &window)
    }
    _ = fchown(slave.rawValue, user, UInt32.max)
    _ = setsid()
    for number: Int32 in 0...2 where dup2(slave.rawValue, number) < 0 {
      throw ContainerError("terminal", SystemError("dup2", name, .current))
    }
    guard ccontainer_take_terminal(0) == 0 else {
      throw ContainerError("terminal", SystemError("ioctl TIOCSCTTY", name, .current))
    }
  }

  /// Sends the master to whoever listens on `--console-socket`, with the terminal's name beside it.
  borrowing func send(to socket: Int32) throws(ContainerError) {
    let bytes = Array(name.utf8)
    let sent = unsafe bytes.withUnsafeBytes {
      // unsafe: the array holds count bytes for the length of the call.
      unsafe ccontainer_send(socket, $0.baseAddress, $0.count, master.rawValue)
    }
    guard sent == bytes.count else { throw ContainerError("", SystemError("sendmsg", "--console-socket", .current)) }
  }
}
