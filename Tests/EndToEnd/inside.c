/* What the container tests run inside a container, where a shell cannot see or do it. Static.
 *
 *   inside fds                       the numbers of its open descriptors, one a line
 *   inside call NUMBER [ARGS]        makes one system call: "ok VALUE" or "errno NUMBER"
 *   inside write PATH...             tries to open each for writing: "PATH: opened" or "PATH: REASON"
 *   inside overwrite SECONDS FILE    catches every other program than FILE that runs in this PID namespace by /proc/PID/exe and tries to
 *                                    write to it, also after its end: a line per attempt that succeeded, then "caught N, wrote M"
 *   inside sched                     policy, nice value, I/O priority class and data
 *   inside file N                    what can be read from descriptor N
 *   inside outside NAME              looks for the file NAME in every place above the working directory: "found" or "not found"
 *   inside mkdir PATH                "ok" or "errno NUMBER"
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int overwrite(double seconds, const char *spared) {
  struct stat own, file;
  struct { int fd; dev_t device; ino_t inode; } caught[64];
  int count = 0, wrote = 0;
  if (stat("/proc/self/exe", &own) || stat(spared, &file)) return 99;
  struct timespec begun, now;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  do {
    for (int pid = 1; pid < 300 && count < 64; pid++) {
      char path[64];
      snprintf(path, sizeof path, "/proc/%d/exe", pid);
      int fd = open(path, O_PATH | O_CLOEXEC);
      struct stat other;
      if (fd < 0) continue;
      int known = fstat(fd, &other) || (other.st_dev == own.st_dev && other.st_ino == own.st_ino) ||
                  (other.st_dev == file.st_dev && other.st_ino == file.st_ino);
      for (int i = 0; i < count; i++) known |= caught[i].device == other.st_dev && caught[i].inode == other.st_ino;
      if (known) {
        close(fd);
        continue;
      }
      printf("caught %s, %ld bytes\n", path, (long)other.st_size);
      fflush(stdout);
      caught[count].fd = fd;
      caught[count].device = other.st_dev;
      caught[count++].inode = other.st_ino;
    }
    /* A running program is busy: try again and again until it has ended. */
    for (int i = 0; i < count; i++) {
      char path[64];
      snprintf(path, sizeof path, "/proc/self/fd/%d", caught[i].fd);
      int fd = open(path, O_WRONLY | O_CLOEXEC);
      if (fd < 0) continue;
      if (pwrite(fd, "#!/overwritten", 14, 0) == 14) {
        wrote++;
        printf("overwrote the program caught as number %d\n", i);
        caught[i].fd = -1;
      }
      close(fd);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((double)(now.tv_sec - begun.tv_sec) + (double)(now.tv_nsec - begun.tv_nsec) / 1e9 < seconds);
  printf("caught %d, wrote %d\n", count, wrote);
  return 0;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "fds")) {
    for (int fd = 0; fd < 4096; fd++)
      if (fcntl(fd, F_GETFD) >= 0) printf("%d\n", fd);
    return 0;
  }
  if (!strcmp(what, "call") && argc >= 3) {
    long given[6] = {0};
    for (int i = 3; i < argc && i < 9; i++) given[i - 3] = (long)strtoul(argv[i], NULL, 0);
    long result = syscall(strtol(argv[2], NULL, 0), given[0], given[1], given[2], given[3], given[4], given[5]);
    if (result == -1) printf("errno %d\n", errno);
    else printf("ok %ld\n", result);
    return 0;
  }
  if (!strcmp(what, "write")) {
    for (int i = 2; i < argc; i++) {
      int fd = open(argv[i], O_WRONLY | O_CLOEXEC);
      printf("%s: %s\n", argv[i], fd < 0 ? strerror(errno) : "opened");
      if (fd >= 0) close(fd);
    }
    return 0;
  }
  if (!strcmp(what, "overwrite") && argc == 4) return overwrite(atof(argv[2]), argv[3]);
  if (!strcmp(what, "sched")) {
    long priority = syscall(SYS_ioprio_get, 1, 0);
    printf("policy %d nice %d io %ld/%ld\n", sched_getscheduler(0), getpriority(PRIO_PROCESS, 0), priority >> 13, priority & 7);
    return 0;
  }
  if (!strcmp(what, "file") && argc == 3) {
    char text[4096];
    ssize_t count = read(atoi(argv[2]), text, sizeof text);
    if (count < 0) printf("errno %d\n", errno);
    else fwrite(text, 1, (size_t)count, stdout);
    return 0;
  }
  if (!strcmp(what, "outside") && argc == 3) {
    char path[4096] = "";
    for (int up = 0; up < 40; up++) {
      char whole[8192];
      snprintf(whole, sizeof whole, "%s%s", path, argv[2]);
      if (!access(whole, F_OK)) {
        printf("found %s\n", whole);
        return 1;
      }
      strcat(path, "../");
    }
    puts("not found");
    return 0;
  }
  if (!strcmp(what, "mkdir") && argc == 3) {
    if (mkdir(argv[2], 0755)) printf("errno %d\n", errno);
    else puts("ok");
    return 0;
  }
  fputs("inside fds|call|write|overwrite|sched|file|outside|mkdir ...\n", stderr);
  return 99;
}
