#include "children.h"

int ccontainer_start_program(const char *path, char *const *arguments, char *const *environment, int in, int out) {
  // Written by the child, which shares the memory until it executes the program.
  volatile int failure = 0;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  int pid = vfork();
  if (pid == 0) {
    // dup2 onto itself would leave close-on-exec set.
    int source = in == 0 ? fcntl(in, F_DUPFD_CLOEXEC, 3) : in;
    if (source >= 0 && dup2(source, 0) == 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2) {
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
    ccontainer_wait(pid, 0, &status);
    errno = failure;
    return -1;
  }
  errno = number;
  return pid;
}
