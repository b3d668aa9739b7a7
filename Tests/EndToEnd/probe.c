/* Small things that a shell cannot do, for the end-to-end tests. Built static, so that it runs in any Linux machine.
 *
 *   probe default CMD ARGS                       runs CMD with every signal's default action and none blocked
 *   probe pty [-s ROWSxCOLS] [-r MS:ROWSxCOLS] [-t] CMD ARGS
 *       runs CMD on a terminal of its own and passes bytes both ways; -r changes the window's size after MS milliseconds. Exits with
 *       CMD's exit code, or 128+n. With -t, says on standard error whether the terminal's settings are as they were before.
 *   probe user ID CMD ARGS                       runs CMD as user and group ID, without other groups
 *   probe port NUMBER VALUE                      writes one byte to an I/O port (a guest's Debian kernel has no /dev/port)
 *   probe hold FILE SECONDS                      holds an exclusive lock on FILE, as fcntl's F_OFD_SETLK does; says "held" when it has it
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
  exit(99);
}

static void default_signals(void) {
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static long milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void put(int fd, const char *bytes, ssize_t count) {
  while (count > 0) {
    ssize_t done = write(fd, bytes, count);
    if (done < 0 && errno == EAGAIN) {
      struct pollfd wait = {fd, POLLOUT, 0};
      poll(&wait, 1, -1);
      continue;
    }
    if (done < 0) return;
    bytes += done;
    count -= done;
  }
}

static int run_pty(int argc, char **argv) {
  struct winsize size = {24, 80, 0, 0}, later = {0, 0, 0, 0};
  long at = -1;
  int tell = 0, option;
  while ((option = getopt(argc, argv, "+s:r:t")) != -1) {
    if (option == 's') sscanf(optarg, "%hux%hu", &size.ws_row, &size.ws_col);
    else if (option == 'r') sscanf(optarg, "%ld:%hux%hu", &at, &later.ws_row, &later.ws_col);
    else if (option == 't') tell = 1;
    else exit(99);
  }
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) || unlockpt(master)) fail("posix_openpt");
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  if (slave < 0) fail("open the terminal");
  struct termios before, after;
  tcgetattr(slave, &before);
  ioctl(slave, TIOCSWINSZ, &size);
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    default_signals();
    setsid();
    ioctl(slave, TIOCSCTTY, 0);
    dup2(slave, 0), dup2(slave, 1), dup2(slave, 2);
    close(slave), close(master);
    execvp(argv[optind], argv + optind);
    fail(argv[optind]);
  }
  signal(SIGPIPE, SIG_IGN);
  long start = milliseconds();
  int status, reading = 1, ended = 0;
  char buffer[4096];
  for (;;) {
    struct pollfd watched[2] = {{master, POLLIN, 0}, {reading ? 0 : -1, POLLIN, 0}};
    int ready = poll(watched, 2, 20);
    if (at >= 0 && milliseconds() - start >= at) {
      ioctl(master, TIOCSWINSZ, &later);
      at = -1;
    }
    if (watched[0].revents) {
      ssize_t count = read(master, buffer, sizeof buffer);
      if (count > 0) put(1, buffer, count);
    }
    if (watched[1].revents) {
      ssize_t count = read(0, buffer, sizeof buffer);
      if (count > 0) put(master, buffer, count);
      else reading = 0;
    }
    /* The slave stays open here, so that there is no hang-up: the end is a quiet terminal after the child's end. */
    if (ended && ready == 0) break;
    if (!ended && waitpid(child, &status, WNOHANG) == child) ended = 1;
  }
  tcgetattr(slave, &after);
  if (tell)
    fprintf(stderr, "probe: the terminal's settings are %s\n",
            before.c_iflag == after.c_iflag && before.c_oflag == after.c_oflag && before.c_cflag == after.c_cflag &&
                    before.c_lflag == after.c_lflag && !memcmp(before.c_cc, after.c_cc, sizeof before.c_cc)
                ? "as before" : "changed");
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv) {
  if (argc >= 3 && !strcmp(argv[1], "default")) {
    default_signals();
    execvp(argv[2], argv + 2);
    fail(argv[2]);
  }
  if (argc >= 3 && !strcmp(argv[1], "pty")) return run_pty(argc - 1, argv + 1);
  if (argc >= 4 && !strcmp(argv[1], "user")) {
    int id = atoi(argv[2]);
    if (setgroups(0, NULL) || setgid(id) || setuid(id)) fail("become another user");
    execvp(argv[3], argv + 3);
    fail(argv[3]);
  }
  if (argc == 4 && !strcmp(argv[1], "port")) {
    if (iopl(3)) fail("iopl");
    outb(strtoul(argv[3], NULL, 0), strtoul(argv[2], NULL, 0));
    return 0;
  }
  if (argc == 4 && !strcmp(argv[1], "hold")) {
    int fd = open(argv[2], O_RDWR);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock)) fail(argv[2]);
    puts("held");
    fflush(stdout);
    sleep(atoi(argv[3]));
    return 0;
  }
  fputs("probe default|pty|user|port|hold ...\n", stderr);
  return 99;
}
