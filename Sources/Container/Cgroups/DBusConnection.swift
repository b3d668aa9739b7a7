import CContainer
import CLinux
import System

/// A connection to a service manager: to its own socket, which is a peer without a bus, or through a message bus.
struct DBusConnection: ~Copyable {
  private let socket: FileDescriptor
  /// Whether names are resolved by a bus, which then wants a greeting and rules for signals.
  let isBus: Bool
  private var serial: UInt32 = 0
  private var received: [UInt8] = []
  /// Signals that came while a reply was awaited.
  private var signals: [DBusMessage] = []
  private let deadline: UInt64

  /// How long a manager may take in all.
  static let patience: UInt64 = 30_000_000_000

  private init(_ socket: consuming FileDescriptor, isBus: Bool, patience: UInt64) {
    self.socket = socket
    self.isBus = isBus
    deadline = Clock.now() &+ patience
  }

  /// Connects to `address`, a path, or a name with a NUL in front; `isBus` for a message bus.
  static func open(_ address: [UInt8], isBus: Bool, patience: UInt64 = DBusConnection.patience) throws(ContainerError)
    -> DBusConnection
  {
    // unsafe: the array outlives the call and is as long as announced.
    let raw = unsafe address.withUnsafeBufferPointer { unsafe ccontainer_connect_unix($0.baseAddress, $0.count) }
    guard raw >= 0 else {
      let shown = address.first == 0 ? [UInt8(ascii: "@")] + address.dropFirst() : address
      throw ContainerError("systemd", SystemError("connect to", String(decoding: shown, as: UTF8.self), .current))
    }
    var connection = DBusConnection(FileDescriptor(owning: raw), isBus: isBus, patience: patience)
    try connection.authenticate()
    if isBus {
      _ = try connection.call(
        .call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", []))
    }
    return connection
  }

  /// The EXTERNAL mechanism with an empty identity: the peer takes the one of the socket, which also holds across user
  /// namespaces (D-Bus specification, "Authentication Mechanisms").
  private mutating func authenticate() throws(ContainerError) {
    try send(Array("\0AUTH EXTERNAL\r\nDATA\r\n".utf8))
    let data = try line()
    let answer = data == "DATA" ? try line() : data
    guard answer.utf8.starts(with: "OK".utf8) else {
      throw ContainerError(.system, "systemd: the bus refused this user (\(answer))")
    }
    try send(Array("BEGIN\r\n".utf8))
  }

  /// Sends `message` and waits for its reply.
  /// - Throws: `.system` with the peer's text when it answers with an error; `.notFound` when the unit does not exist, `.exists` when it
  ///   does already.
  mutating func call(_ message: DBusMessage) throws(ContainerError) -> DBusMessage {
    serial += 1
    var message = message
    message.serial = serial
    if !isBus { message.destination = nil }
    try send(message.encoded)
    while true {
      let answer = try receive()
      if answer.kind == .signal { signals.append(answer) }
      guard answer.replySerial == serial else { continue }
      guard answer.kind == .error else { return answer }
      var text = answer.errorName ?? "error"
      if case .string(let reason)? = answer.body.first { text = reason }
      var kind = ContainerError.Kind.system
      if answer.errorName == "org.freedesktop.systemd1.NoSuchUnit" { kind = .notFound }
      if answer.errorName == "org.freedesktop.systemd1.UnitExists" { kind = .exists }
      throw ContainerError(kind, "systemd: \(message.member ?? ""): \(text)")
    }
  }

  /// Asks a bus for a signal; a peer without a bus sends all of its own accord.
  mutating func subscribe(interface: String, member: String) throws(ContainerError) {
    guard isBus else { return }
    _ = try call(
      .call(
        "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch",
        [.string("type='signal',interface='\(interface)',member='\(member)'")]))
  }

  /// The next signal `member`, also one that came before.
  mutating func signal(_ member: String) throws(ContainerError) -> DBusMessage {
    while true {
      let message = signals.isEmpty ? try receive() : signals.removeFirst()
      if message.kind == .signal, message.member == member { return message }
    }
  }

  private mutating func receive() throws(ContainerError) -> DBusMessage {
    while true {
      if received.count >= 16 {
        let length = try DBusMessage.length(received)
        if received.count >= length {
          let bytes = Array(received[..<length])
          received.removeFirst(length)
          // Kinds that a later specification adds are to be ignored.
          if bytes[1] == 0 || bytes[1] > 4 { continue }
          return try DBusMessage(decoding: bytes)
        }
      }
      try fill()
    }
  }

  private mutating func line() throws(ContainerError) -> String {
    while true {
      if let end = received.firstIndex(of: UInt8(ascii: "\n")) {
        let text = received[..<end].filter { $0 != UInt8(ascii: "\r") }
        received.removeFirst(end + 1)
        return String(decoding: text, as: UTF8.self)
      }
      guard received.count < 16_384 else { throw DBusReader.malformed }
      try fill()
    }
  }

  private mutating func fill() throws(ContainerError) {
    while true {
      let left = Int64(bitPattern: deadline &- Clock.now())
      guard left > 0 else { throw ContainerError(.system, "systemd: no answer in time") }
      var ready = pollfd(fd: socket.rawValue, events: Int16(POLLIN), revents: 0)
      // unsafe: one struct is handed over, and one is announced.
      if unsafe poll(&ready, 1, Int32(left / 1_000_000 + 1)) > 0 { break }
    }
    var chunk = [UInt8](repeating: 0, count: 4096)
    // unsafe: the array outlives the call and is as long as the buffer says.
    let count = retrying { unsafe read(socket.rawValue, &chunk, 4096) }
    guard count > 0 else { throw ContainerError(.system, "systemd: the connection ended") }
    received += chunk[..<count]
  }

  private func send(_ bytes: [UInt8]) throws(ContainerError) {
    var done = 0
    while done < bytes.count {
      // unsafe: done < bytes.count, so the rest lies inside the array, which outlives the call.
      let count = unsafe bytes.withUnsafeBytes { buffer in
        retrying {
          unsafe CLinux.send(
            socket.rawValue, buffer.baseAddress?.advanced(by: done), bytes.count - done, Int32(MSG_NOSIGNAL))
        }
      }
      guard count > 0 else { throw ContainerError("systemd", SystemError("send", "", .current)) }
      done += count
    }
  }
}
