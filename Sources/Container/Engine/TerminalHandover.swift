import CContainer
import CLinux
import OCI
import System

extension ContainerTerminal {
  /// A terminal of the devpts at /dev/pts of the process's own root: for a process that has entered a container, where everything may
  /// be forged.
  static func open() throws(ContainerError) -> ContainerTerminal {
    let root = try naming("terminal") { () throws(SystemError) in try FileDescriptor.open("/", O_PATH | O_DIRECTORY) }
    let raw = unsafe ccontainer_open_in_root(root.rawValue, "dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC)
    guard raw >= 0 else { throw ContainerError("terminal", SystemError("open", "/dev/pts", .current)) }
    let folder = FileDescriptor(owning: raw)
    var file = statfs()
    // unsafe: fstatfs fills the one struct it is given.
    guard unsafe fstatfs(folder.rawValue, &file) == 0, file.f_type == 0x1CD1 else {  // DEVPTS_SUPER_MAGIC
      throw ContainerError(.invalid, "process.terminal: /dev/pts is no devpts in the container")
    }
    return try open(in: folder.rawValue)
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
      throw ContainerError("terminal", SystemError("dup2", "terminal", .current))
    }
    guard ccontainer_take_terminal(0) == 0 else {
      throw ContainerError("terminal", SystemError("ioctl TIOCSCTTY", "terminal", .current))
    }
  }

  /// Sends the master to whoever listens on `--console-socket`.
  borrowing func send(to socket: Int32) throws(ContainerError) {
    let bytes = Array("/dev/ptmx".utf8)
    let sent = unsafe bytes.withUnsafeBytes {
      // unsafe: the array holds count bytes for the length of the call.
      unsafe ccontainer_send(socket, $0.baseAddress, $0.count, master.rawValue)
    }
    guard sent == bytes.count else { throw ContainerError("", SystemError("sendmsg", "--console-socket", .current)) }
  }
}
