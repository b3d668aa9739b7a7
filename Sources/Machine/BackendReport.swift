/// Which rung a VM ran on, and why, for `--timings`.
public struct BackendReport: Sendable {
  /// "kvm" or "libvirt".
  public var name: String
  /// "kvm" or "emulation".
  public var acceleration: String
  /// The machine's kind: vmrun's own is "microvm".
  public var machine: String
  /// Why this rung: one line for people.
  public var reason: String
  /// The kernel's file; nil for the built-in guest.
  public var kernel: String?

  public init(name: String, acceleration: String, machine: String, reason: String, kernel: String?) {
    self.name = name
    self.acceleration = acceleration
    self.machine = machine
    self.reason = reason
    self.kernel = kernel
  }

  /// A VM of vmrun's own.
  public static func direct(reason: String, kernel: String?) -> BackendReport {
    BackendReport(name: "kvm", acceleration: "kvm", machine: "microvm", reason: reason, kernel: kernel)
  }

  /// Two members of an object: "backend":{...},"kernel":"/path" (null for the built-in guest).
  public var json: String {
    var text = "\"backend\":{\"name\":"
    text += Self.quoted(name)
    text += ",\"acceleration\":"
    text += Self.quoted(acceleration)
    text += ",\"machine\":"
    text += Self.quoted(machine)
    text += ",\"reason\":"
    text += Self.quoted(reason)
    text += "},\"kernel\":"
    text += kernel.map { Self.quoted($0) } ?? "null"
    return text
  }

  /// A line of the table.
  public var line: String { "backend \(name) (\(machine), \(acceleration)): \(reason)\n" }

  /// A JSON string (RFC 8259, section 7).
  package static func quoted(_ text: String) -> String {
    var bytes: [UInt8] = [UInt8(ascii: "\"")]
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case 0..<0x20:
        bytes += Array("\\u00".utf8) + [0x30 + byte / 16]
        bytes.append(byte % 16 + (byte % 16 < 10 ? 0x30 : 0x61 - 10))
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension Handover {
  /// `reason` when the user asked for libvirt: then there is no reason line to print.
  public static let asked = "asked for by --backend"
}
