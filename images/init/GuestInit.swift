import CGuestInit
import CLinux
import GuestProtocol
import System

/// The guest's first process: prepares the system, runs the one command, and turns the machine off. vmrun's program calls
/// it when it finds itself started by the kernel, from `CommandConfiguration.initPath` as process 1.
///
/// `arguments` are what stands behind "--" on the kernel's command line. "ttyS1" among them means that the host talks over
/// the second serial port; else it talks over vmrun's I/O ports.
public func guestInitMain(_ arguments: [[UInt8]] = []) -> Never {
  keepStandardDescriptors()
  do throws(Failure) {
    let isSerial = arguments.contains { $0.elementsEqual("ttyS1".utf8) }
    let ports = isSerial ? nil : try PortTransport()
    let transport: any ChannelTransport
    if let ports { transport = ports } else { transport = try SerialTransport(path: "/dev/ttyS1") }
    transport.mark(.initStarted)
    let channel = Channel(transport)
    channel.send(.hello(version: GuestMessage.version))
    let end: GuestMessage
    do throws(Failure) {
      end = try runCommand(ports, channel)
    } catch {
      end = .failure(code: error.code, message: error.message)
    }
    settle()
    finish(channel, with: end)
  } catch {
    // There is nobody but the console to tell.
    Log.raw("\(error)\n")
  }
  powerOff()
}

private func runCommand(_ ports: PortTransport?, _ channel: Channel) throws(Failure) -> GuestMessage {
  let configuration = try readConfiguration(CommandConfiguration.path)
  try RootFileSystem.enter(CommandConfiguration.rootPath)
  try RootFileSystem.populate()
  try prepareSystem(configuration)
  let runner = try CommandRunner(configuration, channel)
  // The command is on its way, and setting a serial port up takes many exits.
  ports?.attachDevices()
  return try runner.run()
}

/// Reads and checks the configuration in file `path`.
public func readConfiguration(_ path: String) throws(Failure) -> CommandConfiguration {
  let bytes: [UInt8]
  do throws(SystemError) {
    bytes = try readFile(path, limit: CommandConfiguration.sizeLimit + 1)
  } catch {
    throw Failure(error)
  }
  do throws(ConfigurationError) {
    return try CommandConfiguration(decoding: bytes)
  } catch {
    throw Failure("guest init: \(error)")
  }
}

private func prepareSystem(_ configuration: CommandConfiguration) throws(Failure) {
  if !configuration.hostname.isEmpty {
    let name = CStrings([configuration.hostname])
    // unsafe: the first string is the name, and lives until the end of the block.
    guard let start = unsafe name.first, unsafe sethostname(start, configuration.hostname.count) == 0 else {
      throw Failure(SystemError("sethostname", "", .current))
    }
  }
  // A kernel without IPv4 has no such interface, and a command may well do without it.
  _ = bring_up_loopback()
  // The kernel gives its first process few descriptors; distributions raise the limit to this for services.
  var files = rlimit(rlim_cur: 1024, rlim_max: 524_288)
  // unsafe: setrlimit reads the one struct.
  _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
}

/// Descriptors 0, 1 and 2 are the console, if the initramfs has a node for it. They must be something, or pipes would take
/// their places.
private func keepStandardDescriptors() {
  while true {
    let descriptor = unsafe clinux_open("/", O_RDONLY | O_CLOEXEC, 0)
    if descriptor > 2 {
      _ = close(descriptor)
      return
    }
    if descriptor < 0 { return }
  }
}

/// Ends what the command has left behind and brings its data to the disks.
private func settle() {
  _ = kill(-1, SIGKILL)
  let disks = MountedDisks.targets()
  if !disks.isEmpty {
    // A file system is busy until its last user is gone; one that hangs in the kernel is not waited for.
    let deadline = Clock.now() + 2_000_000_000
    while Clock.now() < deadline {
      let child = waitpid(-1, nil, WNOHANG)
      if child < 0 { break }
      if child == 0 { _ = usleep(1000) }
    }
    MountedDisks.release()
  }
  sync()
}

/// Sends the last message, however long the host takes to take it.
private func finish(_ channel: Channel, with end: GuestMessage) {
  channel.send(end)
  while !channel.isDrained {
    _ = usleep(1000)
    channel.flush()
  }
  channel.settle()
}

private func powerOff() -> Never {
  _ = reboot(RB_POWER_OFF)
  // A kernel that cannot turn the machine off comes back; process 1 must not end.
  while true { _ = pause() }
}
