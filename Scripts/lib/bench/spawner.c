// Starts programs on request and measures them from the kernel's own accounting, out of a process so small that neither the fork nor
// the peak memory of what it starts carries anything of its own. (The peak of a program started by a large process begins at that
// process's size.)
//
// Requests come on standard input, each as fields that end in a NUL byte: kind, count, parallel, number of arguments, arguments.
//   run      runs `count` programs, at most `parallel` at once; "{}" within an argument becomes the program's number, counted over all
//            requests. Answers on standard output: wall ns, CPU us (of all, with what they waited for), peak RSS KiB (the largest of
//            any process among them), the first exit code that is not 0.
//   reap     waits until every orphan that was left to this process has ended. Answers likewise.
// A first argument "N<FILE" gives the program FILE as descriptor N.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static char *field(void) {
  static char *text;
  static size_t size;
  if (getdelim(&text, &size, 0, stdin) <= 0) exit(0);
  return text;
}

static unsigned long number;

static char *with_number(const char *text) {
  const char *hole = strstr(text, "{}");
  char *result;
  if (!hole) return strdup(text);
  if (asprintf(&result, "%.*s%lu%s", (int)(hole - text), text, number, hole + 2) < 0) exit(125);
  return result;
}

static pid_t start(char **arguments) {
  char **own = calloc(128, sizeof *own);
  for (int i = 0; arguments[i] && i < 127; i++) own[i] = with_number(arguments[i]);
  number++;
  pid_t child = vfork();
  if (child == 0) {
    char **command = own, *file = strchr(own[0], '<');
    if (file) {
      int wanted = atoi(own[0]), given = open(file + 1, O_RDONLY);
      if (given < 0 || (given != wanted && dup2(given, wanted) < 0)) _exit(125);
      if (given != wanted) close(given);
      command++;
    }
    execv(command[0], command);
    _exit(127);
  }
  for (char **text = own; *text; text++) free(*text);
  free(own);
  return child;
}

int main(void) {
  // Answers go where standard output was; the programs get /dev/null for all three streams.
  int answers = fcntl(1, F_DUPFD_CLOEXEC, 100), null = open("/dev/null", O_RDWR), requests = fcntl(0, F_DUPFD_CLOEXEC, 100);
  FILE *input = fdopen(requests, "r");
  if (answers < 0 || null < 0 || !input) return 125;
  stdin = input;
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  if (null > 2) close(null);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  for (;;) {
    int reap = !strcmp(field(), "reap");
    long count = atol(field()), parallel = atol(field()), fields = atol(field());
    char *arguments[128] = {0};
    for (long i = 0; i < fields; i++) {
      char *text = strdup(field());
      if (i < 127) arguments[i] = text;
    }
    pid_t running[256] = {0};
    if (parallel > 256) parallel = 256;
    long begun = 0, ended = 0, cpu = 0, peak = 0;
    int code = 0;
    uint64_t from = now();
    for (; reap || ended < count;) {
      for (long i = 0; i < parallel && begun < count; i++)
        if (!running[i]) {
          running[i] = start(arguments);
          begun++;
        }
      int status;
      struct rusage usage;
      pid_t pid = wait4(-1, &status, 0, &usage);
      if (pid < 0 && errno == EINTR) continue;
      if (pid < 0) break;
      for (long i = 0; i < parallel; i++) {
        if (running[i] != pid) continue;
        running[i] = 0;
        ended++;
        cpu += (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
        if (usage.ru_maxrss > peak) peak = usage.ru_maxrss;
        int own = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (!code) code = own;
      }
    }
    uint64_t wall = now() - from;
    dprintf(answers, "%llu %ld %ld %d\n", (unsigned long long)wall, cpu, peak, code);
    for (long i = 0; i < fields && i < 127; i++) free(arguments[i]);
  }
}
