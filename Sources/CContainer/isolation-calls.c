// System calls by number, each in a child of its own with arguments that do no harm.
#include "isolation.h"
#include "isolation-time.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

long cisolation_call(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}

// The same for calls that return twice: the second to return, which is 0 to it, exits without touching the shared stack.
static long call_that_forks(long number, const long *arguments) {
  register long r10 __asm__("r10") = arguments[3];
  register long r8 __asm__("r8") = arguments[4];
  register long r9 __asm__("r9") = arguments[5];
  long result;
  __asm__ volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "movl $60, %%eax\n\t"
      "xorl %%edi, %%edi\n\t"
      "syscall\n"
      "1:"
      : "=a"(result)
      : "a"(number), "D"(arguments[0]), "S"(arguments[1]), "d"(arguments[2]), "r"(r10), "r"(r8), "r"(r9)
      : "rcx", "r11", "memory");
  return result;
}

// getpid(2) by the 32-bit entry; its number there is 20.
static long call_by_interrupt(void) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L), "b"(0L), "c"(0L), "d"(0L), "S"(0L), "D"(0L) : "r8", "r9", "r10", "r11", "memory");
  return (int)result;
}

// ---- the plan

static long zeros[64];
static const long event_attributes[16] = {1 | 64L << 32};  // perf_event_attr: a software event (the processor's clock), of the first size
static const int queued[32] = {0, 0, SI_QUEUE};  // siginfo_t: what a process may say of itself
static const char *const slash = "/";
static const char *const own = "/proc/self";
static const char *const absent = "/proc/self/no-such-file";
static const char *const no_type = "vmrun-no-such-type";
enum { no_process = 0x3FFFFFFE, no_key = 0x3FFFFFFD };

#define TEXT(x) ((long)(x))
// Every argument -1 is no descriptor, no address, no process, a flag that does not exist: the kernel refuses it before it does
// anything. What would do something even so, or would be refused before its privilege is asked about, is listed here.
struct cisolation_plan cisolation_plan_for(int number) {
  struct cisolation_plan plan = {.number = number, .how = cisolation_plain, .arguments = {-1, -1, -1, -1, -1, -1}};
#define PLAN(call, text, ...)                                  \
  case SYS_##call: {                                           \
    const long given[6] = {__VA_ARGS__};                       \
    memcpy(plan.arguments, given, sizeof given);               \
    plan.reason = text;                                        \
    break;                                                     \
  }
