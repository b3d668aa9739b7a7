import CLinux

/// Where `vmrun-libvirt`, the program that takes over where KVM cannot serve, is looked for.
public enum HelperPlace {
  /// The program's name.
  public static let name = "vmrun-libvirt"

  /// The paths in the order in which they are tried, by the path of vmrun's own file: beside it, then libexec folders.
  public static func all(executable: String?) -> [String] {
    var folders: [String] = []
    if let executable, let slash = executable.utf8.lastIndex(of: UInt8(ascii: "/")) {
      let folder = String(executable[..<slash])
      folders.append(folder)
      if let above = folder.utf8.lastIndex(of: UInt8(ascii: "/")) {
        let parent = String(folder[..<above])
        folders += [parent + "/libexec/vmrun", parent + "/libexec"]
      }
    }
    for folder in ["/usr/local/libexec", "/usr/libexec"] where !folders.contains(folder) { folders.append(folder) }
    return folders.map { "\($0)/\(name)" }
  }

  /// The first of them that can be executed; nil for none.
  public static func find(executable: String?) -> String? {
    // unsafe: the path is NUL-terminated for the call.
    all(executable: executable).first { unsafe access($0, X_OK) == 0 }
  }
}
