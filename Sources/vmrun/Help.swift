import OCI

/// The texts of `--help` and `--version`.
enum Help {
  /// The first line and the other two as dockerd reads them from every runtime.
  static let version = "vmrun version 0.1.0\ncommit: 0.1.0\nspec: \(Spec.writtenVersion)\n"

  /// The line that a usage error ends with.
  static let pointer = "see vmrun --help"

  static let text = """
    vmrun starts a micro-VM on KVM, or a container, and exits with its payload's exit code.

    usage:
      vmrun [options]                                        boot the built-in guest
      vmrun --kernel FILE [options]                          boot a Linux kernel; the console is this terminal
      vmrun [--kernel FILE] --rootfs DIR [options] -- CMD ... boot it and run CMD with a copy of DIR as its root
      vmrun --container --rootfs DIR [options] -- CMD ...    run CMD in a container with DIR as its root

    isolation:
      --isolation KIND      vm or container; --container is short for the latter            [vm]

    kernel:
      --kernel FILE         a bzImage (any compression that Linux offers) or an ELF vmlinux, x86-64; or the name of one that
                            vmrun kernel list shows, or its beginning (6.12)                [CMD: the newest of the list]
      --backend NAME        what runs it. kvm: vmrun on this host's KVM; libvirt: QEMU, by vmrun-libvirt; auto: kvm where a
                            probe guest has proven that it runs stock kernels, else libvirt; the choice and its reason are
                            told on standard error. The built-in guest runs on KVM alone    [auto]
      --initrd FILE         an initramfs
      --append TEXT         added to the kernel's command line (for the built-in guest: exit=N, echo=TEXT, quiet)
      --boot MODE           auto: decompress on the host where vmrun can (kept in the cache folder), direct: only so,
                            decompress: by the kernel's own decompressor
      --kernel-pages MODE   shared: VMs of one kernel share its unchanged pages; copied: in huge pages, which starts faster
                            where this host is itself a VM; auto: the one that suits this host     [auto]

    machine and container:
      --cpus N              virtual processors, 1 to 255; of a container's time also a part (0.5)     [1; container all]
      --memory SIZE         512M, 2G ... (binary units); a kernel's least is 64M, Debian's 80M    [256M; built-in guest 32M;
                            container all]
      --timeout TIME        ends it after 30, 1.5, 500ms, 2m ...                            [never]

    machine:
      --disk FILE[,ro]      a raw image or block device as /dev/vda, vdb, ... (repeatable)
      --console WHERE       where the serial console goes: stdio, stderr, none or a file    [stdio; captured for CMD]

    command:
      --rootfs DIR          CMD's root, never changed on the host: a VM gets a copy, a container a layer in memory over it
      --env K=V, -e         an environment variable; K alone passes vmrun's own value on (repeatable)
      --workdir DIR, -w     where CMD starts                                                [/]
      --user UID[:GID], -u  numeric user and group                                          [0:0]
      --hostname NAME       the guest's or container's name                                 [vmrun]
      --tty, -t             gives CMD a terminal; signals and window size are forwarded

    container:
      --pids N              processes and threads at most                                   [no limit]
      --volume SRC:DST[:ro] shows file or directory SRC of the host at DST (repeatable)
      --net MODE            none: an own lo and nothing else; host: the host's network; bridge: an eth0 on bridge vmrun0,
                            where containers and host reach each other (needs root). Nothing is forwarded between the
                            bridge and other networks: vmrun sets up no address translation and no forwarding.
                            With bridge, /etc/hosts names the container, those that were there before it, and the host
                            as host.vmrun; with host, hosts and resolv.conf are the host's  [none]
      --read-only           the root cannot be written to
      --keep-changes DIR    keeps what changes in DIR, a new or empty directory, in place of memory: the upper layer of an
                            overlay. What was removed is a character device 0/0 of that name, a directory that replaces
                            another has the attribute trusted.overlay.opaque (user.overlay.opaque without root); mount it
                            over --rootfs to see the whole: mount -t overlay -o lowerdir=DIR:ROOTFS overlay PLACE
      --name ID             the container's name, for vmrun list, exec, kill and the like   [made up]

    A container has pid, mount, network, ipc, uts and cgroup namespaces, docker's default capabilities, devices, masks
    and seccomp profile, and no_new_privs. Without root it also has a user namespace, in which you are root.

    other:
      --timings[=json]      a table of where the start's time went, on standard error
      --verbose, -v         shows the kernel's log on standard error while CMD runs
      --quiet, -q           says nothing but errors
      --help, -h            this text
      --version, -V         the version

    On a terminal, Ctrl-A x ends VM or container, Ctrl-A Ctrl-A sends a Ctrl-A, Ctrl-A h helps. SIGINT, SIGTERM and SIGHUP are
    forwarded to CMD; a third SIGINT, or any of them without CMD, ends VM or container.

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
      vmrun --container --rootfs ./busybox -- sh -c 'echo hello; exit 7'
      vmrun --container --rootfs ./busybox --net bridge --cpus 0.5 --memory 64M --tty -- sh
      vmrun --kernel bzImage --initrd initramfs.cpio --append 'rdinit=/init' --cpus 2 --memory 1G --timeout 60

    """
}
