// Processes and namespaces: clone3(2), setns(2), pidfds, descriptors over sockets.
#ifndef CCONTAINER_CHILDREN_H
#define CCONTAINER_CHILDREN_H

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define CCONTAINER_INLINE static inline __attribute__((always_inline, unused))

// Flags that the C library's headers keep behind others or spell as unsigned macros.
enum {
  ccontainer_newtime = 0x00000080,
  ccontainer_newns = 0x00020000,
  ccontainer_newcgroup = 0x02000000,
  ccontainer_newuts = 0x04000000,
  ccontainer_newipc = 0x08000000,
  ccontainer_newuser = 0x10000000,
  ccontainer_newpid = 0x20000000,
  ccontainer_newnet = 0x40000000,
};

// A child like fork(2)'s, with `flags` of clone3(2), optionally born in the cgroup of descriptor `cgroup` (-1: none).
// In the parent *pidfd is a descriptor for it. Returns as fork does.
CCONTAINER_INLINE int ccontainer_clone(uint64_t flags, int cgroup, int *pidfd) {
  struct clone_args arguments;
  memset(&arguments, 0, sizeof arguments);
  arguments.flags = flags | CLONE_PIDFD;
  arguments.pidfd = (uint64_t)(uintptr_t)pidfd;
  arguments.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD;
  if (cgroup >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = (uint64_t)cgroup;
  }
  return (int)syscall(SYS_clone3, &arguments, sizeof arguments);
}

CCONTAINER_INLINE int ccontainer_pidfd_open(int pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
CCONTAINER_INLINE int ccontainer_pidfd_send_signal(int pidfd, int number) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}
CCONTAINER_INLINE int ccontainer_pidfd_getfd(int pidfd, int number) {
  return (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
}

// The status of an ended child of this process, as wait(2) gives it; -1 with errno when that fails.
CCONTAINER_INLINE int ccontainer_wait(int pid, int options, int *status) {
  int result;
  do { result = waitpid(pid, status, options); } while (result < 0 && errno == EINTR);
  return result;
}

// One packet with at most one descriptor beside it (-1: none). SOCK_SEQPACKET keeps the packet's borders.
CCONTAINER_INLINE ssize_t ccontainer_send(int socket, const void *bytes, size_t count, int descriptor) {
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
  union { char space[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (descriptor >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  ssize_t sent;
  do { sent = sendmsg(socket, &message, MSG_NOSIGNAL); } while (sent < 0 && errno == EINTR);
  return sent;
}

// One packet by write(2): to a peer that has gone, EPIPE without the signal.
CCONTAINER_INLINE ssize_t ccontainer_write_packet(int socket, const void *bytes, size_t count) {
  ssize_t sent;
  do { sent = write(socket, bytes, count); } while (sent < 0 && errno == EINTR);
  return sent;
}

// Receives one packet; *descriptor is the one beside it, close-on-exec, or -1.
CCONTAINER_INLINE ssize_t ccontainer_receive(int socket, void *bytes, size_t capacity, int *descriptor) {
  struct iovec part = {.iov_base = bytes, .iov_len = capacity};
  union { char space[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  ssize_t got;
  do { got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC); } while (got < 0 && errno == EINTR);
  *descriptor = -1;
  if (got >= 0) {
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(int))) {
      memcpy(descriptor, CMSG_DATA(header), sizeof(int));
    }
  }
  return got;
}

CCONTAINER_INLINE int ccontainer_packet_pair(int ends[2]) {
  return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

// A local socket of `type` that listens at (listening != 0) or is connected to `path`; -1 with errno.
CCONTAINER_INLINE int ccontainer_local_socket(const char *path, int type, int listening) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(address.sun_path, path, length + 1);
  int descriptor = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  int failed = listening ? bind(descriptor, (struct sockaddr *)&address, sizeof address) || listen(descriptor, 8)
                         : connect(descriptor, (struct sockaddr *)&address, sizeof address);
  if (failed) {
    int number = errno;
    close(descriptor);
    errno = number;
    return -1;
  }
  return descriptor;
}
CCONTAINER_INLINE int ccontainer_accept(int socket) {
  int result;
  do { result = accept4(socket, NULL, NULL, SOCK_CLOEXEC); } while (result < 0 && errno == EINTR);
  return result;
}

// Signals: the set of all that a process may get, blocked or unblocked.
CCONTAINER_INLINE int ccontainer_block_signals(void) {
  sigset_t all;
  sigfillset(&all);
  return sigprocmask(SIG_SETMASK, &all, NULL);
}
CCONTAINER_INLINE void ccontainer_unblock_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}
// Waits for any blocked signal, at most `nanoseconds` (negative: for ever). Its number; 0 after the time has passed.
CCONTAINER_INLINE int ccontainer_next_signal(int64_t nanoseconds) {
  sigset_t all;
  sigfillset(&all);
  for (;;) {
    int number;
    if (nanoseconds < 0) {
      number = sigwaitinfo(&all, NULL);
    } else {
      struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
      number = sigtimedwait(&all, NULL, &limit);
    }
    if (number > 0) return number;
    if (errno == EAGAIN) return 0;
  }
}
CCONTAINER_INLINE int ccontainer_all_signals_descriptor(void) {
  sigset_t all;
  sigfillset(&all);
  return signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

// Replaces what the process was started with, arguments and variables, by `name` alone, for whoever reads /proc.
static inline __attribute__((unused)) void ccontainer_forget_arguments(const char *name) {
  // The kernel puts the strings of both side by side; the C library keeps pointers to the first of each.
  char *start = program_invocation_name;
  char *end = start + strlen(start) + 1;
  for (char **variable = environ; variable && *variable; variable++) {
    char *after = *variable + strlen(*variable) + 1;
    if (*variable >= start && after > end) end = after;
  }
  size_t room = (size_t)(end - start);
  memset(start, 0, room);
  size_t length = strlen(name);
  memcpy(start, name, length < room ? length : room - 1);
  prctl(PR_SET_NAME, name, 0, 0, 0);
}
CCONTAINER_INLINE int ccontainer_set_dumpable(int on) { return prctl(PR_SET_DUMPABLE, on, 0, 0, 0); }
CCONTAINER_INLINE int ccontainer_die_with_parent(int on) { return prctl(PR_SET_PDEATHSIG, on ? SIGKILL : 0, 0, 0, 0); }
CCONTAINER_INLINE int ccontainer_set_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

// openat2(2) of a path that cannot leave the folder `root`, whatever links it holds.
CCONTAINER_INLINE int ccontainer_open_in_root(int root, const char *path, int flags) {
  struct open_how how = {.flags = (uint64_t)flags, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

// A controlling terminal, and its window.
CCONTAINER_INLINE int ccontainer_take_terminal(int terminal) { return ioctl(terminal, TIOCSCTTY, 0); }
CCONTAINER_INLINE int ccontainer_release_terminal(int terminal) { return ioctl(terminal, TIOCNOTTY); }
CCONTAINER_INLINE int ccontainer_close_range(unsigned first, unsigned last) {
  return (int)syscall(SYS_close_range, first, last, 0);
}
CCONTAINER_INLINE int ccontainer_set_window_size(int terminal, const struct winsize *size) {
  return ioctl(terminal, TIOCSWINSZ, size);
}

// Starts program `path` with the three standard streams `in`, `out`, `out`; everything else is closed by close-on-exec, the signal
// mask is emptied. Returns its PID, or -1 with errno, also when the program cannot be executed.
int ccontainer_start_program(const char *path, char *const *arguments, char *const *environment, int in, int out);

#endif
