/// The text of `--help`.
enum Help {
  static let text = """
    vmrun-libvirt runs a virtual machine of vmrun through libvirt and QEMU, where this host's KVM cannot run stock kernels.
    vmrun starts it by itself (vmrun --backend auto, the default); vmrun --backend libvirt always does.

    usage: vmrun-libvirt --handover FD --program FD
           vmrun-libvirt --check
           vmrun-libvirt --help

      --handover FD  what vmrun asks for, in an open file
      --program FD   vmrun's own program, which becomes the guest's init
      --check        print what libvirt offers here as one JSON object, within 5 seconds

    The daemon is the system's for root (qemu:///system) and the user's own otherwise (qemu:///session), which libvirt
    starts. Root gets a session of its own, in a user namespace, where no system daemon runs, or where only root may open
    /dev/kvm. Debian's packages: libvirt-daemon libvirt-daemon-driver-qemu qemu-system-x86.

    The virtual machine is transient, and ends with this process, even when that is killed. KVM is used where it serves,
    QEMU's emulation (TCG) elsewhere. A command without disks gets QEMU's microvm, everything else a q35 PC.

    Exit codes are vmrun's (vmrun --help), with these differences:
      - a guest cannot choose its exit code by writing to port 0x604: that is vmrun's own device;
      - a triple fault is a reset to QEMU: 121 instead of 123;
      - what is typed before the guest's kernel has opened its console waits here, and 16 bytes of it may be lost when a
        program opens the port anew.

    """
}
