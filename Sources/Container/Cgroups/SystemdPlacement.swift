extension CgroupPlacement {
  static func underSystemd(_ cgroupsPath: String?, id: String, rootless: Bool, sources: CgroupLayout.Sources)
    throws(ContainerError) -> CgroupPlacement
  {
    throw ContainerError(.notSupported, "")
  }
}
