#include "doctor.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int ccontainer_fork(void) { return fork(); }

int ccontainer_become(uint32_t identity) {
  if (syscall(SYS_setgroups, 0, NULL) || syscall(SYS_setresgid, identity, identity, identity) ||
      syscall(SYS_setresuid, identity, identity, identity)) {
    return -1;
  }
  return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

// The listener's descriptor or 0 when the filter is installed, -1 with errno.
static long install(uint32_t action, unsigned flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

int ccontainer_prove_seccomp(void) {
  if (install(SECCOMP_RET_ERRNO | ENOTNAM, 0) < 0) return errno;
  errno = 0;
  if (syscall(SYS_getppid) != -1) return EPROTO;
  return errno == ENOTNAM ? 0 : errno;
}

int ccontainer_prove_seccomp_notification(void) {
  long listener = install(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  if (listener < 0) return errno;
  int child = fork();
  if (child < 0) return errno;
  if (child == 0) _exit(syscall(SYS_getppid) == 4242 ? 0 : 1);
  struct pollfd ready = {.fd = (int)listener, .events = POLLIN};
  struct seccomp_notif call;
  struct seccomp_notif_resp answer;
  memset(&call, 0, sizeof call);
  memset(&answer, 0, sizeof answer);
  int failure = 0;
  if (poll(&ready, 1, 1000) != 1) {
    failure = ETIME;
  } else if (ioctl((int)listener, SECCOMP_IOCTL_NOTIF_RECV, &call)) {
    failure = errno;
  } else {
    answer.id = call.id;
    answer.val = 4242;
    if (ioctl((int)listener, SECCOMP_IOCTL_NOTIF_SEND, &answer)) failure = errno;
  }
  if (failure) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (!failure && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) failure = EPROTO;
  return failure;
}

uint32_t ccontainer_seccomp_flags(uint32_t asked) {
  uint32_t known = 0;
  for (uint32_t flag = 1; flag && flag <= asked; flag <<= 1) {
    if (!(asked & flag)) continue;
    // With a flag that the kernel knows it goes on to the filter, whose address is no address. One only means something with another.
    uint32_t flags = flag == 16 ? 16 | 1 : flag == 32 ? 32 | 8 : flag;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, NULL) == -1 && errno == EFAULT) known |= flag;
  }
  return known;
}

int ccontainer_prove_tap(void) {
  int device = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (device < 0) return errno;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  int failure = ioctl(device, TUNSETIFF, &request) ? errno : 0;
  close(device);
  return failure;
}

int ccontainer_is_virtual_machine(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && c >> 31;
}

int64_t ccontainer_time_migration(const char *procs) {
  int child = fork();
  if (child < 0) return -1;
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (;;) pause();
  }
  char text[16];
  int length = snprintf(text, sizeof text, "%d", child);
  int64_t taken = -1;
  int failure = 0;
  int file = open(procs, O_WRONLY | O_CLOEXEC);
  if (file < 0) {
    failure = errno;
  } else {
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    if (write(file, text, (size_t)length) != length) failure = errno;
    clock_gettime(CLOCK_MONOTONIC, &after);
    if (!failure) taken = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
    close(file);
  }
  kill(child, SIGKILL);
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
  errno = failure;
  return taken;
}

uint64_t ccontainer_memory_lock_limit(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_MEMLOCK, &limit) ? 0 : limit.rlim_cur;
}
