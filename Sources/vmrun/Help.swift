import OCI

/// The texts of `--help` and `--version`.
enum Help {
  /// The first line and the other two as dockerd reads them from every runtime.
  static let version = "vmrun version 0.1.0\ncommit: 0.1.0\nspec: \(Spec.writtenVersion)\n"

  /// The line that a usage error ends with.
  static let pointer = "see vmrun --help"

  static let text = """
    vmrun starts a micro-VM on KVM and exits with its payload's exit code.

    usage:
      vmrun [options]                                        boot the built-in guest
      vmrun --kernel FILE [options]                          boot a Linux kernel; the console is this terminal
      vmrun --kernel FILE --rootfs DIR [options] -- CMD ...  boot it and run CMD with a copy of DIR as its root

    kernel:
      --kernel FILE         a bzImage (any compression that Linux offers) or an ELF vmlinux, x86-64
      --initrd FILE         an initramfs
      --append TEXT         added to the kernel's command line (for the built-in guest: exit=N, echo=TEXT, quiet)
      --boot MODE           auto: decompress on the host where vmrun can (kept in the cache folder), direct: only so,
                            decompress: by the kernel's own decompressor
      --kernel-pages MODE   shared: VMs of one kernel share its unchanged pages; copied: in huge pages, which starts faster
                            where this host is itself a VM; auto: the one that suits this host     [auto]

    machine:
      --cpus N              virtual processors, 1 to 255                                    [1]
      --memory SIZE         512M, 2G ... (binary units); a kernel's least is 64M, Debian's 80M    [256M; built-in guest 32M]
      --disk FILE[,ro]      a raw image or block device as /dev/vda, vdb, ... (repeatable)
      --timeout TIME        ends the VM after 30, 1.5, 500ms, 2m ...                        [never]
      --console WHERE       where the serial console goes: stdio, stderr, none or a file    [stdio; captured for CMD]

    command:
      --rootfs DIR          CMD's root; copied into the guest, never changed on the host
      --env K=V, -e         an environment variable; K alone passes vmrun's own value on (repeatable)
      --workdir DIR, -w     where CMD starts                                                [/]
      --user UID[:GID], -u  numeric user and group                                          [0:0]
      --hostname NAME       the guest's name                                                [vmrun]
      --tty, -t             gives CMD a terminal; signals and window size are forwarded

    other:
      --timings[=json]      a table of where the start's time went, on standard error
      --verbose, -v         shows the kernel's log on standard error while CMD runs
      --quiet, -q           says nothing but errors
      --help, -h            this text
      --version, -V         the version

    On a terminal, Ctrl-A x ends the VM, Ctrl-A Ctrl-A sends a Ctrl-A, Ctrl-A h helps. SIGINT, SIGTERM and SIGHUP are
    forwarded to CMD; a third SIGINT, or any of them without CMD, ends the VM.

    exit codes:
      CMD's own; 128+n when signal n ended it; 126 not executable; 127 not found. Without CMD: 0 power-off, or the code
      that the guest writes to port 0x604. 120 the guest hangs, 121 it restarts, 122 it panics, 123 triple fault,
      124 --timeout, 125 vmrun could not do it, 130 ended by the escape.

    container runtime (OCI runtime specification, with runc's command line):
      vmrun [global options] VERB [options] [ID]; vmrun VERB --help explains each, vmrun --debug --help the global options
    \(OCIHelp.overview)
    examples:
      vmrun --append exit=3; echo $?
      vmrun --kernel /boot/vmlinuz-$(uname -r) --rootfs ./busybox -- sh -c 'uname -r; exit 7'
      vmrun --kernel bzImage --initrd initramfs.cpio --append 'rdinit=/init' --cpus 2 --memory 1G --timeout 60

    """
}
