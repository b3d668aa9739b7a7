// Watching a sandbox from outside, and what the two sides might share.
#include "isolation.h"
#include "isolation-time.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
// Behind <sys/ptrace.h>, which it would otherwise contradict.
#include <linux/ptrace.h>

static void reset_signals(void) {
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

// ---- processes

int cisolation_spawn(const char *path, char *const *arguments, char *const *environment, int in, int out, int err) {
  int report[2];
  if (pipe2(report, O_CLOEXEC)) return -1;
  int parent = getpid();
  int pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent) _exit(125);
    setpgid(0, 0);
    int first = fcntl(in, F_DUPFD_CLOEXEC, 3), second = fcntl(out, F_DUPFD_CLOEXEC, 3), third = fcntl(err, F_DUPFD_CLOEXEC, 3);
    if (first >= 0 && second >= 0 && third >= 0 && dup2(first, 0) == 0 && dup2(second, 1) == 1 && dup2(third, 2) == 2) {
      reset_signals();
      execve(path, arguments, environment);
    }
    int number = errno;
    ssize_t written = write(report[1], &number, sizeof number);
    _exit(written > 0 ? 127 : 126);
  }
  int number = errno;
  close(report[1]);
  if (pid > 0) {
    // Also here, so that whoever signals the group need not wait for the child.
    setpgid(pid, pid);
    ssize_t got;
    do { got = read(report[0], &number, sizeof number); } while (got < 0 && errno == EINTR);
    if (got == (ssize_t)sizeof number) {
      waitpid(pid, NULL, 0);
      pid = -1;
    }
  }
  close(report[0]);
  errno = number;
  return pid;
}

int cisolation_start(const char *path, char *const *arguments, char *const *environment, int ends[3]) {
  int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
  int pid = -1;
  if (!pipe2(pipes[0], O_CLOEXEC) && !pipe2(pipes[1], O_CLOEXEC) && !pipe2(pipes[2], O_CLOEXEC)) {
    pid = cisolation_spawn(path, arguments, environment, pipes[0][0], pipes[1][1], pipes[2][1]);
  }
  int number = errno;
  static const int ours[3] = {1, 0, 0};
  for (int i = 0; i < 3; i++) {
    ends[i] = pipes[i][ours[i]];
    if (pipes[i][!ours[i]] >= 0) close(pipes[i][!ours[i]]);
    if (pid < 0 && ends[i] >= 0) close(ends[i]);
  }
  errno = number;
  return pid;
}

int cisolation_run(const char *path, char *const *arguments, char *const *environment) {
  int pid = fork(), status;
  if (pid == 0) {
    execve(path, arguments, environment);
    _exit(127);
  }
  return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

int cisolation_sleeper(const char *name) {
  int pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    setpgid(0, 0);
    reset_signals();
    prctl(PR_SET_NAME, name, 0, 0, 0);
    // Holds no end of anybody's pipe open.
    syscall(SYS_close_range, 0, ~0U, 0);
    for (;;) pause();
  }
  return pid;
}

int cisolation_fork_and_reap(int count) {
  int made = 0;
  for (; made < count; made++) {
    int pid = fork();
    if (pid == 0) _exit(0);
    if (pid < 0) break;
    waitpid(pid, NULL, 0);
  }
  return made;
}

// ---- counting

enum { tracing = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL };

void cisolation_seize(struct cisolation_counter *counter, int thread) {
  if (ptrace(PTRACE_SEIZE, thread, 0, tracing) == 0) {
    counter->attached++;
    ptrace(PTRACE_INTERRUPT, thread, 0, 0);
  } else {
    counter->refused++;
    counter->refusal = errno;
  }
}

static void count_call(struct cisolation_counter *counter, int thread) {
  struct __ptrace_syscall_info info;
  memset(&info, 0, sizeof info);
  if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) < 0) return;
  if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return;
  uint64_t number = info.entry.nr;
  counter->total++;
  if (number == cisolation_marker) counter->markers++;
  if (number < cisolation_most_calls) counter->calls[number]++;
}

