// What a process is given before it executes its program: limits, identity, privileges, filters.
#ifndef CCONTAINER_PROCESS_H
#define CCONTAINER_PROCESS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
// The C library has a struct of this name too.
#define sched_param kernel_sched_param
#include <linux/sched/types.h>
#undef sched_param
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define CPROCESS_INLINE static inline __attribute__((always_inline, unused))

// Raw calls: glibc's wrappers of the set*id family would also address threads, and vmrun has none on this path.
CPROCESS_INLINE int ccontainer_setresuid(uint32_t id) { return (int)syscall(SYS_setresuid, id, id, id); }
CPROCESS_INLINE int ccontainer_setresgid(uint32_t id) { return (int)syscall(SYS_setresgid, id, id, id); }
CPROCESS_INLINE int ccontainer_setgroups(const uint32_t *groups, size_t count) {
  return (int)syscall(SYS_setgroups, count, groups);
}
CPROCESS_INLINE int ccontainer_prctl(int option, unsigned long first, unsigned long second) {
  return prctl(option, first, second, 0UL, 0UL);
}
CPROCESS_INLINE int ccontainer_prlimit(pid_t process, int resource, uint64_t soft, uint64_t hard) {
  struct rlimit64 limit = {.rlim_cur = soft, .rlim_max = hard};
  return (int)syscall(SYS_prlimit64, process, resource, &limit, NULL);
}
CPROCESS_INLINE int ccontainer_hard_limit(pid_t process, int resource, uint64_t *hard) {
  struct rlimit64 limit;
  if (syscall(SYS_prlimit64, process, resource, NULL, &limit)) return -1;
  *hard = limit.rlim_max;
  return 0;
}
CPROCESS_INLINE int ccontainer_sched_setattr(pid_t process, const struct sched_attr *attributes) {
  return (int)syscall(SYS_sched_setattr, process, attributes, 0);
}
CPROCESS_INLINE int ccontainer_sched_setaffinity(pid_t process, size_t size, const uint64_t *mask) {
  return (int)syscall(SYS_sched_setaffinity, process, size, mask);
}
CPROCESS_INLINE int ccontainer_ioprio_set(pid_t process, uint32_t class, uint32_t level) {
  return (int)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, process, IOPRIO_PRIO_VALUE(class, level));
}
CPROCESS_INLINE int ccontainer_set_mempolicy(int mode, const uint64_t *nodes, unsigned long bits) {
  return (int)syscall(SYS_set_mempolicy, mode, nodes, bits);
}

CPROCESS_INLINE int ccontainer_set_personality(unsigned long persona) { return personality(persona); }

// The two words of each set that version 3 of the interface carries, as one number.
struct ccontainer_capabilities { uint64_t effective, permitted, inheritable; };
CPROCESS_INLINE int ccontainer_capget(struct ccontainer_capabilities *sets) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data)) return -1;
  sets->effective = data[0].effective | (uint64_t)data[1].effective << 32;
  sets->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
  sets->inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
  return 0;
}
CPROCESS_INLINE int ccontainer_capset(struct ccontainer_capabilities sets) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {
      {(uint32_t)sets.effective, (uint32_t)sets.permitted, (uint32_t)sets.inheritable},
      {(uint32_t)(sets.effective >> 32), (uint32_t)(sets.permitted >> 32), (uint32_t)(sets.inheritable >> 32)},
  };
  return (int)syscall(SYS_capset, &header, data);
}

// keyctl(2). The permissions are key_perm_t; describing needs the view permission that a fresh keyring's possessor has.
CPROCESS_INLINE long ccontainer_new_session_keyring(void) {
  return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
}
CPROCESS_INLINE long ccontainer_describe_key(long key, void *text, size_t size) {
  return syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text, size);
}
CPROCESS_INLINE int ccontainer_set_key_permissions(long key, uint32_t permissions) {
  return (int)syscall(SYS_keyctl, KEYCTL_SETPERM, key, permissions);
}

CPROCESS_INLINE int ccontainer_close_on_exec_from(unsigned first) {
  return (int)syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC);
}
// Raw, since the C library hides two signals: a disposition of SIG_IGN and the mask of blocked signals survive execve(2).
static inline __attribute__((unused)) int ccontainer_reset_signals(void) {
  struct { void (*handler)(int); unsigned long flags; void (*restorer)(void); uint64_t mask; } standard = {0};
  for (int number = 1; number <= 64; number++) {
    if (number == SIGKILL || number == SIGSTOP) continue;
    if (syscall(SYS_rt_sigaction, number, &standard, NULL, sizeof(uint64_t))) return -1;
  }
  uint64_t none = 0;
  return (int)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}
// The kernel's own answer: the C library turns "(unreachable)..." into another error.
CPROCESS_INLINE long ccontainer_getcwd(void *buffer, size_t size) { return syscall(SYS_getcwd, buffer, size); }
CPROCESS_INLINE int ccontainer_can_execute(const void *path) {
  return faccessat(AT_FDCWD, (const char *)path, X_OK, AT_EACCESS);
}
// A file by a path that passes no magic link (those of /proc/PID/fd and the like).
CPROCESS_INLINE int ccontainer_open_unmagical(int from, const char *path, int flags) {
  struct open_how how = {.flags = (uint64_t)(unsigned)flags | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, from, path, &how, sizeof how);
}

// Seccomp.
CPROCESS_INLINE long ccontainer_seccomp_install(const void *filter, uint16_t instructions, unsigned flags) {
  struct sock_fprog program = {.len = instructions, .filter = (struct sock_filter *)filter};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
// Architectures that an x86-64 kernel reports, and libseccomp's names for them: macros that are not imported.
static const uint32_t ccontainer_audit_x86_64 = AUDIT_ARCH_X86_64;
static const uint32_t ccontainer_audit_i386 = AUDIT_ARCH_I386;
static const uint32_t ccontainer_arch_x86_64 = SCMP_ARCH_X86_64;
static const uint32_t ccontainer_arch_x86 = SCMP_ARCH_X86;
static const uint32_t ccontainer_arch_x32 = SCMP_ARCH_X32;
CPROCESS_INLINE uint32_t ccontainer_act_errno(uint32_t number) { return SCMP_ACT_ERRNO(number); }
CPROCESS_INLINE uint32_t ccontainer_act_trace(uint32_t message) { return SCMP_ACT_TRACE(message); }

// A program's protection from those it runs.
CPROCESS_INLINE int ccontainer_clone_file_mount(const char *path) {
  return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}
CPROCESS_INLINE int ccontainer_make_mount_read_only(int mount) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
}
// 1 when the file's content cannot change, 0 when it can, -1 with errno.
CPROCESS_INLINE int ccontainer_is_immutable(int descriptor) {
  struct statx status;
  if (statx(descriptor, "", AT_EMPTY_PATH, STATX_TYPE, &status)) return -1;
  return (status.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_VERITY)) != 0;
}
CPROCESS_INLINE int ccontainer_execute_descriptor(int descriptor, char *const *arguments, char *const *environment) {
  return (int)syscall(SYS_execveat, descriptor, "", arguments, environment, AT_EMPTY_PATH);
}
CPROCESS_INLINE int ccontainer_memfd_create(const char *name, unsigned flags) { return (int)syscall(SYS_memfd_create, name, flags); }

#endif
