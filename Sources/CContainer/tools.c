#include "tools.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int ccontainer_start_tool(const char *folder, const char *path, char *const *arguments, char *const *environment,
                          int in, int out, int err) {
  // Written by the child, which shares the memory until it executes the program.
  volatile int failure = 0;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  int pid = vfork();
  if (pid == 0) {
    // Out of the way of the three numbers first: dup2 onto itself would leave close-on-exec set.
    int sources[3] = {fcntl(in, F_DUPFD_CLOEXEC, 3), fcntl(out, F_DUPFD_CLOEXEC, 3), fcntl(err, F_DUPFD_CLOEXEC, 3)};
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (sources[0] >= 0 && sources[1] >= 0 && sources[2] >= 0 && chdir(folder) == 0 && dup2(sources[0], 0) == 0 &&
        dup2(sources[1], 1) == 1 && dup2(sources[2], 2) == 2) {
      for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
      sigset_t none;
      sigemptyset(&none);
      sigprocmask(SIG_SETMASK, &none, NULL);
      execve(path, arguments, environment);
    }
    failure = errno;
    _exit(127);
  }
  int number = errno;
  sigprocmask(SIG_SETMASK, &before, NULL);
  if (pid > 0 && failure) {
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    errno = failure;
    return -1;
  }
  errno = number;
  return pid;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
  (void)status, (void)kind, (void)place;
  return remove(path);
}

int ccontainer_remove_tree(const char *path) { return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT); }

int ccontainer_exchange(const char *from, const char *to) {
  if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0) return 0;
  if (errno == ENOENT) return rename(from, to);
  return -1;
}

int ccontainer_make_temporary_folder(char *path) { return mkdtemp(path) ? 0 : -1; }

long ccontainer_find(const void *bytes, unsigned long count, const void *needle, unsigned long length) {
  const void *found = memmem(bytes, count, needle, length);
  return found ? (const char *)found - (const char *)bytes : -1;
}
