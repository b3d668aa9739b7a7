#include "clibvirt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void say_nothing(void *context, virErrorPtr error) {
  (void)context;
  (void)error;
}

static void *run_events(void *context) {
  (void)context;
  while (virEventRunDefaultImpl() == 0) {
  }
  return NULL;
}

int clibvirt_start(void) {
  // The library prints every error that nobody handles.
  virSetErrorFunc(NULL, say_nothing);
  if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) return -1;
  pthread_t thread;
  if (pthread_create(&thread, NULL, run_events, NULL)) return -1;
  pthread_detach(thread);
  return 0;
}

struct watch {
  const char *name;
  clibvirt_watcher watcher;
  void *context;
};

static bool concerns(const struct watch *watch, virDomainPtr domain) {
  const char *name = virDomainGetName(domain);
  return name && !strcmp(name, watch->name);
}

static int lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail, void *opaque) {
  (void)connection;
  const struct watch *watch = opaque;
  if (concerns(watch, domain)) watch->watcher(watch->context, CLIBVIRT_NEWS_LIFECYCLE, event, detail);
  return 0;
}

static void rebooted(virConnectPtr connection, virDomainPtr domain, void *opaque) {
  (void)connection;
  const struct watch *watch = opaque;
  if (concerns(watch, domain)) watch->watcher(watch->context, CLIBVIRT_NEWS_REBOOT, 0, 0);
}

static void closed(virConnectPtr connection, int reason, void *opaque) {
  (void)connection;
  const struct watch *watch = opaque;
  watch->watcher(watch->context, CLIBVIRT_NEWS_CLOSED, reason, 0);
}

int clibvirt_watch(virConnectPtr connection, const char *name, clibvirt_watcher watcher, void *context) {
  // Events may still be on their way when the connection is closed: this lives as long as the process.
  struct watch *watch = malloc(sizeof *watch);
  if (!watch) return -1;
  *watch = (struct watch){name, watcher, context};
  if (virConnectRegisterCloseCallback(connection, closed, watch, NULL) < 0) return -1;
  // Before the domain exists, so that nothing is missed.
  if (virConnectDomainEventRegisterAny(
          connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(lifecycle), watch, NULL) < 0)
    return -1;
  if (virConnectDomainEventRegisterAny(
          connection, NULL, VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(rebooted), watch, NULL) < 0)
    return -1;
  // A daemon that has died with its machine, or hangs, is noticed after half a minute. Old daemons have no such thing.
  virConnectSetKeepAlive(connection, 10, 3);
  return 0;
}

virConnectPtr clibvirt_open(const char *uri) {
  virConnectAuth nobody = {NULL, 0, NULL, NULL};
  return virConnectOpenAuth(uri, &nobody, 0);
}

const char *clibvirt_error(void) {
  const char *text = virGetLastErrorMessage();
  return text ? text : "unknown error";
}

int clibvirt_error_code(void) { return virGetLastErrorCode(); }

static int address_of(const char *path, struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address->sun_path, path);
  return 0;
}

int clibvirt_listen(const char *path, mode_t mode) {
  struct sockaddr_un address;
  if (address_of(path, &address)) return -1;
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -1;
  if (!bind(descriptor, (struct sockaddr *)&address, sizeof address) && !chmod(path, mode) && !listen(descriptor, 1))
    return descriptor;
  int error = errno;
  close(descriptor);
  errno = error;
  return -1;
}

int clibvirt_connect(const char *path) {
  struct sockaddr_un address;
  if (address_of(path, &address)) return -1;
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return -1;
  if (!connect(descriptor, (struct sockaddr *)&address, sizeof address)) return descriptor;
  int error = errno;
  close(descriptor);
  errno = error;
  return -1;
}

int clibvirt_accept(int listener, pid_t *process, uid_t *user) {
  int descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (descriptor < 0) return -1;
  struct ucred credentials;
  socklen_t size = sizeof credentials;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size)) {
    int error = errno;
    close(descriptor);
    errno = error;
    return -1;
  }
  *process = credentials.pid;
  *user = credentials.uid;
  return descriptor;
}

void clibvirt_remove_folder(const char *path) {
  int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) return;
  DIR *stream = fdopendir(folder);
  if (!stream) {
    close(folder);
    return;
  }
  for (struct dirent *entry; (entry = readdir(stream));) unlinkat(folder, entry->d_name, 0);
  closedir(stream);
  rmdir(path);
}

bool clibvirt_process_has(pid_t process, const char *name) {
  char path[40], text[4096];
  snprintf(path, sizeof path, "/proc/%d/cmdline", (int)process);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  ssize_t count = read(file, text, sizeof text);
  close(file);
  return count > 0 && memmem(text, (size_t)count, name, strlen(name));
}

static bool anybody_has(const char *name) {
  DIR *processes = opendir("/proc");
  if (!processes) return false;
  bool found = false;
  for (struct dirent *entry; !found && (entry = readdir(processes));) {
    pid_t process = atoi(entry->d_name);
    if (process > 0 && process != getpid()) found = clibvirt_process_has(process, name);
  }
  closedir(processes);
  return found;
}

static void guard(int descriptor, const char *folder, const char *log, const char *name) {
  setsid();
  char byte;
  ssize_t count;
  do count = read(descriptor, &byte, 1);
  while (count < 0 && errno == EINTR);
  if (count == 1) _exit(0);
  clibvirt_remove_folder(folder);
  // The daemon writes a last line when it has ended the machine, half a minute after which nobody waits for it any more.
  for (int tick = 0; tick < 600 && (tick < 10 || anybody_has(name)); tick++) usleep(50000);
  usleep(500000);
  unlink(log);
  _exit(0);
}

int clibvirt_guard(const char *folder, const char *log, const char *name, pid_t *child) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) return -1;
  *child = fork();
  if (*child == 0) {
    // Whoever waits for the end of this process's output must not wait for the guard.
    if (dup2(ends[0], 0) < 0) _exit(1);
    syscall(SYS_close_range, 1, ~0u, 0);
    guard(0, folder, log, name);
  }
  close(ends[0]);
  if (*child > 0) return ends[1];
  close(ends[1]);
  return -1;
}

void clibvirt_dismiss(int descriptor, pid_t child) {
  char byte = 'd';
  while (write(descriptor, &byte, 1) < 0 && errno == EINTR) {
  }
  close(descriptor);
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
  }
}

static int write_text(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  int error = write(file, text, strlen(text)) < 0 ? errno : 0;
  close(file);
  return error;
}

int clibvirt_enter_user_namespace(uid_t user, gid_t group) {
  char users[64], groups[64];
  snprintf(users, sizeof users, "%u %u 1", (unsigned)user, (unsigned)geteuid());
  snprintf(groups, sizeof groups, "%u %u 1", (unsigned)group, (unsigned)getegid());
  if (unshare(CLONE_NEWUSER)) return errno;
  int error = write_text("/proc/self/setgroups", "deny");
  if (!error) error = write_text("/proc/self/gid_map", groups);
  if (!error) error = write_text("/proc/self/uid_map", users);
  return error;
}