int cisolation_step(struct cisolation_counter *counter) {
  int events = 0, status, thread;
  while ((thread = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
    events++;
    if (!WIFSTOPPED(status)) {
      if (thread == counter->main_pid) {
        counter->main_ended = true;
        counter->main_status = status;
      }
      continue;
    }
    int stop = WSTOPSIG(status), event = status >> 16, deliver = 0;
    if (stop == (SIGTRAP | 0x80)) {
      if (counter->counts) count_call(counter, thread);
    } else if (event == 0) {
      deliver = stop;
    }
    // Not counting any more, it runs on at its own speed.
    ptrace(counter->counts ? PTRACE_SYSCALL : PTRACE_CONT, thread, 0, deliver);
  }
  return events;
}

int cisolation_watch_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int cisolation_next_signal(int descriptor) {
  struct signalfd_siginfo info;
  return read(descriptor, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

// ---- what might be shared

static int local_name(struct sockaddr_un *address, const char *name) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  size_t length = strlen(name);
  if (length + 1 > sizeof address->sun_path) return -1;
  memcpy(address->sun_path + 1, name, length);
  return (int)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

int cisolation_listen_abstract(const char *name) {
  struct sockaddr_un address;
  int length = local_name(&address, name);
  int socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return -errno;
  if (length < 0 || bind(socket_, (struct sockaddr *)&address, (socklen_t)length) || listen(socket_, 4)) {
    int number = errno;
    close(socket_);
    return -number;
  }
  return socket_;
}

int cisolation_connect_abstract(const char *name) {
  struct sockaddr_un address;
  int length = local_name(&address, name);
  int socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return -errno;
  int failed = length < 0 || connect(socket_, (struct sockaddr *)&address, (socklen_t)length) ? -errno : 0;
  close(socket_);
  return failed;
}

int cisolation_listen_tcp(uint16_t *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return -errno;
  if (bind(socket_, (struct sockaddr *)&address, sizeof address) || listen(socket_, 4) ||
      getsockname(socket_, (struct sockaddr *)&address, &length)) {
    int number = errno;
    close(socket_);
    return -number;
  }
  *port = ntohs(address.sin_port);
  return socket_;
}

int cisolation_connect_tcp(uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return -errno;
  // The loopback answers at once or not at all.
  struct timeval limit = {.tv_sec = 1};
  setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  int failed = connect(socket_, (struct sockaddr *)&address, sizeof address) ? -errno : 0;
  close(socket_);
  return failed;
}

int cisolation_make_queue(int key) { return msgget(key, IPC_CREAT | IPC_EXCL | 0666) < 0 ? -errno : 0; }
int cisolation_find_queue(int key) { return msgget(key, 0) < 0 ? -errno : 0; }
int cisolation_remove_queue(int key) {
  int queue = msgget(key, 0);
  return queue < 0 || msgctl(queue, IPC_RMID, NULL) ? -errno : 0;
}
int cisolation_make_mqueue(const char *name) {
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 16};
  mqd_t queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666, &attributes);
  if (queue < 0) return -errno;
  mq_close(queue);
  return 0;
}
int cisolation_find_mqueue(const char *name) {
  mqd_t queue = mq_open(name, O_RDONLY | O_CLOEXEC);
  if (queue < 0) return -errno;
  mq_close(queue);
  return 0;
}
int cisolation_remove_mqueue(const char *name) { return mq_unlink(name) ? -errno : 0; }

long cisolation_add_key(const char *name) {
  long key = syscall(SYS_add_key, "user", name, "vmrun", 5UL, (long)KEY_SPEC_USER_KEYRING);
  return key < 0 ? -errno : key;
}
long cisolation_find_key(const char *name) {
  long key = syscall(SYS_keyctl, KEYCTL_SEARCH, (long)KEY_SPEC_USER_KEYRING, "user", name, 0L);
  return key < 0 ? -errno : key;
}
int cisolation_remove_key(long key) {
  return syscall(SYS_keyctl, KEYCTL_UNLINK, key, (long)KEY_SPEC_USER_KEYRING) < 0 ? -errno : 0;
}

int cisolation_set_hostname(const char *name) { return sethostname(name, strlen(name)) ? -errno : 0; }
// Neither a time nor a zone: the privilege is asked for, and nothing is set (settimeofday(2)).
int cisolation_set_nothing_as_time(void) { return syscall(SYS_settimeofday, NULL, NULL) ? -errno : 0; }
int cisolation_read_kernel_log(void) {
  static char text[512];
  // SYSLOG_ACTION_READ_ALL takes nothing out of the log.
  long count = syscall(SYS_syslog, 3, text, sizeof text);
  return count < 0 ? -errno : 0;
}
int cisolation_mount_tmpfs(const char *path) { return mount("vmrun", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") ? -errno : 0; }
int cisolation_unmount(const char *path) { return umount2(path, MNT_DETACH) ? -errno : 0; }
int cisolation_securebits(void) {
  int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
  return bits < 0 ? -errno : bits;
}
// Whether a better priority may be taken: in a child, which ends with it.
int cisolation_lower_nice(void) {
  int pid = fork(), status;
  if (pid == 0) _exit(setpriority(PRIO_PROCESS, 0, -1) ? errno : 0);
  if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return -ECHILD;
  return -WEXITSTATUS(status);
}

long cisolation_readlink(const char *path, void *target, size_t size) { return readlink(path, target, size); }
int cisolation_make_folder(void *pattern) { return mkdtemp(pattern) ? 0 : errno; }
bool cisolation_may_write(const char *path) { return access(path, W_OK) == 0; }
void *cisolation_hold_memory(int mebibytes) {
  size_t size = (size_t)mebibytes << 20;
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}
void cisolation_give_back_memory(void *memory, int mebibytes) { munmap(memory, (size_t)mebibytes << 20); }
void cisolation_spin(int milliseconds) {
  int64_t deadline = milliseconds_now() + milliseconds;
  while (milliseconds_now() < deadline) {}
}
int cisolation_idle_socket(void) { return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

// ---- bombs

// A child whose limits the caller has set, watched until it ends or its time is over. 0, an error number, or minus a signal.
static int watch(int child, int milliseconds) {
  int64_t deadline = milliseconds_now() + milliseconds;
  int status;
  for (;;) {
    int got = waitpid(child, &status, WNOHANG);
    if (got == child) return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    if (got < 0 && errno != EINTR) return ECHILD;
    if (milliseconds_now() > deadline) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return ETIME;
    }
    nap(2000);
  }
}
static int *shared_number(void) {
  int *number = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return number == MAP_FAILED ? NULL : number;
}
static int finish(int *number, int child, int milliseconds, int *error) {
  *error = child < 0 ? errno : watch(child, milliseconds);
  int result = *number;
  munmap(number, 4096);
  return result;
}

int cisolation_bomb_forks(int most, int milliseconds, int *error) {
  int *made = shared_number();
  if (!made) return *error = errno, 0;
  int child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    int failure = 0, mine = getpid();
    for (; *made < most; ++*made) {
      int one = fork();
      if (one == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != mine) _exit(0);
        // The last way out, should everybody above be gone.
        alarm((unsigned)milliseconds / 1000 + 2);
        for (;;) pause();
      }
      if (one < 0) {
        failure = errno;
        break;
      }
    }
    // Long enough to be seen from outside.
    nap(200000);
    _exit(failure);
  }
  return finish(made, child, milliseconds, error);
}

int cisolation_bomb_memory(int most_mebibytes, int milliseconds, int *error) {
  int *got = shared_number();
  if (!got) return *error = errno, 0;
  int child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    alarm((unsigned)milliseconds / 1000 + 2);
    struct rlimit most = {(rlim_t)(most_mebibytes + 64) << 20, (rlim_t)(most_mebibytes + 64) << 20};
    setrlimit(RLIMIT_AS, &most);
    while (*got < most_mebibytes) {
      volatile char *piece = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (piece == MAP_FAILED) _exit(errno);
      for (int offset = 0; offset < 1 << 20; offset += 4096) piece[offset] = 1;
      ++*got;
    }
    nap(200000);
    _exit(0);
  }
  return finish(got, child, milliseconds, error);
}

