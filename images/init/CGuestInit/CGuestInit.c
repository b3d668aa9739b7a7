#define _GNU_SOURCE
#include "CGuestInit.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void fail(struct spawn_request *request, int stage) {
  request->error = errno;
  request->stage = stage;
  _exit(127);
}

// Runs in the child on the parent's memory, which the parent does not touch meanwhile: it may only make system calls and
// write to the request. Credentials are changed by plain system calls, because the C library's functions speak to all
// threads of what they take for their process.
static __attribute__((noinline)) void become_command(struct spawn_request *request) {
  if (setsid() < 0) fail(request, SPAWN_STAGE_SESSION);

  // Ignored signals stay ignored across an execution. The kernel is asked directly, since the C library keeps two of them
  // for itself. All zeros is the default; two signals that cannot be set have it anyway.
  struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } standard = {0, 0, 0, 0};
  for (int number = 1; number <= 64; number++) syscall(SYS_rt_sigaction, number, &standard, NULL, sizeof standard.mask);

  for (int i = 0; i < 3; i++)
    if (dup2(request->descriptors[i], i) < 0) fail(request, SPAWN_STAGE_DESCRIPTORS);
  if (request->takes_terminal && ioctl(0, TIOCSCTTY, 0) < 0) fail(request, SPAWN_STAGE_TERMINAL);
  // Everything is close-on-exec already; this is for what init itself was started with. Linux before 5.9 lacks the call.
  syscall(SYS_close_range, 3, ~0u, 0);
  iopl(0);
  umask(022);

  // Who stays who they are needs no privilege for it.
  if (request->group_count > 0 || request->user != geteuid() || request->group != getegid()) {
    if (syscall(SYS_setgroups, request->group_count, request->groups) < 0) fail(request, SPAWN_STAGE_GROUPS);
    if (syscall(SYS_setresgid, request->group, request->group, request->group) < 0) fail(request, SPAWN_STAGE_GROUPS);
    if (syscall(SYS_setresuid, request->user, request->user, request->user) < 0) fail(request, SPAWN_STAGE_USER);
  }
  if (chdir(request->directory) < 0) fail(request, SPAWN_STAGE_DIRECTORY);

  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);

  // As a shell looks for a command: what may not be executed is reported only when nothing better is found.
  int result = ENOENT;
  for (const char *const *candidate = request->candidates; *candidate; candidate++) {
    execve(*candidate, request->arguments, request->environment);
    if (errno == EACCES) {
      result = EACCES;
    } else if (errno != ENOENT && errno != ENOTDIR) {
      result = errno;
      break;
    }
  }
  errno = result;
  fail(request, SPAWN_STAGE_EXECUTE);
}

pid_t spawn_command(struct spawn_request *request) {
  request->stage = SPAWN_STAGE_NONE;
  request->error = 0;
  // The child borrows the memory until it executes or ends: nothing is copied, and the parent learns of a failure from the
  // request itself.
  pid_t child = vfork();
  if (child == 0) become_command(request);
  if (child < 0) {
    request->error = errno;
    request->stage = SPAWN_STAGE_FORK;
    return -1;
  }
  if (request->stage == SPAWN_STAGE_NONE) return child;
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
  }
  return -1;
}

int bring_up_loopback(void) {
  int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return errno;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  int error = ioctl(descriptor, SIOCSIFFLAGS, &request) < 0 ? errno : 0;
  close(descriptor);
  return error;
}

int make_raw(int descriptor) {
  struct termios settings;
  if (tcgetattr(descriptor, &settings) < 0) return errno;
  cfmakeraw(&settings);
  settings.c_cflag |= CLOCAL | CREAD;
  // The fastest that every driver has: virtual machines that mind the rate at all make the guest wait for it.
  cfsetspeed(&settings, B115200);
  return tcsetattr(descriptor, TCSANOW, &settings) < 0 ? errno : 0;
}

int set_window_size(int descriptor, uint16_t rows, uint16_t columns, uint16_t x_pixels, uint16_t y_pixels) {
  struct winsize size = {.ws_row = rows, .ws_col = columns, .ws_xpixel = x_pixels, .ws_ypixel = y_pixels};
  return ioctl(descriptor, TIOCSWINSZ, &size) < 0 ? errno : 0;
}

int open_terminal_peer(int master) {
  int locked = 0;
  if (ioctl(master, TIOCSPTLCK, &locked) < 0) return -1;
  return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

int open_child_signal(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -1;
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void ignore_broken_pipes(void) { signal(SIGPIPE, SIG_IGN); }

int adopt_orphans(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? errno : 0; }
