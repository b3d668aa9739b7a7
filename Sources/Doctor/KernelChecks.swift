import Kernels

/// The kernels that there are to boot.
enum KernelChecks {
  static func findings() -> [Finding] {
    let entries = KernelCatalogue.find()
    var verdict: KernelInspection.Verdict?
    var problem = ""
    if let kernel = KernelCatalogue.defaultKernel() {
      do throws(KernelsError) { verdict = try KernelInspection(kernel.path).verdict } catch {
        problem = error.description
      }
    }
    return [finding(entries, KernelCatalogue.defaultKernel(), verdict, problem)]
  }

  static func finding(
    _ entries: [KernelEntry], _ kernel: KernelEntry?, _ verdict: KernelInspection.Verdict?, _ problem: String
  ) -> Finding {
    let (id, title) = ("kernels.default", "default")
    let cost = "a command in a virtual machine, without --kernel FILE"
    let fetch = "vmrun kernel fetch debian"
    guard let kernel else {
      guard let first = entries.first else {
        return .lacks(
          id, .kernels, title, "no kernel is in vmrun's cache or in /boot", cost: cost, remedy: fetch)
      }
      return .lacks(
        id, .kernels, title, "\(first.path) and the others may not be read by you", cost: cost,
        remedy: "\(fetch)   (or: sudo chmod a+r \(first.path))")
    }
    let text = "\(kernel.name) (\(kernel.source.name)), of \(entries.count) found"
    switch verdict {
    case .no(let reasons)?:
      return .lacks(
        id, .kernels, title, "\(text), does not boot a command: \(Text.join(reasons, "; "))",
        cost: cost, remedy: fetch)
    case nil:
      return .lacks(id, .kernels, title, "\(text): \(problem)", cost: cost, remedy: fetch)
    case .yes?: return .works(id, .kernels, title, "\(text); it has all that a command needs")
    case .probably?, .unknown?: return .works(id, .kernels, title, "\(text); not all of its options are known")
    }
  }
}
