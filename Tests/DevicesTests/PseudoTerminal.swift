import CLinux
import System

@testable import Devices

/// A pseudo-terminal whose slave side is raw unless told otherwise.
struct PseudoTerminal: ~Copyable {
  let master: FileDescriptor
  let slave: FileDescriptor
  /// The slave's file.
  let path: String

  init(raw: Bool = true) throws(SystemError) {
    let master = FileDescriptor(owning: posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC))
    let number = master.rawValue
    guard number >= 0, grantpt(number) == 0, unlockpt(number) == 0, let name = ptsname(number) else {
      throw SystemError("posix_openpt", "", .current)
    }
    self.init(master: master, path: String(cString: name), slave: try .open(String(cString: name), O_RDWR | O_NOCTTY))
    if raw {
      var settings = termios()
      tcgetattr(slave.rawValue, &settings)
      cfmakeraw(&settings)
      tcsetattr(slave.rawValue, TCSANOW, &settings)
    }
  }

  private init(master: consuming FileDescriptor, path: String, slave: consuming FileDescriptor) {
    self.master = master
    self.slave = slave
    self.path = path
  }

  /// The modes that raw mode changes. Asked of the master, which outlives a hang-up.
  borrowing func modes() -> [UInt32] { PseudoTerminal.modes(of: master.rawValue) }

  static func modes(of descriptor: Int32) -> [UInt32] {
    var settings = termios()
    guard tcgetattr(descriptor, &settings) == 0 else { return [] }
    return [settings.c_iflag, settings.c_oflag, settings.c_cflag, settings.c_lflag]
  }
}
