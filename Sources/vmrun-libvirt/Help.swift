/// The text of `--help`.
enum Help {
  static let text = """
    vmrun-libvirt runs a virtual machine through libvirt where vmrun cannot use KVM itself. vmrun starts it; see vmrun --help.

    """
}
