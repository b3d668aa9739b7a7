import OCI

enum Systemd {
  static func start(_ scope: SystemdScope, around pid: Int32, resources: Resources?, legacy: Bool)
    throws(ContainerError)
  {}
  static func update(_ scope: SystemdScope, _ resources: Resources, legacy: Bool) throws(ContainerError) {}
  static func stop(_ scope: SystemdScope) {}
}