#define HOW(call, way, text, ...)                              \
  case SYS_##call: {                                           \
    const long given[6] = {__VA_ARGS__};                       \
    memcpy(plan.arguments, given, sizeof given);               \
    plan.reason = text;                                        \
    plan.how = way;                                            \
    break;                                                     \
  }
  switch (number) {
    HOW(fork, cisolation_forks, "the child ends at once", 0)
    HOW(vfork, cisolation_forks, "the child ends at once", 0)
    HOW(clone, cisolation_forks, "as fork does; the child ends at once", SIGCHLD)
    PLAN(clone3, "a size that no structure has", 0, -1)
    HOW(sync, cisolation_assumed, "it would write all of the host's file systems out", 0)
    PLAN(exit, "the child is there to end", 0)
    PLAN(exit_group, "the child is there to end", 0)
    PLAN(pause, "ended from outside", 0)
    PLAN(rt_sigreturn, "ends the child by a signal", 0)
    PLAN(restart_syscall, "there is nothing to restart", 0)
    PLAN(kill, "signal 0 to a process that cannot be: -1 would be everybody", no_process, 0)
    PLAN(tkill, "signal 0 to a thread that cannot be", no_process, 0)
    PLAN(tgkill, "signal 0 to a thread that cannot be", no_process, no_process, 0)
    PLAN(rt_sigqueueinfo, "signal 0 to a process that cannot be", no_process, 0, TEXT(queued))
    PLAN(rt_tgsigqueueinfo, "signal 0 to a thread that cannot be", no_process, no_process, 0, TEXT(queued))
    PLAN(pidfd_send_signal, "no descriptor, signal 0", -1, 0, 0, 0)
    PLAN(ptrace, "PTRACE_CONT of a process that cannot be", 7, no_process, 0, 0)
    PLAN(reboot, "a magic number that is none", 0, 0, 0, 0)
    PLAN(kexec_load, "an address and flags that cannot be", 0, -1, -1, -1)
    PLAN(kexec_file_load, "descriptors and flags that cannot be", -1, -1, 0, -1, -1)
    PLAN(acct, "no address: NULL would switch accounting off", -1)
    PLAN(vhangup, "the child has no terminal", 0)
    PLAN(msgget, "a key that nobody uses, without IPC_CREAT: -1 would make a queue", no_key, 0)
    PLAN(semget, "a key that nobody uses, without IPC_CREAT", no_key, 0, 0)
    PLAN(shmget, "a key that nobody uses, without IPC_CREAT", no_key, 0, 0)
    PLAN(futex, "FUTEX_WAKE of nobody: an operation that is none looks like a missing call", TEXT(zeros), 1, 0, 0, 0, 0)
    PLAN(modify_ldt, "reads the table: a function that is none looks like a missing call", 0, TEXT(zeros), 0)
    PLAN(socket, "a local socket", 1, 1, 0)
    PLAN(personality, "asks only", 0xFFFFFFFF)
    PLAN(chroot, "to where the root is already", TEXT(slash))
    PLAN(mount, "a type that is none", TEXT(no_type), TEXT(slash), TEXT(no_type), 0, 0)
    PLAN(umount2, "a directory where nothing is mounted", TEXT(own), 0)
    PLAN(pivot_root, "a directory that is no mount", TEXT(own), TEXT(own))
    PLAN(mount_setattr, "no descriptor, no address, but a size that is right", -1, -1, 0, -1, 32)
    PLAN(open_tree, "a copy of a directory's mount, which ends with the child", -100, TEXT(own), 1)
    PLAN(unshare, "a UTS namespace of its own, which ends with the child", CLONE_NEWUTS)
    HOW(setns, cisolation_namespace, "its own UTS namespace", -1, CLONE_NEWUTS)
    PLAN(settimeofday, "no time and no zone: only the privilege is asked about", 0, 0)
    PLAN(adjtimex, "no address", -1)
    PLAN(swapon, "a file that is not there", TEXT(absent), 0)
    PLAN(swapoff, "a file that is not there", TEXT(absent))
    PLAN(iopl, "for the child alone", 3)
    PLAN(ioperm, "one port, for the child alone", 0x80, 1, 1)
    PLAN(bpf, "a map of a type that is none", 0, TEXT(zeros), 72)
    PLAN(perf_event_open, "the child's own clock, with the kernel's part", TEXT(event_attributes), 0, -1, -1, 0)
    PLAN(sethostname, "no address, and a length that cannot be", -1, -1)
    PLAN(setdomainname, "no address, and a length that cannot be", -1, -1)
    PLAN(wait4, "a child that cannot be, without waiting", no_process, 0, 1, 0)
    PLAN(waitid, "a child that cannot be, without waiting", 1, no_process, 0, 5, 0)
    PLAN(alarm, "none", 0)
    PLAN(setpriority, "a process that cannot be", 0, no_process, 0)
    PLAN(syslog, "an action that is none", -1, 0, 0)
    PLAN(init_module, "no image of no length", -1, 0, -1)
    PLAN(finit_module, "no descriptor", -1, -1, 0)
    PLAN(delete_module, "no address of a name", -1, 0)
    PLAN(quotactl, "a type that is none", -1, 0, 0, -1)
  default: break;
  }
  return plan;
}

// ---- what the filters say

// The last argument of the calls that are asked about: no argument that any call looks at.
#define QUESTION 0x564D52554E3F3F3FL
#define PERMITTED 0x564D52554E000001L

struct shared {
  int listener;
  int done;
  unsigned current;
  struct cisolation_outcome outcomes[cisolation_most_calls + cisolation_extra_calls];
};

// Answers every call that carries the question with a notification, in place of the call.
static int ask_filter(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)QUESTION, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5]) + 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(QUESTION >> 32), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

