// Starting processes to be measured: accounting of wait4(2), page cache, system calls counted by ptrace(2).
#ifndef CCONTAINER_BENCH_H
#define CCONTAINER_BENCH_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CBENCH_INLINE static inline __attribute__((unused))

// Starts a program with three standard streams, in a process group of its own, with no signal blocked or ignored. posix_spawn(3) makes
// the process by CLONE_VFORK, so that its cost does not grow with the caller. Returns the PID, or the negative error.
CBENCH_INLINE int cbench_spawn(const char *path, char *const *arguments, char *const *environment, int in, int out, int error) {
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_init(&actions);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, error, 2);
  pid_t pid;
  int failed = posix_spawn(&pid, path, &actions, &attributes, arguments, environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return failed ? -failed : pid;
}

struct cbench_usage { uint64_t user, system, resident, read; };

// The end of a child with what it and its waited-for children used: times in nanoseconds, sizes in bytes. As wait4(2) returns.
CBENCH_INLINE int cbench_wait(int pid, int options, int *status, struct cbench_usage *usage) {
  struct rusage raw;
  int result;
  do { result = wait4(pid, status, options, &raw); } while (result < 0 && errno == EINTR);
  if (result > 0) {
    usage->user = (uint64_t)raw.ru_utime.tv_sec * 1000000000u + (uint64_t)raw.ru_utime.tv_usec * 1000u;
    usage->system = (uint64_t)raw.ru_stime.tv_sec * 1000000000u + (uint64_t)raw.ru_stime.tv_usec * 1000u;
    usage->resident = (uint64_t)raw.ru_maxrss * 1024u;
    usage->read = (uint64_t)raw.ru_inblock * 512u;
  }
  return result;
}

CBENCH_INLINE int cbench_signal_group(int group, int number) { return kill(-group, number); }

// Drops a file's clean pages from memory. *pages is how many it has, *left how many are still there. -1 with errno.
CBENCH_INLINE int cbench_drop_pages(const char *path, uint64_t *pages, uint64_t *left) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  struct stat status;
  int result = fstat(file, &status);
  *pages = *left = 0;
  if (result == 0 && status.st_size > 0 && S_ISREG(status.st_mode)) {
    fdatasync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    size_t size = (size_t)status.st_size, count = (size + 4095) / 4096;
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
    unsigned char *resident = map == MAP_FAILED ? NULL : malloc(count);
    if (resident && mincore(map, size, resident) == 0) {
      *pages = count;
      for (size_t i = 0; i < count; i++) *left += resident[i] & 1;
    } else {
      result = -1;
    }
    free(resident);
    if (map != MAP_FAILED) munmap(map, size);
  }
  int number = errno;
  close(file);
  errno = number;
  return result;
}

// Raw, since the C library's declarations and the kernel's exclude each other.
CBENCH_INLINE long cbench_ptrace(int request, pid_t pid, void *address, void *data) {
  return syscall(SYS_ptrace, (long)request, (long)pid, address, data);
}
// VmHWM of /proc/PID/status: the most memory that was resident since the last execve(2), in bytes; 0 when it cannot be read.
CBENCH_INLINE uint64_t cbench_peak(pid_t pid) {
  char path[32] = "/proc/", text[4096];
  char digits[12];
  int count = 0;
  size_t place = 6;
  for (unsigned rest = (unsigned)pid; rest || !count; rest /= 10) digits[count++] = (char)('0' + rest % 10);
  while (count) path[place++] = digits[--count];
  memcpy(path + place, "/status", 8);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t size = read(file, text, sizeof text - 1);
  close(file);
  if (size <= 0) return 0;
  text[size] = 0;
  const char *field = strstr(text, "VmHWM:");
  return field ? strtoull(field + 6, NULL, 10) * 1024 : 0;
}

static inline void cbench_tick(int number) { (void)number; }

// Runs a program to its end and counts the system calls that it and all its descendants make; *peak is the largest of their peaks
// of resident memory, in bytes. `stop` is a descriptor that becomes
// readable when it is to be given up. Returns 0 with *calls, 1 when it was given up or took too long, -1 with errno.
CBENCH_INLINE int cbench_count_calls(const char *path, char *const *arguments, char *const *environment, int in, int out, int error,
                                     int stop, uint64_t limit, uint64_t *calls, uint64_t *peak, int *code) {
  *calls = *peak = 0;
  *code = -1;
  pid_t root = fork();
  if (root < 0) return -1;
  if (root == 0) {
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    dup2(in, 0);
    dup2(out, 1);
    dup2(error, 2);
    if (cbench_ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(126);
    raise(SIGSTOP);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(path, arguments, environment);
    _exit(127);
  }
  // A tick interrupts waitpid(2), so that the limits are looked at however long nothing happens.
  struct sigaction tick = {.sa_handler = cbench_tick}, before;
  struct itimerval interval = {{0, 50000}, {0, 50000}}, off = {{0, 0}, {0, 0}};
  sigaction(SIGALRM, &tick, &before);
  setitimer(ITIMER_REAL, &interval, NULL);
  struct timespec began, now;
  clock_gettime(CLOCK_MONOTONIC, &began);
  int result = 0, status, options = 0;
  for (;;) {
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0 && errno == EINTR) {
      clock_gettime(CLOCK_MONOTONIC, &now);
      uint64_t passed = (uint64_t)(now.tv_sec - began.tv_sec) * 1000000000u + (uint64_t)now.tv_nsec - (uint64_t)began.tv_nsec;
      struct pollfd asked = {.fd = stop, .events = POLLIN};
      if (result == 0 && (passed > limit || poll(&asked, stop >= 0, 0) > 0)) {
        result = 1;
        // The options end every traced process with this one's first thread; those that are not traced yet are in the group.
        kill(-root, SIGKILL);
        kill(root, SIGKILL);
      }
      if (result == 1 && passed > limit + 3000000000u) break;
      continue;
    }
    if (pid < 0) break;
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (pid == root) *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      continue;
    }
    if (!WIFSTOPPED(status)) continue;
    int number = WSTOPSIG(status);
    if (result == 1) {
      kill(pid, SIGKILL);
      cbench_ptrace(PTRACE_CONT, pid, NULL, NULL);
      continue;
    }
    if (number == (SIGTRAP | 0x80)) {
      struct ptrace_syscall_info info;
      if (cbench_ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY) ++*calls;
      number = 0;
    } else if (status >> 16) {
      if (status >> 16 == PTRACE_EVENT_EXIT) {
        // Its memory is still there.
        uint64_t resident = cbench_peak(pid);
        if (resident > *peak) *peak = resident;
      }
      number = 0;
    } else if (number == SIGSTOP) {
      // The first stop of the root, and of each child that is traced from its birth.
      if (pid == root && !options) {
        options = 1;
        cbench_ptrace(PTRACE_SETOPTIONS, pid, NULL,
               (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
                        PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL));
      }
      number = 0;
    }
    cbench_ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)number);
  }
  setitimer(ITIMER_REAL, &off, NULL);
  sigaction(SIGALRM, &before, NULL);
  return result;
}

CBENCH_INLINE int cbench_link(const char *from, const char *to) { return link(from, to); }
CBENCH_INLINE int cbench_unmount(const char *path) { return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW); }
CBENCH_INLINE uint64_t cbench_directory_type(const struct dirent *entry) { return entry->d_type == DT_DIR; }

#endif
