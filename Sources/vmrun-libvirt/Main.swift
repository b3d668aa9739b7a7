import Libvirt

/// The program's entry.
@c(vmrun_libvirt_main)
public func entry(
  argc: Int32, argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>,
  envp: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Int32 { 125 }
