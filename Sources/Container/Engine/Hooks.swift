import CLinux
import OCI
import System

/// Runs the hooks of one stage (OCI runtime specification, "POSIX-platform Hooks").
struct HookRunner {
  let stage: String
  /// The container's state as JSON: each hook's standard input.
  let state: [UInt8]

  /// Runs them in order.
  /// - Throws: when one cannot be run, fails or exceeds its timeout; the rest is not run then.
  func run(_ hooks: [Spec.Hook]) throws(ContainerError) {
    for (index, hook) in hooks.enumerated() {
      do throws(ContainerError) {
        let outcome = try ExternalProgram.run(
          hook.path, hook.args.isEmpty ? [Array(hook.path.utf8)] : hook.args.map { Array($0.utf8) },
          environment: hook.env.map { Array($0.utf8) }, input: state, timeout: hook.timeout)
        guard outcome.status == 0 else { throw ContainerError(.system, outcome.text) }
      } catch {
        throw error.inside("\(stage) hook #\(index) (\(hook.path))")
      }
    }
  }
}