int cisolation_install_test_filter(int denied, int missing, int deadly) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)denied, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)missing, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)deadly, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}


// The kernel's own calls of uprobes (uretprobe, uprobe): newer kernels ask no filter about them, so that they run and end by SIGILL or
// ENXIO. It stays unknown then what a filter would say.
static bool is_exempt(unsigned number) { return number == 335 || number == 336; }

// Everything that a filter permits reaches the listener, where it is answered in the call's place: nothing is executed. Filters that
// answer otherwise outrank the notification.
static _Noreturn void ask(struct shared *shared, unsigned first, unsigned count) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  int listener = ask_filter();
  __atomic_store_n(&shared->listener, listener < 0 ? -errno : listener, __ATOMIC_RELEASE);
  if (listener < 0) _exit(1);
  for (unsigned number = first; number < count; number++) {
    struct cisolation_plan plan = cisolation_plan_for((int)number);
    struct cisolation_outcome *outcome = &shared->outcomes[number];
    __atomic_store_n(&shared->current, number, __ATOMIC_RELEASE);
    const long *a = plan.arguments;
    long result = cisolation_call((long)number, a[0], a[1], a[2], a[3], a[4], QUESTION);
    if (result == PERMITTED) {
      outcome->filter = cisolation_filter_permits;
    } else if (is_exempt(number) && result == -ENXIO) {
      continue;  // the call's own answer
    } else {
      outcome->filter = cisolation_filter_answers;
      outcome->filter_errno = (int)(result < 0 ? -result : 0);
    }
  }
  __atomic_store_n(&shared->done, 1, __ATOMIC_RELEASE);
  _exit(0);
}

static void answer_questions(int listener, int child, int64_t deadline, int *status) {
  for (;;) {
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    int count = poll(&ready, 1, 20);
    if (count > 0 && ready.revents & POLLIN) {
      struct seccomp_notif request;
      memset(&request, 0, sizeof request);
      if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) == 0) {
        struct seccomp_notif_resp response = {.id = request.id, .val = PERMITTED};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
      }
      continue;
    }
    if (waitpid(child, status, WNOHANG) == child) return;
    if (milliseconds_now() > deadline) {
      kill(child, SIGKILL);
      waitpid(child, status, 0);
      return;
    }
  }
}

static void ask_filters(struct shared *shared, unsigned count, int64_t deadline) {
  unsigned first = 0;
  while (first < count && !shared->done && milliseconds_now() < deadline) {
    shared->listener = -1;
    shared->current = first;
    // The child's descriptors are this process's too, and so is the listener that it gets.
    int child = (int)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (child < 0) return;
    if (child == 0) ask(shared, first, count);
    int status = 0, listener;
    while ((listener = __atomic_load_n(&shared->listener, __ATOMIC_ACQUIRE)) == -1) {
      if (waitpid(child, &status, WNOHANG) == child) return;
      nap(100);
    }
    if (listener < 0) {
      waitpid(child, &status, 0);
      return;
    }
    answer_questions(listener, child, deadline, &status);
    close(listener);
    if (shared->done) return;
    unsigned current = __atomic_load_n(&shared->current, __ATOMIC_ACQUIRE);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && current < count) {
      shared->outcomes[current].filter = cisolation_filter_kills;
    }
    first = current + 1;
  }
}

// ---- the calls themselves

static _Noreturn void try_call(struct cisolation_outcome *outcome, int number, unsigned extra) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  struct rlimit none = {0, 0}, second = {2, 2};
  setrlimit(RLIMIT_CORE, &none);
  setrlimit(RLIMIT_CPU, &second);
  struct cisolation_plan plan = cisolation_plan_for(number);
  if (plan.how == cisolation_namespace) plan.arguments[0] = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
  const long *a = plan.arguments;
  outcome->state = cisolation_started;
  long result;
  if (extra == 1) {
    result = cisolation_call(SYS_getpid | 0x40000000, 0, 0, 0, 0, 0, 0);
  } else if (extra == 2) {
    result = call_by_interrupt();
  } else if (plan.how == cisolation_forks) {
    result = call_that_forks(number, a);
  } else {
    result = cisolation_call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  }
  outcome->value = result;
  outcome->state = cisolation_returned;
  cisolation_call(SYS_exit_group, 0, 0, 0, 0, 0, 0);
  __builtin_trap();
}

