#ifndef CCONTAINER_MOUNTS_H
#define CCONTAINER_MOUNTS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// openat2(2), Linux 5.6.
static inline int ccontainer_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
  return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

// mount_setattr(2), Linux 5.12; `propagation` is 0 or one MS_ flag, `user_namespace` a descriptor for MOUNT_ATTR_IDMAP.
static inline int ccontainer_mount_setattr(int dir, const char *path, unsigned flags, uint64_t set, uint64_t clear,
                                           uint64_t propagation, int user_namespace) {
  struct mount_attr attributes = {
      .attr_set = set, .attr_clr = clear, .propagation = propagation, .userns_fd = (uint64_t)(int64_t)user_namespace};
  return (int)syscall(SYS_mount_setattr, dir, path, flags, &attributes, sizeof attributes);
}

static inline int ccontainer_pivot_root(const char *root, const char *old) {
  return (int)syscall(SYS_pivot_root, root, old);
}

static inline int ccontainer_fsconfig_flag(int context, const char *key) {
  return fsconfig(context, FSCONFIG_SET_FLAG, key, NULL, 0);
}
static inline int ccontainer_fsconfig_string(int context, const char *key, const char *value) {
  return fsconfig(context, FSCONFIG_SET_STRING, key, value, 0);
}
static inline int ccontainer_fsconfig_create(int context) { return fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0); }

// 1 when the descriptor stands at the root of its mount, 0 when it does not, -1 with errno (statx(2), Linux 5.8).
static inline int ccontainer_is_mount_root(int fd) {
  enum { empty_path = 0x1000, do_not_sync = 0x4000 };  // AT_ numbers, which the C library shows to GNU programs only
  struct statx status;
  if (syscall(SYS_statx, fd, "", empty_path | do_not_sync, 0, &status)) return -1;
  if (!(status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)) { errno = ENOSYS; return -1; }
  return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// A child in a new user namespace that only waits to be killed: it exists to have the namespace's descriptor taken.
// Returns its process ID, or -1 with errno. It dies with its parent.
static inline int ccontainer_user_namespace_holder(void) {
  long child = syscall(SYS_clone, (unsigned long)(CLONE_NEWUSER | SIGCHLD), 0, 0, 0, 0);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  return (int)child;
}

// The slave of a pseudo-terminal's master, opened without a path (ioctl_tty(2) TIOCGPTPEER, Linux 4.13).
static inline int ccontainer_terminal_peer(int master) {
  return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}
static inline int ccontainer_terminal_unlock(int master) {
  int locked = 0;
  return ioctl(master, TIOCSPTLCK, &locked);
}

// Types of file systems (statfs(2)) as f_type has them.
static inline long ccontainer_selinux_magic(void) { return (long)SELINUX_MAGIC; }
static inline long ccontainer_ramfs_magic(void) { return (long)RAMFS_MAGIC; }
static inline long ccontainer_tmpfs_magic(void) { return (long)TMPFS_MAGIC; }

#endif