int cisolation_bomb_descriptors(int most, int milliseconds, int *error) {
  int *opened = shared_number();
  if (!opened) return *error = errno, 0;
  int child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    alarm((unsigned)milliseconds / 1000 + 2);
    // Sockets: each is a file of the kernel's own, where duplicates would all be one.
    while (*opened < most) {
      if (socket(AF_UNIX, SOCK_DGRAM, 0) < 0) {
        int failure = errno;
        nap(100000);
        _exit(failure);
      }
      ++*opened;
    }
    nap(100000);
    _exit(0);
  }
  return finish(opened, child, milliseconds, error);
}

int cisolation_bomb_processor(int processes, int milliseconds, int *error) {
  int children[8], count = 0;
  struct rusage before, after;
  getrusage(RUSAGE_CHILDREN, &before);
  *error = 0;
  int64_t deadline = milliseconds_now() + milliseconds;
  for (; count < processes && count < 8; count++) {
    children[count] = fork();
    if (children[count] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      alarm((unsigned)milliseconds / 1000 + 2);
      while (milliseconds_now() < deadline) {}
      _exit(0);
    }
    if (children[count] < 0) {
      *error = errno;
      break;
    }
  }
  for (int i = 0; i < count; i++) waitpid(children[i], NULL, 0);
  getrusage(RUSAGE_CHILDREN, &after);
  return (int)((after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000 +
               (after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1000);
}
