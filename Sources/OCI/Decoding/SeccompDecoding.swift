import JSON

extension Seccomp {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    defaultAction = try fields.required("defaultAction", KernelNames.seccompActions.decode)
    defaultErrno = try Self.errno(fields, "defaultErrnoRet", defaultAction)
    architectures = try fields.array("architectures", Self.known(KernelNames.seccompArchitectures))
    flags = try fields.array("flags", Self.known(KernelNames.seccompFlags))
    listenerPath = try fields.text("listenerPath")
    listenerMetadata = try fields.text("listenerMetadata")
    syscalls = try fields.array("syscalls", Rule.init(decoding:))
    if listenerMetadata != nil, listenerPath == nil {
      throw SpecError("must not be set without listenerPath", path: "listenerMetadata")
    }
    if defaultAction == .notify {
      throw SpecError("SCMP_ACT_NOTIFY cannot be the default: nothing could start", path: "defaultAction")
    }
    for index in syscalls.indices where syscalls[index].action == .notify {
      guard listenerPath != nil else { throw SpecError("SCMP_ACT_NOTIFY needs one", path: "listenerPath") }
      if syscalls[index].names.contains("write") {
        throw SpecError(
          "SCMP_ACT_NOTIFY cannot be the action for 'write': vmrun itself needs it until the program starts",
          path: "syscalls[\(index)]")
      }
    }
  }

  /// An error number, which only two actions can carry.
  fileprivate static func errno(_ fields: Fields, _ name: String, _ action: Action) throws(SpecError) -> UInt32? {
    // SECCOMP_RET_DATA of seccomp.h has 16 bits; the kernel takes errors up to MAX_ERRNO.
    guard let number = try fields.unsigned(name, most: action == .trace ? 0xFFFF : 4095) else { return nil }
    guard action == .errno || action == .trace else {
      throw SpecError("only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take one", path: name)
    }
    return UInt32(number)
  }

  private static func known(_ names: Names<Void>) -> (JSON) throws(SpecError) -> String {
    { (value) throws(SpecError) in
      try names.decode(value)
      return try Fields.string(value)
    }
  }

  /// What is legal but odd.
  func warn(_ warnings: inout [String]) {
    for index in syscalls.indices where syscalls[index].action == defaultAction && syscalls[index].errno == defaultErrno
    {
      warnings.append("linux.seccomp.syscalls[\(index)]: has no effect, being the default action")
    }
  }
}

extension Seccomp.Rule {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    names = try fields.strings("names")
    guard !names.isEmpty else { throw SpecError("needs at least one system call", path: "names") }
    action = try fields.required("action", KernelNames.seccompActions.decode)
    errno = try Seccomp.errno(fields, "errnoRet", action)
    args = try fields.array("args", Seccomp.Argument.init(decoding:))
  }
}

extension Seccomp.Argument {
  init(decoding json: JSON) throws(SpecError) {
    let fields = try Fields(json)
    index = UInt32(try fields.required("index") { (value) throws(SpecError) in try Fields.unsigned(value, most: 5) })
    value = try fields.required("value") { (value) throws(SpecError) in try Fields.unsigned(value) }
    valueTwo = try fields.unsigned("valueTwo") ?? 0
    comparison = try fields.required("op", KernelNames.seccompOperators.decode)
  }
}
