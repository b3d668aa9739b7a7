/// The names that a configuration may hold, for `features` (features-linux.md).
public enum SpecFeatures {
  public static var namespaces: [String] { Linux.NamespaceType.allCases.map { $0.name }.sorted() }
  public static var seccompActions: [String] { names(KernelNames.seccompActions) }
  public static var seccompOperators: [String] { names(KernelNames.seccompOperators) }
  public static var seccompArchitectures: [String] { names(KernelNames.seccompArchitectures) }
  public static var seccompFlags: [String] { names(KernelNames.seccompFlags) }
  public static var memoryPolicies: [String] { names(KernelNames.memoryPolicyModes) }
  public static var memoryPolicyFlags: [String] { names(KernelNames.memoryPolicyFlags) }

  private static func names<Value>(_ table: Names<Value>) -> [String] { table.entries.map { $0.name }.sorted() }
}
