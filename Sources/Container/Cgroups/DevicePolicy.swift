import OCI

/// The device rules of a container as one list, later rules over earlier ones, and what they come to. Nothing is allowed
/// that no rule allows.
struct DevicePolicy: Equatable {
  var rules: [Resources.DeviceRule]

  /// The configuration's rules, then those devices that every container may use: the specification's default devices
  /// (config-linux.md, "Default Devices"), pseudo-terminals, tun, and making any node without opening it.
  /// - Throws: `.invalid` for a rule about something that is no device.
  init(_ given: [Resources.DeviceRule]) throws(ContainerError) {
    rules = []
    for (index, rule) in given.enumerated() {
      if rule.type == .fifo {
        throw ContainerError(.invalid, "linux.resources.devices[\(index)].type: 'p' is no device; use a, b or c")
      }
      rules.append(rule)
    }
    rules += DevicePolicy.always
  }

  private static func character(_ major: UInt32?, _ minor: UInt32?, _ access: Resources.DeviceRule.Access)
    -> Resources.DeviceRule
  {
    Resources.DeviceRule(allow: true, type: .character, major: major, minor: minor, access: access)
  }

  static let always: [Resources.DeviceRule] = [
    character(nil, nil, .mknod),
    Resources.DeviceRule(allow: true, type: .block, major: nil, minor: nil, access: .mknod),
    character(1, 3, .all),  // null
    character(1, 5, .all),  // zero
    character(1, 7, .all),  // full
    character(1, 8, .all),  // random
    character(1, 9, .all),  // urandom
    character(5, 0, .all),  // tty
    character(5, 2, .all),  // ptmx
    character(136, nil, .all),  // pts/*
    character(10, 200, .all),  // net/tun
  ]

  /// Whether a rule is about every device and every access.
  static func isTotal(_ rule: Resources.DeviceRule) -> Bool {
    rule.type == .all && rule.major == nil && rule.minor == nil && rule.access == .all
  }
}

/// What a rule list comes to where rules have no order (cgroup v1's devices controller, systemd's DeviceAllow): one default, and
/// exceptions from it.
struct DeviceExceptions: Equatable {
  struct Key: Equatable {
    var type: Linux.DeviceType
    var major: UInt32?
    var minor: UInt32?

    func covers(_ other: Key) -> Bool {
      type == other.type && (major == nil || major == other.major) && (minor == nil || minor == other.minor)
    }
    func meets(_ other: Key) -> Bool {
      type == other.type && (major == nil || other.major == nil || major == other.major)
        && (minor == nil || other.minor == nil || minor == other.minor)
    }
    /// "c 1:3".
    var text: String {
      let letter = type == .block ? "b" : "c"
      return "\(letter) \(major.map { "\($0)" } ?? "*"):\(minor.map { "\($0)" } ?? "*")"
    }
  }
  struct Entry: Equatable {
    var key: Key
    var access: Resources.DeviceRule.Access
    /// "c 1:3 rwm".
    var text: String { "\(key.text) \(access.text)" }
  }

  var defaultAllow: Bool
  var entries: [Entry]

  /// - Throws: `.notSupported` for a rule that takes back a part of a broader one: without an order that cannot be said.
  init(_ policy: DevicePolicy) throws(ContainerError) {
    defaultAllow = false
    entries = []
    for rule in policy.rules {
      if DevicePolicy.isTotal(rule) {
        defaultAllow = rule.allow
        entries = []
        continue
      }
      let types: [Linux.DeviceType] = rule.type == .all ? [.block, .character] : [rule.type]
      for type in types {
        let key = Key(type: type, major: rule.major, minor: rule.minor)
        if rule.allow == defaultAllow { try remove(key, rule.access) } else { insert(key, rule.access) }
      }
    }
  }

  init(defaultAllow: Bool, entries: [Entry]) {
    self.defaultAllow = defaultAllow
    self.entries = entries
  }

  private mutating func insert(_ key: Key, _ access: Resources.DeviceRule.Access) {
    guard !access.isEmpty else { return }
    if let index = entries.firstIndex(where: { $0.key == key }) {
      entries[index].access.formUnion(access)
    } else {
      entries.append(Entry(key: key, access: access))
    }
  }

  private mutating func remove(_ key: Key, _ access: Resources.DeviceRule.Access) throws(ContainerError) {
    var rest: [Entry] = []
    for entry in entries {
      let common = entry.access.intersection(access)
      if common.isEmpty || !entry.key.meets(key) {
        rest.append(entry)
      } else if key.covers(entry.key) {
        let left = entry.access.subtracting(access)
        if !left.isEmpty { rest.append(Entry(key: entry.key, access: left)) }
      } else {
        throw ContainerError(
          .notSupported,
          "linux.resources.devices: '\(defaultAllow ? "allow" : "deny") \(key.text) \(access.text)' takes back a part of the "
            + "earlier '\(entry.text)'; cgroup v1 keeps rules without an order (cgroup v2 can do it)")
      }
    }
    entries = rest
  }

  /// The lines for devices.deny and devices.allow that turn a fresh cgroup into this, whatever it inherited.
  var commands: [(file: String, line: String)] {
    let file = defaultAllow ? "devices.deny" : "devices.allow"
    return [(defaultAllow ? "devices.allow" : "devices.deny", "a")] + entries.map { (file, $0.text) }
  }

  /// The lines that turn `current` into this without a moment in which a device is denied (or allowed) that both allow (or deny).
  func commands(from current: DeviceExceptions) -> [(file: String, line: String)] {
    guard current.defaultAllow == defaultAllow else { return commands }
    let add = defaultAllow ? "devices.deny" : "devices.allow"
    let take = defaultAllow ? "devices.allow" : "devices.deny"
    var lines: [(file: String, line: String)] = []
    for entry in entries {
      let there = current.entries.first { $0.key == entry.key }?.access ?? []
      let missing = entry.access.subtracting(there)
      if !missing.isEmpty { lines.append((add, Entry(key: entry.key, access: missing).text)) }
    }
    for entry in current.entries {
      let wanted = entries.first { $0.key == entry.key }?.access ?? []
      let surplus = entry.access.subtracting(wanted)
      if !surplus.isEmpty { lines.append((take, Entry(key: entry.key, access: surplus).text)) }
    }
    return lines
  }

  /// Reads devices.list: "a *:* rwm" says that everything is allowed, otherwise each line is an allowed exception.
  /// A list of denied exceptions cannot be read from it, so that default is reported with none.
  init(list: String) {
    defaultAllow = false
    entries = []
    for line in list.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count == 3, let letter = fields[0].utf8.first else { continue }
      if letter == UInt8(ascii: "a") {
        defaultAllow = true
        entries = []
        return
      }
      let numbers = fields[1].split(separator: ":")
      guard numbers.count == 2 else { continue }
      let type: Linux.DeviceType = letter == UInt8(ascii: "b") ? .block : .character
      let key = Key(type: type, major: UInt32(numbers[0]), minor: UInt32(numbers[1]))
      insert(key, Resources.DeviceRule.Access(letters: fields[2]))
    }
  }
}

extension Resources.DeviceRule.Access {
  /// "rwm", in this order.
  var text: String {
    var text = ""
    if contains(.read) { text += "r" }
    if contains(.write) { text += "w" }
    if contains(.mknod) { text += "m" }
    return text
  }

  init(letters: Substring) {
    self = []
    for letter in letters.utf8 {
      switch letter {
      case UInt8(ascii: "r"): insert(.read)
      case UInt8(ascii: "w"): insert(.write)
      case UInt8(ascii: "m"): insert(.mknod)
      default: break
      }
    }
  }
}
