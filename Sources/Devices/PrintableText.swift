extension String {
  /// Text that a guest wrote, safe to print on a user's terminal: repaired UTF-8, without carriage returns, and with
  /// every control character but tab and line feed shown as "?", so that it cannot carry escape sequences.
  init(printable bytes: some Sequence<UInt8>) {
    self = ""
    for scalar in String(decoding: Array(bytes), as: UTF8.self).unicodeScalars {
      switch scalar.value {
      case 0x0D: continue
      case 0x09, 0x0A: unicodeScalars.append(scalar)
      case 0..<0x20, 0x7F..<0xA0: unicodeScalars.append("?")
      default: unicodeScalars.append(scalar)
      }
    }
  }
}
