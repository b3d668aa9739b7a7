/// The list of a kernel's modules: those that are built in, and those that are files.
struct KernelModules {
  /// The folder that holds the lists.
  let folder: String
  private let builtIn: Set<String>
  /// nil when no list of them is there.
  private let files: Set<String>?

  /// Reads the lists in `folder` (Documentation/kbuild/kbuild.rst, modules.builtin and modules.order); nil when it has none.
  init?(folder: String) {
    guard let builtIn = TextFile.read("\(folder)/modules.builtin", limit: 4 << 20) else { return nil }
    self.folder = folder
    self.builtIn = KernelModules.names(builtIn)
    files =
      (TextFile.read("\(folder)/modules.order", limit: 4 << 20)
      ?? TextFile.read("\(folder)/modules.dep", limit: 8 << 20))
      .map(KernelModules.names)
  }

  /// What the lists tell about `option`.
  func state(of option: KernelOption) -> OptionState {
    guard let module = option.module.map({ KernelModules.normalized($0.utf8) }) else { return .unknown }
    if builtIn.contains(module) { return .builtIn }
    guard let files else { return .unknown }
    return files.contains(module) ? .module : .absent
  }

  /// The modules' names in lines like "kernel/fs/fuse/fuse.ko" or "kernel/fs/fuse/fuse.ko.xz: ...".
  static func names(_ text: [UInt8]) -> Set<String> {
    var names: Set<String> = []
    for line in text.split(separator: UInt8(ascii: "\n")) {
      let path = line.prefix { $0 != UInt8(ascii: ":") }
      let start = path.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? path.startIndex
      let name = path[start...].prefix { $0 != UInt8(ascii: ".") }
      if !name.isEmpty { names.insert(normalized(name)) }
    }
    return names
  }

  /// A module's name has underscores where its file may have dashes.
  private static func normalized(_ name: some Sequence<UInt8>) -> String {
    String(decoding: name.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }, as: UTF8.self)
  }
}