// Waits for `child` at most `milliseconds`; 0 when it did not end.
static int wait_until(int child, int64_t milliseconds, int *status) {
  int64_t deadline = milliseconds_now() + milliseconds;
  for (int round = 0;; round++) {
    int got = waitpid(child, status, WNOHANG | __WALL);
    if (got == child || (got < 0 && errno != EINTR)) return 1;
    if (milliseconds_now() >= deadline) return 0;
    nap(round < 20 ? 60 : 1000);
  }
}

static void try_one(struct cisolation_outcome *outcome, int number, unsigned extra, unsigned milliseconds) {
  if (outcome->filter == cisolation_filter_answers || outcome->filter == cisolation_filter_kills) return;
  if (!extra && cisolation_plan_for(number).how == cisolation_assumed) {
    outcome->state = cisolation_not_run;
    return;
  }
  int child = fork();
  if (child < 0) return;
  if (child == 0) try_call(outcome, number, extra);
  int status = 0;
  if (!wait_until(child, milliseconds, &status)) {
    kill(child, SIGKILL);
    // What even this does not end is left to whoever ends the probe.
    wait_until(child, 1000, &status);
    if (outcome->state == cisolation_started) outcome->state = cisolation_blocked;
    return;
  }
  if (outcome->state != cisolation_started) return;
  if (WIFSIGNALED(status)) {
    outcome->state = cisolation_signalled;
    outcome->value = WTERMSIG(status);
  } else {
    outcome->state = cisolation_ended;
    outcome->value = WEXITSTATUS(status);
  }
}

// Namespaces of its own, one by one: what one may not have does not cost the others.
static void go_apart(void) {
  static const int kinds[] = {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWCGROUP, CLONE_NEWPID};
  for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (unshare(kinds[i]) == 0 && kinds[i] == CLONE_NEWNS) mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
  }
}

static _Noreturn void sweep(struct shared *shared, unsigned count, unsigned call_milliseconds, int64_t deadline) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  // No terminal, so that none is hung up; no descriptors, so that none is written to.
  setsid();
  syscall(SYS_close_range, 0, ~0U, 0);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigset_t empty;
  sigemptyset(&empty);
  sigprocmask(SIG_SETMASK, &empty, NULL);
  ask_filters(shared, count, deadline);
  for (unsigned number = 0; number < count && milliseconds_now() < deadline; number++) {
    try_one(&shared->outcomes[number], (int)number, 0, call_milliseconds);
  }
  for (unsigned extra = 1; extra <= cisolation_extra_calls; extra++) {
    try_one(&shared->outcomes[count + extra - 1], SYS_getpid, extra, call_milliseconds);
  }
  _exit(0);
}

int cisolation_sweep(unsigned count, bool apart, unsigned call_milliseconds, unsigned total_milliseconds,
                     struct cisolation_outcome *outcomes) {
  if (count > cisolation_most_calls) return EINVAL;
  struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return errno;
  int64_t deadline = milliseconds_now() + total_milliseconds;
  int result = 0, status;
  int outer = fork();
  if (outer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (apart) go_apart();
    int inner = fork();
    if (inner == 0) sweep(shared, count, call_milliseconds, deadline);
    if (inner < 0) _exit(errno);
    waitpid(inner, &status, 0);
    _exit(0);
  }
  if (outer < 0) {
    result = errno;
  } else if (!wait_until(outer, (int64_t)total_milliseconds + 3000, &status)) {
    kill(outer, SIGKILL);
    waitpid(outer, &status, 0);
  } else if (WIFEXITED(status) && WEXITSTATUS(status)) {
    result = WEXITSTATUS(status);
  }
  memcpy(outcomes, shared->outcomes, (count + cisolation_extra_calls) * sizeof *outcomes);
  munmap(shared, sizeof *shared);
  return result;
}
