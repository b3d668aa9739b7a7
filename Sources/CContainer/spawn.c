#include "children.h"
#include "tools.h"

#include <stdbool.h>
#include <sys/prctl.h>

struct program {
  const char *path;
  char *const *arguments, *const *environment;
  int streams[3];
  const char *folder;  // NULL: the caller's
  bool is_bound;       // in a process group of its own that dies with the calling thread
};

static int start(const struct program *program) {
  // Written by the child, which shares the memory until it executes the program.
  volatile int failure = 0;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  int pid = vfork();
  if (pid == 0) {
    if (program->is_bound) {
      setpgid(0, 0);
      prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    }
    // Out of the way of the three numbers first: dup2 onto itself would leave close-on-exec set.
    int sources[3], is_ready = 1;
    for (int i = 0; i < 3; i++) is_ready &= (sources[i] = fcntl(program->streams[i], F_DUPFD_CLOEXEC, 3)) >= 0;
    for (int i = 0; i < 3 && is_ready; i++) is_ready = dup2(sources[i], i) == i;
    if (is_ready && (!program->folder || chdir(program->folder) == 0)) {
      for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
      sigset_t none;
      sigemptyset(&none);
      sigprocmask(SIG_SETMASK, &none, NULL);
      execve(program->path, program->arguments, program->environment);
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

int ccontainer_start_program(const char *path, char *const *arguments, char *const *environment, int in, int out) {
  const struct program program = {path, arguments, environment, {in, out, out}, NULL, false};
  return start(&program);
}

int ccontainer_start_tool(const char *folder, const char *path, char *const *arguments, char *const *environment,
                          int in, int out, int err) {
  const struct program program = {path, arguments, environment, {in, out, err}, folder, true};
  return start(&program);
}
